"""Rows that are equal whatever the values: how they are numbered, and what windows make of them.

All of this looks along one axis of an image; "row" stands for a column, too. The rows of a blob
get numbers such that rows of equal number are equal for any data and weights: those of the data
all differ, and a row of a top has the number of its window, that is, of the numbers in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Run = tuple[int, int]      # rows start to stop
Runs = Sequence[Run]
PAD, BEYOND = -1, -2    # the numbers of rows of padding, and of those past it


class Unproven(Exception):
    """Leaving rows out would change others."""


@dataclass(frozen=True)
class Slide:
    """A window that slides along one axis; the default is that of a layer that works on each
    place alone.

    up : whether the number of windows rounds up (pooling)
    inside : whether the last window must begin before the padding behind the image (pooling)
    """

    kernel: int = 1
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    up: bool = False
    inside: bool = False

    @property
    def extent(self) -> int:
        """From the first row of a window to its last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    def count(self, n: int) -> int:
        """How many windows there are on n rows."""
        count = (n + 2 * self.pad - self.extent + (self.stride - 1) * self.up) // self.stride + 1
        return count - (self.inside and (count - 1) * self.stride >= n + self.pad)

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers in each window: an int64 array (windows, kernel)."""
        n, pad = len(numbers), np.full(self.pad, PAD)
        first = np.arange(self.count(n)) * self.stride
        at = first[:, None] + np.arange(self.kernel) * self.dilation
        beyond = np.full(max(0, at.max(initial=0) + 1 - n - 2 * self.pad), BEYOND)
        return np.concatenate([pad, numbers, pad, beyond])[at]

    def within(self, run: Run, n: int) -> Run:
        """Of the windows on n rows those that lie in `run`, (start, stop): also (start, stop)."""
        start, stop = run
        first = max(0, -(-(start + self.pad) // self.stride))
        last = (stop - self.extent + self.pad) // self.stride
        return first, max(first, min(last + 1, self.count(n)))

    def pad_runs(self, n: int) -> Runs:
        """The padding before and after n rows, as two runs."""
        return (-self.pad, 0), (n, n + self.pad)


def numbered(windows: np.ndarray) -> np.ndarray:
    """A number for each row of an integer matrix, equal for equal rows and no others."""
    numbers = np.zeros(len(windows), np.int64)
    for column in windows.T:
        column = column - column.min(initial=0)
        _, numbers = np.unique(numbers * (column.max(initial=0) + 1) + column,
                               return_inverse=True)
    return numbers


def leave_out(numbers: np.ndarray, runs: Runs, count: int) -> np.ndarray:
    """`numbers` without `count` rows of each of the runs, from its start on."""
    rows = np.arange(len(numbers))
    left = np.zeros(len(numbers), bool)
    for start, _ in runs:
        left |= (start <= rows) & (rows < start + count)
    return numbers[~left]


def spare(runs: Runs) -> int:
    """How many rows can be left out of each run, so that one remains."""
    return max(0, min(stop - start for start, stop in runs) - 1)


def meet(runs: Iterable[Runs]) -> Runs:
    """The common part of runs, for several pairs of them."""
    return tuple((max(starts), min(stops)) for starts, stops in
                 (zip(*same) for same in zip(*runs)))
