"""Files and folders that are complete, or not there at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from ..errors import WeightsError
from .text import file_name


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file that takes the name `path` once it is complete, and never before.

    Raises WeightsError where no file can be made in its folder.
    """
    place = file_name(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=_folder(place),
                                             prefix=os.path.basename(place) + ".")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)
        os.replace(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def creating_folder(path: str | os.PathLike) -> Iterator[str]:
    """The name of an empty folder that becomes `path`, which is not there yet, once it is
    complete. Raises WeightsError where something is there, or no folder can be made."""
    place = file_name(path)
    if os.path.lexists(place):
        raise WeightsError(f"{path}: is there already")
    try:
        temporary = tempfile.mkdtemp(dir=_folder(place), prefix=os.path.basename(place) + ".")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        os.rename(temporary, place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _folder(path):
    return os.path.dirname(os.path.abspath(path))


def write_whole(path: str | os.PathLike, pieces: Sequence[bytes | memoryview]) -> None:
    """Write the bytes of `pieces` to `path`. Raises WeightsError if the disk is too full.

    The disk's blocks are taken at once; ext4 would look for them piece by piece, and be done with
    that before the file may take the place of another.
    """
    size = sum(map(len, pieces))
    with replacing(path) as file:
        if size and hasattr(os, "posix_fallocate"):         # not on macOS
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:                        # or the file system has no such thing
                if error.errno == errno.ENOSPC:
                    raise WeightsError(f"{path}: cannot be written: {size:,} bytes are needed: "
                                       f"{error.strerror}") from error
        file.writelines(pieces)
