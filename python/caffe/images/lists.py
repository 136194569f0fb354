"""Lists of images: `path label` on each line, read as the original reads them."""

import os
import re
from typing import NamedTuple

from ..errors import CaffeError
from ..formats.reading import reading
from ..formats.text import file_name, read_text
from ..log import logger

_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", re.ASCII)


class Entry(NamedTuple):
    """A line of a list."""

    path: str
    label: int
    place: str      # 'source:line'


def read_list(source: str, root: str = "") -> list[Entry]:
    """The entries of a list with `path label` on each line; `root` goes before each path.

    As in Caffe, the path is all that stands before the last blank, further blanks and tabs
    included, and the label the whole number with which the rest of the line begins: 0 if there is
    none. A warning tells of that, and of what is not such a number alone. A line without a blank
    is a path and that number. Empty lines have no path. Raises CaffeError where no line has one.
    """
    entries: list[Entry] = []
    unlabelled, misread = [], []
    for number, line in enumerate(read_lines(source), 1):
        path, blank, label = line.rpartition(" ")
        place = f"{source}:{number}"
        if not line.strip():
            entries.append(Entry("", 0, place))
            continue
        entries.append(Entry(root + (path if blank else line), _whole_number(label), place))
        found = _INTEGER.match(label)
        if not found:
            unlabelled.append(place)
        elif label[found.end():].strip() or int(found[1]) != entries[-1].label:
            misread.append(f"{place}: the label '{label}' is read as {entries[-1].label}")
    if not any(entry.path for entry in entries):
        raise CaffeError(f"{source}: it lists no images")
    if unlabelled:
        logger.warning("%s: no label behind the last blank, which makes it 0, as in the original "
                       "(%d such lines)", unlabelled[0], len(unlabelled))
    if misread:
        logger.warning("%s, as in the original: labels are whole numbers of 32 bits (%d such "
                       "lines)", misread[0], len(misread))
    return entries


def check_paths(entries: list[Entry]) -> None:
    """Raises CaffeError for a path that ends in blanks, or holds a tab, and is no file's."""
    for path, _, place in entries:
        if re.search(r"\s$|\t", path) and not os.path.exists(file_name(path)):
            raise CaffeError(f"{place}: no file has the name '{path}'; expected `path label`, with "
                             "a single blank before the label and none behind it")


def read_lines(source: str) -> list[str]:
    """The lines of a text file, without their ends and a byte order mark. Raises CaffeError."""
    with reading(source, "list", CaffeError):
        lines = read_text(source).split("\n")
        if any("\0" in line for line in lines):
            raise ValueError("it holds null bytes, as text in UTF-16 does; save it as UTF-8")
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix("\r") for line in lines]


def _whole_number(text: str) -> int:
    """The 32-bit whole number with which `text` begins, blanks before it aside; 0 if none does."""
    found = _INTEGER.match(text)
    value = int(found[1]) if found else 0
    return (value + 2 ** 31) % 2 ** 32 - 2 ** 31
