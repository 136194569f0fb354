"""The order in which a data layer gives its samples."""

import itertools
import random
from collections.abc import Iterator

import numpy as np


def sample_order(count: int, seed: int | None = None, start: int = 0) -> Iterator[int]:
    """An endless iterator of sample indices from the position `start` on: 0, 1, ... in turn, or
    drawn with replacement.

    For a given seed the draws are those of the published layers, which ran on Python 2.7: its
    randint scales random(), that of Python 3 draws bits. NumPy's generator is the same as
    Python's, and passes over the two numbers of each draw a hundred times as fast.
    """
    if seed is None:
        return (position % count for position in itertools.count(start))
    version, numbers, gauss = random.Random(seed).getstate()
    passed = np.random.MT19937()
    passed.state = {"bit_generator": "MT19937",
                    "state": {"key": np.array(numbers[:-1], np.uint32), "pos": numbers[-1]}}
    passed.random_raw(2 * start, output=False)
    draws, state = random.Random(), passed.state["state"]
    draws.setstate((version, (*map(int, state["key"]), state["pos"]), gauss))
    return (int(draws.random() * count) for _ in itertools.count())
