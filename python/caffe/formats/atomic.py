"""Files and folders that are complete, or not there at all, whatever ends the process or the power.

The tools have the same in segdata/files.py, for they also run on the original Caffe, which has no
such module. Both name what they are writing NAME.<letters>.part, which nobody takes for a NAME:
a process that was killed leaves it behind, and the tools remove it where they hold a run's lock.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from ..errors import WeightsError
from .text import file_name

REMEDIES = {errno.EEXIST: "a file has that name: take another",
            errno.EISDIR: "a folder has that name: take another",
            errno.ENOTDIR: "a part of that path is a file: take another",
            errno.ENOSPC: "free space on its disk", errno.EDQUOT: "free space within the quota",
            errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
            errno.ENOENT: "make its folder, which is not there (any more)"}
ELSEWHERE = "make its folder writable, or write to another"


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file that takes the name `path` once it is complete and on the disk, never before.

    Raises WeightsError, with the remedy, where it cannot be written.
    """
    place = file_name(path)
    with _reporting(path, place):
        handle, temporary = tempfile.mkstemp(".part", os.path.basename(place) + ".",
                                             os.path.dirname(os.path.abspath(place)))
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.chmod(temporary, 0o644)
                os.fsync(handle)
            os.replace(temporary, place)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _flush(os.path.dirname(os.path.abspath(place)))


@contextmanager
def creating_folder(path: str | os.PathLike) -> Iterator[str]:
    """The name of an empty folder that becomes `path`, which is not there yet, once it is
    complete. Raises WeightsError where something is there, or no folder can be made."""
    place = file_name(path)
    if os.path.lexists(place):
        raise WeightsError(f"{path}: is there already; remove it, or take another name")
    with _reporting(path, place):
        temporary = tempfile.mkdtemp(".part", os.path.basename(place) + ".",
                                     os.path.dirname(os.path.abspath(place)))
        try:
            yield temporary
            os.chmod(temporary, 0o755)
            for name in os.listdir(temporary):
                _flush(os.path.join(temporary, name))
            _flush(temporary)
            os.rename(temporary, place)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _flush(os.path.dirname(os.path.abspath(place)))


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder and those above it. Raises WeightsError, with the remedy."""
    try:
        os.makedirs(file_name(path), exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be made: {error.strerror}: {error.filename}; "
                           f"{REMEDIES.get(error.errno or 0, ELSEWHERE)}") from error


def write_whole(path: str | os.PathLike, pieces: Sequence[bytes | memoryview]) -> None:
    """Write the bytes of `pieces` to `path`. Raises WeightsError, with the remedy."""
    with replacing(path) as file:
        file.writelines(pieces)


def _flush(path: str) -> None:
    """Have a file, or the names in a folder, on the disk; a power cut leaves zeros otherwise."""
    if os.path.isdir(path) and os.name != "posix":      # only POSIX opens folders
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _reporting(path: Any, place: str) -> Iterator[None]:
    """Raise WeightsError for what hinders writing `place`; other files' errors stay as they are."""
    try:
        yield
    except OSError as error:
        mine = (place, os.path.abspath(place), os.path.dirname(os.path.abspath(place)))
        if not (error.filename is None or str(error.filename).startswith(mine[:2])
                or error.filename == mine[2]):
            raise
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}; "
                           f"{REMEDIES.get(error.errno or 0, ELSEWHERE)}") from error
