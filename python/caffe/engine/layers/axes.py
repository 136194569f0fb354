"""What the layers share about axes and indices."""

from __future__ import annotations

from collections.abc import Sequence

from ..blob import Blob
from .base import TensorLayer

LEGACY_AXES = 4     # num, channels, height, width: what the original's older layers know


def canonical_axis(layer: TensorLayer, axis: int, shape: Sequence[int]) -> int:
    """`axis` counted from the front. Raises the layer's error if `shape` has no such axis."""
    if not -len(shape) <= axis < len(shape):
        raise layer.error(f"axis {axis} out of range: it does not exist in a blob of shape "
                          f"{tuple(shape)}, whose axes are {-len(shape)} to {len(shape) - 1}")
    return axis % len(shape)


def check_legacy_axes(layer: TensorLayer, *shapes: Sequence[int]) -> None:
    """Raises the layer's error for a shape of more than four axes: the original's layer has names
    for four alone, and refuses more."""
    for shape in shapes:
        if len(shape) > LEGACY_AXES:
            raise layer.error(f"expected at most {LEGACY_AXES} axes, got {tuple(shape)}")


def check_indices(layer: TensorLayer, blob: Blob, count: int, what: str) -> None:
    """Raises the layer's error for a value of `blob` that is none of `count` `what`. Waits for a
    GPU only if they were computed on it."""
    index = blob.data_nearby.long()
    outside = index[(index < 0) | (index >= count)]
    if outside.numel():
        raise layer.error(f"index {outside[0].item()} is none of the {count} {what}, "
                          f"0 to {count - 1}")
