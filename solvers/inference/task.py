"""What a command of `fcn infer` is to do, which each of its processes has to know, and has done."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

from fcn.solvers.inference import crf, truths, videos
from fcn.solvers.inference.errors import InferError, not_there
from fcn.solvers.inference.image_source import ImageSource
from fcn.solvers.inference.manifest import hash_of
from fcn.solvers.inference.network import Chosen
from fcn.solvers.inference.outputs import DEFAULT, OUTPUT_KINDS
from segdata.inputs import Inputs


class Tally(NamedTuple):
    """Images: segmented now, done by an earlier run, failed now, failed in an earlier run."""
    done: int = 0
    before: int = 0
    failed: int = 0
    failed_before: int = 0

    def plus(self, other: Iterable[int]) -> Tally:
        """The sums of both."""
        return Tally(*map(sum, zip(self, other)))


class Task(NamedTuple):
    """What each process of a run has to know. attempt : number of the command, 0 of one that has
    no manifest; net : hash of what changes the outputs; on_machine : processes that share the
    memory of a machine"""
    args: Namespace
    chosen: Chosen
    attempt: int
    net: str = ""
    on_machine: int = 1


def kinds_of(args: Namespace) -> list[str]:
    """What is written of each image."""
    kinds = list(dict.fromkeys(args.kinds or (*DEFAULT, *["variance"] * (args.samples > 1))))
    if args.no_overlay and "overlay" in (args.kinds or ()):
        raise InferError("--overlay and --no-overlay exclude each other")
    if "variance" in kinds and args.samples == 1:
        raise InferError("--variance takes several passes: give --samples N")
    return [kind for kind in kinds if not (args.no_overlay and kind == "overlay")]


def suffixes(args: Namespace, source: ImageSource) -> list[str]:
    """What follows the stems of the names of outputs."""
    if source.is_video:
        return [videos.OVERLAY, videos.FRAMES]
    return [OUTPUT_KINDS[kind][0] for kind in kinds_of(args)]


def beside(args: Namespace, source: ImageSource) -> list[Path]:
    """The files that are read with an image: its depth, HHA and truth."""
    paths = [folder / f"{source.stem}.png" if folder.is_dir() else folder
             for folder in (args.depth, args.hha) if folder]
    return paths + ([truths.path_of(args.truth, Path(source.name))] if args.truth else [])


def choose_inputs(task: Task, count: int) -> Inputs:
    """The Inputs of a net, from the files that the command line names beside the images; count : of
    these."""
    args, images = task.args, task.chosen.inputs
    files = {"depth": args.depth, "hha": args.hha}
    for option, path in files.items():
        if path and not path.is_dir() and count > 1:
            raise InferError(f"--{option} {path}: {count} images take a folder of files "
                             "with their names")
    if args.truth and not args.truth.is_dir():
        raise InferError(f"--truth {args.truth}: a folder is expected"
                         if args.truth.exists() else f"--truth {not_there(args.truth)}")
    return Inputs(images.kinds, images.mean, files)


def net_of(args: Namespace, chosen: Chosen) -> str:
    """The hash of all that changes the outputs."""
    with redirect_stdout(io.StringIO()):
        settings = crf.chosen(args.crf, chosen.prototxt.parent)
    return hash_of(chosen, args, kinds_of(args), settings)


def summary(tally: Tally, count: int, problems: int, seconds: float, folder: Path) -> str:
    """In words; count : of the images, problems : arguments and lines that name none."""
    left = count - sum(tally)
    parts = [f"{tally.done} segmented"]
    parts += [f"{tally.before} were done before"] * bool(tally.before)
    parts += [f"{tally.failed + problems} failed"] * bool(tally.failed + problems)
    parts += [f"{tally.failed_before} failed before (--retry tries them again)"
              ] * bool(tally.failed_before)
    parts += [f"{left} are left: the same command goes on"] * bool(left)
    told = f"; {folder / 'manifest.*.jsonl'} says why" * bool(
        tally.failed + problems + tally.failed_before)
    speed = tally.done / max(seconds, 1e-9)
    rate = (f", {speed:.1f} images a second" if speed >= 0.95 else
            f", {seconds / tally.done:.1f} seconds an image" if tally.done else "")
    return f"{count} image{'s' * (count != 1)}: {', '.join(parts)}{told}; in {seconds:.1f} s{rate}"
