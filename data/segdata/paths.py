"""Where downloads and results lie. Also run by the system's Python, thus by an old one (3.7).

In a checkout both lie inside it; where the project is installed without one, in the current folder.
"""

import os
from pathlib import Path

from segdata.errors import UserError


def data_root() -> Path:
    """The folder of what is downloaded, absolute: $FCN_DATA, else data/store."""
    return _folder("FCN_DATA", Path("data", "store"))


def build_root() -> Path:
    """The folder of runs and other results, absolute: $FCN_BUILD, else build."""
    return _folder("FCN_BUILD", Path("build"))


def _folder(variable: str, default: Path) -> Path:
    named = os.environ.get(variable)
    if named:
        try:
            return Path(named).expanduser().resolve()
        except RuntimeError as error:       # ~NAME of nobody
            raise UserError(f"${variable} is {named}: {error}") from None
    checkout = Path(__file__).resolve().parents[2]
    inside = (checkout / "data" / "segdata" / "paths.py").is_file()
    return (checkout if inside else Path.cwd()) / default
