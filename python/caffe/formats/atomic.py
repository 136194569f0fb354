"""Files that are complete or not there at all."""

import errno
import os
import tempfile
from contextlib import contextmanager

from ..errors import WeightsError


@contextmanager
def replacing(path):
    """A binary file that takes the name `path` once it is complete, and never before."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_whole(path, pieces):
    """Write the bytes of `pieces`, a list, to `path`. Raises WeightsError if the disk is too full.

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
