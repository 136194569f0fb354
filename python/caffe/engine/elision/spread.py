"""Replicating the rows that were left out, and summing the gradients of replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Spread:
    """Where the rows of a larger axis come from, in a smaller one.

    sizes : (rows there are, rows to make)
    pieces : pairs of slices (from, to); one row goes to any number, several to as many
    """

    sizes: tuple
    pieces: tuple

    @classmethod
    def between(cls, there: np.ndarray, wanted: np.ndarray) -> Spread:
        """From rows with the numbers `there` to such with the numbers `wanted`, a subset."""
        known, first = np.unique(there, return_index=True)
        source = first[np.searchsorted(known, wanted)]
        return cls((len(there), len(wanted)), tuple(_pieces(source)))


Spreads = tuple[Spread, Spread]         # for rows and for columns


def _pieces(source: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Slices (from, to) that take source[i] to i: a piece is rows in sequence, or one repeated."""
    begin = np.flatnonzero(np.diff(source, prepend=source[:1] - 1))      # of equal rows
    count = np.diff(begin, append=len(source))
    row = source[begin]
    alone = count == 1
    follows = alone[1:] & alone[:-1] & (np.diff(row) == 1)
    for group in np.split(np.arange(len(row)), np.flatnonzero(~follows) + 1):
        first, last = group[0], group[-1]
        yield (slice(int(row[first]), int(row[last]) + 1),
               slice(int(begin[first]), int(begin[last] + count[last])))


def spread(x: torch.Tensor, rows: Spread, columns: Spread) -> torch.Tensor:
    """`x`, (N, C, H, W), with its rows and columns spread."""
    y = _empty(x, rows.sizes[1], columns.sizes[1])
    for below, above in rows.pieces:
        for left, right in columns.pieces:
            y[:, :, above, right] = x[:, :, below, left]
    return y


def gather(gradient: torch.Tensor, rows: Spread, columns: Spread) -> torch.Tensor:
    """The gradient by x of `spread`, given that by its result: replicas add up."""
    x = _empty(gradient, rows.sizes[0], columns.sizes[0]).zero_()
    for below, above in rows.pieces:
        for left, right in columns.pieces:
            part = x[:, :, below, left]
            part += gradient[:, :, above, right].sum_to_size(part.shape)
    return x


def paste(frame: torch.Tensor, core: torch.Tensor, spreads: Sequence[Spread], place: Sequence[tuple]
         ) -> torch.Tensor:
    """The whole of a frame, spread, and a core at `place`, (start, stop) of rows and columns."""
    whole = spread(frame, *spreads)
    whole[_at(place)] = core
    return whole


def cut(gradient: torch.Tensor, spreads: Sequence[Spread], place: Sequence[tuple]
       ) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients by frame and core of `paste`, given that by its result."""
    core, rest = gradient[_at(place)].clone(), gradient.clone()
    rest[_at(place)] = 0
    return gather(rest, *spreads), core


def surround(core: torch.Tensor, frame: torch.Tensor, between: Sequence[int],
             place: Sequence[tuple], size: Sequence[int]) -> torch.Tensor:
    """A map of `size`, (height, width), with the core at `place`, and else what the frame has at
    `between`, a row and a column."""
    row, column = between
    y = _empty(core, *size)
    y[:] = frame[:, :, row:row + 1, column:column + 1]
    y[_at(place)] = core
    return y


def unsurround(gradient: torch.Tensor, place: Sequence[tuple]) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients by the core and by the value around it, of `surround`."""
    rest = gradient.clone()
    rest[_at(place)] = 0
    return gradient[_at(place)].clone(), rest.sum((2, 3))


def _at(place: Sequence[tuple]) -> tuple[slice, ...]:
    return (slice(None), slice(None), *(slice(*ends) for ends in place))


def _empty(like: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, C, height, width), laid out in memory as `like` is."""
    last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return torch.empty(*like.shape[:2], height, width, dtype=like.dtype, device=like.device,
                       memory_format=torch.channels_last if last else torch.contiguous_format)
