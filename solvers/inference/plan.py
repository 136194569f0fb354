"""What a command of `fcn infer` does, as one of its processes decides for all: which images, and
the names of their outputs, in a folder to which no other command writes meanwhile."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fcn.solvers.inference import manifest
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.listing import Listing, Naming
from fcn.solvers.inference.network import Chosen, choose
from fcn.solvers.inference.ranks import Ranks
from fcn.solvers.inference.sources import SHARD, find_all
from fcn.solvers.inference.task import beside, net_of, suffixes
from fcn.solvers.inference.workers import Team


class Plan(NamedTuple):
    """What a command does; rank 0 makes it for all.

    path : of the Listing
    attempt : see Task; 0 without a manifest
    net : see Task
    keeps : whether the manifest stays when all is done
    problems : arguments and lines that name no image
    """
    path: str
    attempt: int
    net: str
    keeps: bool
    problems: int


@contextmanager
def shared_plan(args: argparse.Namespace, team: Team) -> Iterator[tuple[Plan, Ranks, Chosen]]:
    """What all ranks do, as rank 0 has made it, and the net, which each of them finds."""
    ranks = Ranks(team.rank, team.count)
    if team.rank:
        plan = Plan(*ranks.hear())
        with redirect_stdout(None):
            chosen = choose(args.net, args.weights, args.experiment, args.best)
        yield plan, ranks, chosen
        return
    is_told = False
    try:
        chosen = choose(args.net, args.weights, args.experiment, args.best)
        with planned(args, team, chosen) as plan:
            ranks.tell(plan)
            is_told = True
            yield plan, ranks, chosen
    except BaseException as error:
        if not is_told:     # a signal has ended the others, too
            ranks.refuse(waits=not isinstance(error, KeyboardInterrupt))
        raise


@contextmanager
def planned(args: argparse.Namespace, team: Team, chosen: Chosen) -> Iterator[Plan]:
    """The Plan; until its end no other command writes to the folder of the results."""
    are_files = all(os.path.isfile(name) and not SHARD.search(name) for name in args.images)
    asked = bool(args.workers or team.starts or team.is_torchrun or args.retry or args.ray)
    is_plain = are_files and not asked      # as many at a time as one likes
    stems = [Path(name).stem for name in args.images]
    with manifest.alone(args.output, is_plain, stems), list_folder(args, is_plain) as folder:
        keeps = asked or not are_files and bool(manifest.files(args.output))
        named = [path for path in (args.net, args.weights, args.depth, args.hha) if path]
        lists = [Path(name[1:]) for name in args.images if name.startswith("@")]
        naming = Naming(args.output, keeps, partial(suffixes, args), partial(beside, args),
                        named + lists)
        listing = Listing.make(folder / "list.sqlite", find_all(args.images, keeps), naming,
                               manifest.entries(args.output))
        problems = print_problems(listing)
        if not listing.count and problems:      # which say it
            sys.exit(1)
        if not listing.count:
            raise InferError("there is no image to segment (what this tool wrote itself is left "
                             "out)")
        attempt = manifest.next_attempt(args.output) * (
            keeps or not are_files and listing.count > 1)
        net = net_of(args, chosen) if attempt else ""
        if not is_plain:
            manifest.remove_begun(args.output, listing)
        if keeps:
            manifest.record_problems(args.output, listing.problems(), attempt)
        if attempt and (note := manifest.differing(args.output, listing, net)):
            print(f"note: {note}", file=sys.stderr)
        yield Plan(str(listing.path), attempt, net, keeps, problems)


@contextmanager
def list_folder(args: argparse.Namespace, is_plain: bool) -> Iterator[Path]:
    """A temporary folder for the list of the images: with the results, which all machines see, and
    where the next command removes what one that was killed has left."""
    where = None if is_plain else args.output.resolve()
    for left in where.glob("manifest.*.list") if where else ():
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(".list", "manifest.", where) as folder:
        yield Path(folder)


def print_problems(listing: Listing) -> int:
    """Says which arguments name no image; returns their number."""
    number = 0
    for problem in listing.problems():
        number += 1
        print(f"error: {problem.message}", file=sys.stderr)
    return number
