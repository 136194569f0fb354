"""Work on many files at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
R = TypeVar("R")


def for_each(function: Callable[[T], R], items: Sequence[T], doing: str) -> list[R]:
    """[function(item)], several at a time, under a progress bar; an error, or Ctrl-C, ends it."""
    pool = ThreadPoolExecutor()
    try:
        return list(tqdm(pool.map(function, items), total=len(items), desc=doing, unit="image",
                         leave=False, disable=None))
    finally:
        pool.shutdown(cancel_futures=True)
