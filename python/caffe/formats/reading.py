"""The boundary to files from elsewhere: what goes wrong there becomes one of the project's errors.

A file may be anything. It is looked at before it is opened, sizes that it states are held against
the memory there is before any is taken, and every exception of a library that reads it becomes an
error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import CaffeError, WeightsError
from . import text
from .memory import available_memory

NOTABLE = 1 << 26       # bytes; about less nobody asks how much memory there is


@contextmanager
def reading(path: str | os.PathLike, kind: str, error: type[CaffeError] = WeightsError
            ) -> Iterator[None]:
    """Turn whatever goes wrong while the file `path` is read, a `kind` of file ("caffemodel"),
    into an `error` that names both; a CaffeError stays as it is."""
    a = "an" if kind[0] in "aeiouLH" else "a"
    try:
        text.check_regular(path)
        yield
    except CaffeError:
        raise
    except FileNotFoundError as problem:
        raise error(f"{path}: no such file") from problem
    except IsADirectoryError as problem:
        raise error(f"{path}: is a folder, not {a} {kind}") from problem
    except MemoryError as problem:
        raise error(f"{path}: there is not the memory to read it as {a} {kind}") from problem
    except Exception as problem:
        if reason := getattr(problem, "strerror", None):
            what = f"cannot be read as {a} {kind}: {reason}"
        else:
            why = ("it is a text file, such as a prototxt or a list"
                   if kind not in ("prototxt", "list") and text.begins_as_text(path)
                   else problem or type(problem).__name__)
            what = f"not {a} {kind}, or a damaged one: {why}"
        raise error(f"{path}: {what}") from problem


def check_memory(size: int, what: str, error: type[CaffeError] = CaffeError) -> None:
    """Raise `error` unless `size` bytes can be had for `what` ("blob 'data' of shape ...")."""
    if size > NOTABLE and size > (available := available_memory()):
        raise error(f"{what} takes {size:,} bytes of memory, there are {available:,}: make it "
                    "smaller, or free memory")
