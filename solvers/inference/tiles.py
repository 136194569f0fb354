"""An image in tiles that overlap, where the memory does not hold the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from fcn.solvers.inference.fields import Reach
from segdata.errors import UserError
from segdata.memory import available_memory

SHARE = 0.8         # of the free memory that the blobs of a net may take
GIB = 1 << 30


class TileError(UserError):
    """Tiles that cannot be: too small for what a score looks at, or for the memory."""


class Span(NamedTuple):
    """Along one axis, in pixels: a tile from `start` to `end`, of which the scores from `first` to
    `last` are those of the whole image."""
    start: int
    end: int
    first: int
    last: int


class Tiling(NamedTuple):
    """rows, columns : the Spans whose products are the tiles; size : (height, width) of the
    largest; memory : bytes that the net takes for it, whole : for the image undivided"""
    rows: list[Span]
    columns: list[Span]
    size: tuple[int, int]
    memory: int
    whole: int

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __str__(self) -> str:
        if len(self) == 1:
            return f"{gigabytes(self.whole)} for the net's blobs"
        return (f"{len(self)} tiles of up to {self.size[1]}x{self.size[0]} pixels, "
                f"{gigabytes(self.memory)} for the net's blobs; the whole would take "
                f"{gigabytes(self.whole)}")


def gigabytes(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / 2 ** 20:.1f} MiB"


def spans(length: int, tile: int, reach: Reach) -> Iterator[Span]:
    """The Spans of an axis of `length` pixels. Raises TileError where a tile is too small."""
    if tile >= length:
        yield Span(0, length, 0, length)
        return
    least = reach.before + reach.behind + reach.unit
    if tile < least:
        raise TileError(f"a tile of {tile} pixels is too small for this net: a score looks at "
                        f"{reach.before} pixels before and {reach.behind} behind it, so that "
                        f"--tile takes {least} or more, better {2 * least}")
    start = first = 0
    while start + tile < length:
        last = start + tile - reach.behind
        yield Span(start, start + tile, first, last)
        start, first = (last - reach.before) // reach.unit * reach.unit, last
    yield Span(start, length, first, length)


def tiling(size: tuple[int, int], tile: int | None, reach: Callable[[], tuple[Reach, Reach]],
           memory: Callable[[int, int], int], free: int | None) -> Tiling:
    """The Tiling for an image of `size` (height, width).

    tile : the side of the tiles; None: the whole image where the memory holds it, else the largest
        tiles that it does hold
    reach : the reach of the net's scores; asked for only where there are tiles
    memory : of a height and a width, the bytes of the net's blobs
    free : bytes that are free, None if that is not known

    Raises TileError where no tile would do, NotLocal of a net of which none does.
    """
    whole = memory(*size)
    if tile is None and (free is None or whole <= SHARE * free):
        return Tiling([Span(0, size[0], 0, size[0])], [Span(0, size[1], 0, size[1])], size, whole,
                      whole)
    both = reach()
    if tile is None:
        tile = _largest(size, both, memory, SHARE * (free or 0))
    rows, columns = (list(spans(*each)) for each in zip(size, (tile, tile), both))
    largest = min(tile, size[0]), min(tile, size[1])
    return Tiling(rows, columns, largest, memory(*largest), whole)


def _largest(size: tuple[int, int], both: tuple[Reach, Reach],
             memory: Callable[[int, int], int], most: float) -> int:
    unit = max(reach.unit for reach in both)
    least = max(reach.before + reach.behind + reach.unit for reach in both)
    tile = max(size) // unit * unit
    while tile > least and memory(min(tile, size[0]), min(tile, size[1])) > most:
        tile -= unit
    if (needed := memory(min(tile, size[0]), min(tile, size[1]))) > most:
        raise TileError(f"an image of {size[1]}x{size[0]} pixels (width x height) takes "
                        f"{gigabytes(memory(*size))} in this net, and in the smallest tiles still "
                        f"{gigabytes(needed)}, but {gigabytes(most)} are free; free memory, or "
                        "make the image smaller (--scales 0.5)")
    return tile


def free_memory(gpu: int | None) -> int | None:
    """The bytes that are free for this process, on the CPU or on a GPU; None of a GPU on the
    original Caffe, which cannot say it."""
    if gpu is None:
        return available_memory()
    with suppress(ImportError, RuntimeError):
        import torch
        torch.cuda.empty_cache()        # what PyTorch keeps for the next image is free, too
        return torch.cuda.mem_get_info(gpu)[0]
    return None
