"""The files of a sample: read, with errors that say which list asked for them, and checked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from segdata.classes import VOID
from segdata.errors import DataError
from segdata.lists import latin1

T = TypeVar("T")


def absent(kind: str, path: Path, suffixes: Sequence[str]) -> str:
    """That a file does not exist, nor one with another of its suffixes."""
    others = dict.fromkeys(suffix for suffix in map(str.lower, suffixes) if suffix != path.suffix)
    return (f"{kind} {latin1(str(path))} does not exist"
            + f", nor with {' or '.join(others)}" * bool(others))


def read_file(reader: Callable[[Path], T], kind: str, path: Path, source: str,
              suffixes: Sequence[str] = ()) -> T:
    """reader(path), with errors that say which line of which list asked for the file; suffixes :
    those that it may have."""
    try:
        return reader(path)
    except FileNotFoundError:
        raise DataError(f"{absent(kind, path, suffixes)}, {source}") from None
    except Exception as error:      # what Pillow and SciPy raise on a broken file has no base
        raise DataError(f"{kind} {path} cannot be read: {type(error).__name__}: {error}, "
                        f"{source}") from error


def check_sizes(shapes: list[tuple[Path, tuple]], source: str) -> None:
    """Raise DataError unless all [(path, shape)] agree in height and width, the last two."""
    (first, expected), *others = shapes
    for path, shape in others:
        if shape[-2:] != expected[-2:]:
            raise DataError(f"{first} is {_size(expected)}, but {path} is {_size(shape)} "
                            f"(width x height), {source}")


def check_values(numbers: np.ndarray, classes: int, path: Path, source: str) -> None:
    """Raise DataError unless the class numbers are 0 .. classes-1 or void."""
    found = np.unique(numbers[(numbers < 0) | (numbers >= classes)])
    wrong = [str(number) for number in found if number != VOID]
    if wrong:
        raise DataError(f"label {path} has values {', '.join(wrong)}, allowed are 0 to "
                        f"{classes - 1} and {VOID}, {source}")


def _size(shape: tuple) -> str:
    return f"{shape[-1]}x{shape[-2]}"
