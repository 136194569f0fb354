"""Tables of the colours of classes, and lists of class names."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segdata.classes import read_class_names
from segdata.errors import DataError
from segdata.lists import read_lines

NAME_FILES = ("classes.txt", "class_names.txt", "labels.txt", "label_names.txt")
NUMBERS = re.compile(r"\s*(\d+)[\s,;]+(\d+)[\s,;]+(\d+)[\s,;:]+(.*[^\W\d].*?)\s*")     # R G B name
NAME_FIRST = re.compile(r"\s*([^:,;\t]*[^:,;\t\s])\s*[:,;\t]\s*(\d+)[\s,;]+(\d+)[\s,;]+(\d+)"
                        r"\s*(?:[:,;\t].*)?")                                # name:r,g,b::
HEX = re.compile(r"\s*#([0-9a-fA-F]{6})[\s,;:]+(.*\S)\s*")                   # #rrggbb name


def code(colours: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) -> one number for each colour (int32)."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def colour(number: int) -> tuple[int, int, int]:
    """The red, green and blue of a `code`."""
    return number >> 16, number >> 8 & 255, number & 255


def read_table(path: Path) -> dict[int, str]:
    """{code of a colour: name of its class} of a text file, in its order.

    Each line is `R G B name`, as CamVid has them, `name:R,G,B::` as CVAT's labelmap.txt,
    `name,R,G,B` or `#rrggbb name`. Raises DataError with the line that is none of these.
    """
    table: dict[int, str] = {}
    lines = [(number, text) for number, text in _lines(path)
             if HEX.fullmatch(text) or not text.startswith("#")]
    for place, (number, text) in enumerate(lines):
        entry = _entry(text)
        if entry is None:
            if place == 0 and not re.search(r"\d", text):       # a headline
                continue
            raise DataError(f"{path}:{number}: '{text}' is no colour of a class, expected `R G B "
                            "name` with numbers from 0 to 255, or `name:R,G,B`")
        if entry[0] in table and table[entry[0]] != entry[1]:
            raise DataError(f"{path}:{number}: colour {colour(entry[0])} is that of "
                            f"'{table[entry[0]]}' and of '{entry[1]}'; give each class its own")
        table[entry[0]] = entry[1]
    if not table:
        raise DataError(f"{path} names no colours, expected lines `R G B name`")
    return table


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        return read_lines(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; it should hold lines `R G B name`") from None


def _entry(text: str) -> tuple[int, str] | None:
    if found := HEX.fullmatch(text):
        return int(found[1], 16), found[2]
    if found := NUMBERS.fullmatch(text):
        *numbers, name = found.groups()
    elif found := NAME_FIRST.fullmatch(text):
        name, *numbers = found.groups()
    else:
        return None
    values = [int(number) for number in numbers]
    return (int(code(np.array(values))), name) if max(values) <= 255 else None


def find_table(folders: Iterable[Path]) -> Path | None:
    """The first text file in the folders that is a table of colours."""
    for folder in folders:
        for path in sorted([*folder.glob("*.txt"), *folder.glob("*.csv")]):
            try:
                read_table(path)
                return path
            except DataError:
                continue
    return None


def find_names(folders: Iterable[Path]) -> tuple[Path, list[str]] | None:
    """(file, names) of the first list of class names in the folders. DataError if it is damaged."""
    path = next((path for folder in folders for name in NAME_FILES
                 if (path := folder / name).is_file()), None)
    try:
        return (path, read_class_names(path)) if path else None
    except ValueError as error:
        raise DataError(str(error)) from None
