"""manifest.RANK.jsonl: what has been done, a line an image, so that another command goes on.

A line is appended after all outputs of its image are in place:

    {"path": ..., "size": bytes, "changed": time, "net": hash, "attempt": number, "stem": ...,
     "outputs": {name: [bytes, time]}}      or, where it failed, "reason" in place of the outputs

`net` is a hash of the net, its weights and all options that change what is written. `attempt`
grows from command to command: of two lines on an image that of the later attempt counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.image_source import ImageSource, Problem
from fcn.solvers.inference.listing import Job, Listing
from fcn.solvers.inference.locks import locked
from fcn.solvers.inference.network import Chosen
from segdata.files import append, make_folder, remove_partial

PATTERN = "manifest.*.jsonl"
KEY = "size", "changed", "beside", "net"        # what has to be equal for an output to stay
# Options of infer.py, by how they enter the hash of what was written. One that stands in none of
# these enters with its name and value, so that a new option makes the outputs anew.
# Only their values, in this order, as in the manifests of earlier versions:
NAMELESS = "opacity", "contours", "flip", "scales", "samples", "precision", "truth", "depth", "hha"
# not at all, because they change nothing that is written:
WITHOUT_EFFECT = ("images", "output", "quiet", "batch", "tile", "gpu", "cpu", "workers", "ray",
                  "retry", "trust")
# by what follows from them (the net, its weights, what is written, the CRF's settings):
IN_ANOTHER_FORM = "experiment", "net", "weights", "best", "kinds", "no_overlay", "crf"
LOCK = "manifest.lock"      # held by who writes to the folder


class Manifest:
    """Tells what is done, and records it; any thread may.

    folder : of the results
    rank : in the file's name
    net : of `hash_of`
    attempt : the number of this command, above those in all manifests
    retry : whether images that failed before are tried again
    reads : of an ImageSource, the files beside it that are read
    """

    def __init__(self, folder: Path, rank: int | str, net: str, attempt: int, retry: bool,
                 reads: Callable[[ImageSource], Iterable[Path]]) -> None:
        self.folder, self.path = folder, folder / f"manifest.{rank}.jsonl"
        self.net, self.attempt, self.retry, self.reads = net, attempt, retry, reads
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[Manifest]:
        """Have no other process write to the file."""
        make_folder(self.folder)
        with locked(self.path.with_suffix(".lock"), str(self.path)):
            if not _ends_a_line(self.path):
                append(self.path, "\n")     # after a line that a process had begun when it ended
            yield self

    def key(self, source: ImageSource) -> dict[str, Any]:
        """What the outputs of an image depend on. Raises InferError where it is not there."""
        size, changed = source.version()
        found: dict[str, Any] = {"size": size, "changed": changed, "net": self.net}
        if beside := [[at.st_size, at.st_mtime_ns] for path in self.reads(source)
                      if path.exists() and (at := path.stat())]:
            found["beside"] = beside
        return found

    def is_done(self, entry: dict[str, Any] | None, key: dict[str, Any]) -> bool:
        """Whether an image with that key has been segmented, and all its outputs are whole."""
        return entry is not None and _fits(entry, key) and "outputs" in entry and all(
            _version(self.folder / name) == written for name, written in entry["outputs"].items())

    def has_failed(self, entry: dict[str, Any] | None, key: dict[str, Any]) -> bool:
        """Whether an image with that key failed, and is not to be tried again."""
        return (entry is not None and not self.retry and _fits(entry, key)
                and "reason" in entry)

    def done(self, job: Job, key: dict[str, Any], paths: Iterable[Path]) -> None:
        """Record that the outputs of an image, `paths`, are in place."""
        outputs = {path.relative_to(self.folder).as_posix(): _version(path) for path in paths}
        self._add({"path": job.source.identity, **key, "stem": job.stem, "outputs": outputs})

    def failed(self, job: Job, key: dict[str, Any] | None, reason: str) -> None:
        """Record that an image could not be segmented. key : None where it could not be read"""
        stem = (job.entry or {}).get("stem")
        self._add({"path": job.source.identity, **(key or {}), "reason": reason}
                  | ({"stem": stem} if stem else {}))

    def _add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            append(self.path, json.dumps({**entry, "attempt": self.attempt}) + "\n")


def _fits(entry: dict[str, Any], key: dict[str, Any]) -> bool:
    return all(entry.get(name) == key.get(name) for name in KEY)


def _version(path: Path) -> list[int] | None:
    """What tells whether a file is still the one that was written: its bytes, and the time at which
    it was; [] of a folder, None of what is not there."""
    if path.is_dir():
        return []
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else None


def _ends_a_line(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(PATTERN))


def record_problems(folder: Path, problems: Iterable[Problem], attempt: int) -> None:
    """Write down which arguments, and lines of lists, name no image."""
    for problem in problems:
        make_folder(folder)
        append(folder / "manifest.lists.jsonl", json.dumps(
            {"path": problem.name, "reason": problem.message, "attempt": attempt}) + "\n")


@contextmanager
def alone(folder: Path, shared: bool, stems: Iterable[str] = ()) -> Iterator[None]:
    """Have no other command write to a folder, which is made, and none of the processes of one that
    was killed. Raises InferError, naming the process, where one is at work.

    shared : others that leave no manifest may, too
    stems : what outputs of this command begin with, of which one that was killed may have left
        something half written; it is removed unless others are at work
    """
    is_new = not folder.exists()
    make_folder(folder)
    try:
        if shared:
            with suppress(InferError), locked(folder / LOCK, str(folder), patience=0) as is_alone:
                for stem in stems if is_alone else ():
                    remove_partial(folder, stem)
        with locked(folder / LOCK, str(folder), shared):
            with ExitStack() as stack:
                for path in files(folder):
                    stack.enter_context(locked(path.with_suffix(".lock"), str(path), shared))
            yield
    except BaseException:
        if is_new:
            with suppress(OSError):     # it is not empty
                folder.rmdir()
        raise


def remove_begun(folder: Path, listing: Listing) -> None:
    """Remove what a command that was killed had begun to write, where a list has its outputs."""
    for inside in {os.path.dirname(job.stem) for job in listing.jobs(0, 1)}:
        remove_partial(folder / inside)


def differing(folder: Path, listing: Listing, net: str) -> str:
    """What there is to say of outputs in a folder that another net made, or other options: "" of
    none."""
    def number(found: Iterable[dict[str, Any] | None]) -> int:
        return sum(entry is not None and "outputs" in entry and entry.get("net") != net
                   for entry in found)

    anew = number(job.entry for job in listing.jobs(0, 1))
    stay = number(listing.recorded()) - anew
    parts = [f"those of {anew} images are made anew"] * bool(anew)
    parts += [f"those of {stay} images, which are not asked for now, stay as they are"
              ] * bool(stay)
    return (f"{folder} has outputs of another net, other weights or other options: "
            + " and ".join(parts)) * bool(parts)


def segmented(folder: Path, attempt: int) -> int:
    """The number of images that an attempt has recorded."""
    end, count = f'"attempt": {attempt}}}\n'.encode(), 0
    for path in files(folder):
        with path.open("rb") as file:
            count += sum(line.endswith(end) and b'"outputs": {' in line for line in file)
    return count


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """All that the manifests in a folder say. Lines that are not whole say nothing: what they were
    about is made again."""
    for path in files(folder):
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    if isinstance(entry["path"], str) and isinstance(entry["attempt"], int):
                        yield entry
                except (ValueError, KeyError, TypeError):
                    continue


def next_attempt(folder: Path) -> int:
    return 1 + max((entry["attempt"] for entry in entries(folder)), default=0)


def hash_of(chosen: Chosen, args: Namespace, kinds: Iterable[str], crf: Any) -> str:
    """Of the net, its weights and the options that change what is written."""
    digest = hashlib.sha256()
    for path in (chosen.prototxt, chosen.weights, chosen.prototxt.with_name("classes.txt")):
        if path.exists():
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        digest.update(b"\0")
    values = {name: str(value.resolve() if isinstance(value, Path) else value)
              for name, value in vars(args).items()}
    options = [values[name] for name in NAMELESS] + sorted(
        item for item in values.items()
        if item[0] not in NAMELESS + WITHOUT_EFFECT + IN_ANOTHER_FORM)
    digest.update(repr((sorted(kinds), crf, chosen.inputs, options)).encode("utf-8", "replace"))
    return digest.hexdigest()[:32]
