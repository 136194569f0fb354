"""What goes wrong through what a user gave, asked for or lacks. Also run by an old Python (3.7)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import NamedTuple

MOST_BESIDE = 10_000    # names in a folder that are looked at for what somebody meant


class UserError(RuntimeError):
    """The base of the errors that a user can mend; tools print their message alone."""


class Doubt(NamedTuple):
    """What is odd of a file that can be used all the same. problem : a clause about the file;
    remedy : a sentence"""
    problem: str
    remedy: str


class DataError(UserError):
    """Data that is missing, does not fit, or is asked for wrongly."""


class InputError(UserError):
    """Files beside a photograph that are missing, do not fit, or that the net does not take."""


class MaterialError(UserError):
    """Downloaded material that is not what the project expects."""


class DownloadError(UserError):
    """A download that failed or is not what was expected."""


class ArchiveError(UserError):
    """An archive that is broken, is not what was expected, or is unsafe to unpack."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The entry of `known` that somebody who wrote `name` may have meant, '' for none: of a
    --learning-rate the --lr."""
    folded = {entry.lower().lstrip("-"): entry for entry in reversed([*known])}
    match = get_close_matches(name.lower().lstrip("-"), folded, n=1, cutoff=0.6)
    words = re.findall(r"[^-_]+", name.lower()) if name.startswith("--") else []
    initials = "".join(word[0] for word in words)
    is_near = match and get_close_matches(name.lower().lstrip("-"), match, cutoff=0.8)
    if len(words) > 1 and initials in folded and not is_near:
        return folded[initials]
    return folded[match[0]] if match else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for the entry of `known` nearest to `name`, or ''."""
    meant = nearest(name, known)
    return f" (did you mean '{meant}'?)" if meant else ""


def did_you_mean_path(path: Path) -> str:
    """' (did you mean ...?)' for a path that is not there: with what lies beside the first of its
    parts that is missing, and has nearly its name, whatever the suffix; or ''."""
    if os.path.lexists(path):       # it is there, but another kind of file than was expected
        return ""
    missing = path
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    try:
        with os.scandir(missing.parent) as entries:
            there = [Path(each.path) for each in islice(entries, MOST_BESIDE)]
    except OSError:
        return ""
    there.sort(key=lambda each: (each.suffix == missing.suffix, each.name))
    stems = {each.stem: each for each in there}
    meant = nearest(missing.stem, stems)
    if not meant:
        return ""
    beside = missing.parent / stems[meant].name
    whole = beside / path.relative_to(missing)
    return f" (did you mean '{whole if whole.exists() else beside}'?)"
