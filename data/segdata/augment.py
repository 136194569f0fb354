"""Augmentation as the paper tried it (section 4.3): mirroring, and jitter of up to 32 pixels.

The paper found that it did not improve the result noticeably; it is off by default.
"""

import random
from typing import NamedTuple

import numpy as np


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
