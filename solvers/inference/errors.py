"""What can go wrong with an image, a net or weights."""

from pathlib import Path

from segdata.errors import UserError


class InferError(UserError):
    """An image, a net or weights that cannot be used."""


def no_such_file(path: Path) -> str:
    """The message that a file is not there; of a relative path, where it was looked for."""
    return f"{path}: no such file" + ("" if path.is_absolute() else f" in {Path.cwd()}")
