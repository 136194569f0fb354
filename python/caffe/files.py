"""Files that are complete or not there at all."""

import os
import tempfile
from contextlib import contextmanager

from .errors import WeightsError


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
