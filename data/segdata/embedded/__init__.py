"""The embedded datasets: drawn from a seed in seconds, in the layouts of the real ones."""

from pathlib import Path

MANIFEST = "embedded.json"      # in the folder of a dataset: what it was drawn from


def is_drawn(path: Path) -> bool:
    """Whether a file lies in an embedded dataset, wherever that is, even if somebody put it there.
    """
    return any((folder / MANIFEST).is_file() for folder in path.resolve().parents)
