"""What can go wrong with an image, a net or weights."""

from pathlib import Path

from segdata.errors import UserError, did_you_mean_path


class InferError(UserError):
    """An image, a net or weights that cannot be used."""


def no_such_file(path: Path) -> str:
    """The message that a file is not there; of a relative path, where it was looked for."""
    return f"{path}: no such file" + ("" if path.is_absolute() else f" in {Path.cwd()}")


def not_there(path: Path) -> str:
    """The same of what somebody has typed, with what was probably meant."""
    return no_such_file(path) + did_you_mean_path(path)
