"""Where downloaded data lie. Also run by the system's Python, thus by an old one (3.7)."""

import os
from pathlib import Path


def data_root() -> Path:
    """The folder of what is downloaded, absolute: $FCN_DATA, or data/store of the checkout.

    Where the package is installed without a checkout it is data/store of the current folder.
    """
    named = os.environ.get("FCN_DATA")
    if named:
        return Path(named).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    inside = (checkout / "data" / "segdata" / "paths.py").is_file()
    return (checkout if inside else Path.cwd()) / "data" / "store"
