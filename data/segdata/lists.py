"""Text files of names: split lists and lists of classes, whatever system wrote them; literals."""

import ast
import codecs
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segdata.errors import DataError


class Entry(NamedTuple):
    """One line of a split list."""
    name: str
    source: str     # "LIST:LINE", for messages


SHOWN = 5       # of many items in a message
MOST_LITERAL = 1 << 16      # characters of a param_str
MOST_TEXT = 1 << 30     # bytes of a list; those of the largest data sets are smaller


def check_regular(path: str | os.PathLike) -> None:
    """ValueError for a pipe or a device, which keep their reader waiting, or never end."""
    kind = os.stat(path).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise ValueError(f"{path} is a pipe or a device, expected a plain file")


def literal(text: str) -> Any:
    """The Python literal in a layer's param_str. ValueError where it is none.

    Long texts are refused before they are parsed: the parser goes as deep as they nest, and takes
    a hundred times their memory.
    """
    if len(text) > MOST_LITERAL:
        raise ValueError(f"it has {len(text):,} characters, at most {MOST_LITERAL:,} are read")
    try:
        return ast.literal_eval(text)
    except Exception as error:
        raise ValueError(f"no Python literal: {error or type(error).__name__}") from None


def read_lines(path: Path) -> list[tuple[int, str]]:
    """[(line number from 1, text)] of the lines that are not blank, without blanks at their ends.

    UTF-8, and UTF-16 where a byte order mark says so. Bytes that are no UTF-8 stay as they are, as
    Python has them in file names (surrogate escapes): a name finds the file of the same bytes.

    Raises ValueError for what is no plain file, or above MOST_TEXT.
    """
    check_regular(path)
    if path.stat().st_size > MOST_TEXT:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, too many for a list")
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode()      # what PowerShell's > writes
    lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
    texts = [line.decode("utf-8", "surrogateescape").strip() for line in lines]
    return [(number, text) for number, text in enumerate(texts, 1) if text]


def latin1(text: str) -> str:
    """The text with the bytes that are no UTF-8 taken for Latin-1."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")


def printable(text: str) -> str:
    """The text as it can be written: single bytes that are no UTF-8 are taken for Latin-1, and
    halves of characters, which JSON can have, for unknown ones."""
    return "".join(chr(ord(sign) - 0xdc00) if "\udc80" <= sign <= "\udcff" else
                   "\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in text)


def counted(number: int, noun: str) -> str:
    """'1 mask', '2 masks'."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def some(items: Sequence[object], separator: str = ", ") -> str:
    """The first few items as text, and how many more there are; 'none' where there is none."""
    more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return separator.join([*map(str, items[:SHOWN]), *more]) or "none"


def list_entries(path: Path) -> tuple[list[Entry], list[str]]:
    """(the entries of a split list, one name a line; what is wrong with its other lines).

    Blank lines do not count. Raises DataError where the list is missing or empty.
    """
    if not path.exists():
        raise DataError(f"split list {path} does not exist (looked in {Path.cwd()})")
    lines: dict[str, int] = {}
    problems = []
    try:
        numbered = read_lines(path)
    except (ValueError, OSError) as error:
        raise DataError(f"split list {path} cannot be read: {error}") from None
    for number, name in numbered:
        if name.startswith(("/", "\\")) or ".." in Path(name).parts or Path(name).is_absolute():
            problem = ("is a path; expected is the name of a sample, without folder and suffix, "
                       "such as '2007_000033'")
        elif name in lines:
            problem = f"stands already in line {lines[name]}; a list has each sample once"
        else:
            lines[name] = number
            continue
        problems.append(f"split list {path}:{number}: '{latin1(name)}' {problem}")
    if not lines and not problems:
        raise DataError(f"split list {path} is empty; write the names of its samples there, one "
                        "a line, without folder and suffix")
    return [Entry(name, f"{path}:{number}") for name, number in lines.items()], problems


def read_list(path: Path) -> list[Entry]:
    """The entries of a split list: one name a line; blank lines do not count.

    Raises DataError where the list is missing or empty, and, with the line, where a name stands
    twice or leads out of the folder of the data.
    """
    entries, problems = list_entries(path)
    if problems:
        raise DataError(problems[0])
    return entries


def as_on_disk(entry: Entry, is_there: Callable[[str], bool]) -> Entry:
    """The entry; with its name read as Latin-1 where only then is_there(name) holds."""
    other = latin1(entry.name)
    if other != entry.name and not is_there(entry.name) and is_there(other):
        return entry._replace(name=other)
    return entry


class KnownFiles:
    """Which files there are, by one look into each folder."""

    def __init__(self) -> None:
        self.folders: dict[Path, set[str]] = {}

    def __contains__(self, path: Path) -> bool:
        names = self.folders.get(path.parent)
        if names is None:
            names = self.folders[path.parent] = _names(path.parent)
        return path.name in names


def first_there(paths: Sequence[Path], known_files: KnownFiles) -> Path:
    """The first that is there; without any, the first."""
    return next((path for path in paths if path in known_files), paths[0])


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()
