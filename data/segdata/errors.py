"""What goes wrong through what a user gave, asked for or lacks."""

from typing import NamedTuple


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
