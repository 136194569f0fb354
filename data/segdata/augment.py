"""Augmentation: mirroring and jitter, as the paper tried them (section 4.3), and what DeepLab adds:
resizing by random factors, and windows of one size. Samples of different sizes become one batch.

The paper found that augmentation did not improve the result noticeably; it is off by default.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_SCALE = 16     # times an image may be enlarged


class Move(NamedTuple):
    """What happens to a sample: mirrored or not, then moved by so many pixels."""
    mirror: bool
    down: int
    right: int


def draw_move(seed: int, position: int, mirror: bool, jitter: int) -> Move:
    """The `Move` of the sample at a position of a run; it depends on the arguments alone.

    mirror: bool, mirror every second sample; jitter: int, the largest step in each direction.
    """
    draws = random.Random(f"{seed} {position}")
    heads = draws.random() < 0.5
    return Move(mirror and heads, draws.randint(-jitter, jitter), draws.randint(-jitter, jitter))


def apply_move(array: np.ndarray, move: Move, fill: float) -> np.ndarray:
    """The array (..., height, width) mirrored and moved; `fill` where nothing comes to lie."""
    if move.mirror:
        array = array[..., ::-1]
    if not (move.down or move.right):
        return array
    rows, columns = (overlap(step, size) for step, size in zip(move[1:], array.shape[-2:]))
    moved = np.full_like(array, fill)
    moved[..., rows[1], columns[1]] = array[..., rows[0], columns[0]]
    return moved


def overlap(step: int, size: int) -> tuple[slice, slice]:
    """The slices of the old and the new place of what stays inside after a step along an axis."""
    step = max(-size, min(step, size))
    return slice(max(0, -step), size - max(0, step)), slice(max(0, step), size + min(0, step))


def draw_scale(seed: int, position: int, low: float, high: float) -> float:
    """The factor, uniform in low .. high, of the sample at a position of a run."""
    return random.Random(f"scale {seed} {position}").uniform(low, high)


def draw_window(seed: int, position: int, size: tuple[int, int], window: tuple[int, int]
                ) -> tuple[int, int]:
    """The top left corner (row, column) of a window in an image, both (height, width); each that
    lies inside is drawn as often. The window is not larger than the image."""
    draws = random.Random(f"window {seed} {position}")
    return (draws.randint(0, size[0] - window[0]), draws.randint(0, size[1] - window[1]))


def resize_bilinear(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """The array (..., rows, columns) in another size, interpolated between the centres of pixels;
    beyond the outermost centres it is constant."""
    columns = _interpolated(array.swapaxes(-1, -2), height).swapaxes(-1, -2)
    return _interpolated(columns, width)


def _interpolated(array: np.ndarray, size: int) -> np.ndarray:
    """The array with `size` values along its last axis."""
    last = array.shape[-1] - 1
    at = np.clip(_centres(size, last + 1) - 0.5, 0, last)
    before = np.floor(at).astype(int)
    share = (at - before).astype(array.dtype)
    values = array[..., before]
    return values + (array[..., np.minimum(before + 1, last)] - values) * share


def resize_nearest(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """The array (..., rows, columns) in another size, every value that of the pixel in which its
    centre lies."""
    rows, columns = (np.floor(_centres(size, old)).astype(int)
                     for size, old in zip((height, width), array.shape[-2:]))
    return array[..., rows[:, None], columns]


def _centres(size: int, old: int) -> np.ndarray:
    """The centres of `size` pixels in the coordinates of `old` that cover the same length."""
    return (np.arange(size) + 0.5) * (old / size)


def pad(array: np.ndarray, height: int, width: int, fill: float) -> np.ndarray:
    """The array (..., rows, columns), `fill` below and right of it, at least as large as said."""
    rows, columns = array.shape[-2:]
    if rows >= height and columns >= width:
        return array
    padded = np.full((*array.shape[:-2], max(rows, height), max(columns, width)), fill,
                     array.dtype)
    padded[..., :rows, :columns] = array
    return padded


def reflected(array: np.ndarray, margin: int) -> np.ndarray:
    """The array (..., rows, columns) with so many rows and columns more on every side: what lies
    as far inside of its edge, the edge itself once."""
    if not margin:
        return array
    return np.pad(array, [(0, 0)] * (array.ndim - 2) + [(margin, margin)] * 2, mode="reflect")


def stacked(arrays: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Arrays (channels, height, width) as one (number, channels, height, width), each padded to
    the largest height and width; a single one is not copied."""
    if len(arrays) == 1:
        return arrays[0][None]
    height, width = (max(array.shape[axis] for array in arrays) for axis in (-2, -1))
    return np.stack([pad(array, height, width, fill) for array in arrays])
