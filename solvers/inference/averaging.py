"""Probabilities, and their mean over an image mirrored and in several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

Compute = Callable[[list[np.ndarray]], np.ndarray]


def softmax(scores: np.ndarray) -> np.ndarray:
    """float32 probabilities of float32 scores (number, classes, ...)."""
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def averaged(arrays: list[np.ndarray], probabilities: Compute, scales: Sequence[float],
             flip: bool) -> np.ndarray:
    """The mean of the probabilities, float32 (number, classes, height, width), of images in each
    of `scales`, and with `flip` mirrored from left to right, too.

    arrays : float32 (number, channels, height, width), one for each input of the net
    probabilities : of such arrays, of any size
    """
    size = arrays[0].shape[2:]
    total: np.ndarray | None = None
    for scale in scales:
        there = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        scaled = [resized(array, there) for array in arrays]
        for mirrored in (False, True)[:1 + flip]:
            given = [np.ascontiguousarray(a[..., ::-1]) for a in scaled] if mirrored else scaled
            found = probabilities(given)
            found = resized(found[..., ::-1] if mirrored else found, size)
            total = found.astype(np.float32) if total is None else total + found
    assert total is not None
    total /= len(scales) * (1 + flip)
    return total


def resized(arrays: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 arrays (…, height, width) in another size, bilinear; smoothed where it is smaller."""
    if arrays.shape[-2:] == size:
        return arrays
    planes = arrays.reshape(-1, *arrays.shape[-2:])
    out = [np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(
        size[::-1], Image.Resampling.BILINEAR)) for plane in planes]
    return np.stack(out).reshape(*arrays.shape[:-2], *size)
