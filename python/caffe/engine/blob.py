"""Blob: Caffe's array of values and gradients, seen as NumPy by users and as torch by layers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..errors import LayerError
from ..formats.reading import check_memory
from ..formats.text import printable
from .memory import Memory

VALUE_SIZE = 4      # bytes


class Blob:
    """An N-dimensional float32 array `data` with its gradient `diff`, both of `shape`.

    Images are batches of shape (number, channels, height, width). `name` is the blob's in its
    net, or LAYER[i] of a layer's parameter.
    """

    name = ""
    plane: tuple[int, ...] | None = None    # of indices: the height and width that they refer to

    def __init__(self, shape: Sequence[int] = (0,)) -> None:
        self._shape = _checked(tuple(shape))
        self._data, self._diff = Memory(), Memory()
        self._room: torch.Tensor | None = None

    # what users of pycaffe see

    @property
    def data(self) -> np.ndarray:
        """The values: a NumPy array that can be written in place."""
        return self._data.numpy(tuple(self._shape))

    @property
    def diff(self) -> np.ndarray:
        """The gradient of the loss by `data`: a NumPy array that can be written in place."""
        return self._diff.numpy(tuple(self._shape))

    @property
    def shape(self) -> tuple:
        """The length of each axis; () of a single number."""
        return tuple(self._shape)

    @property
    def count(self) -> int:
        """How many values there are."""
        return math.prod(self._shape)

    @property
    def num(self) -> int:
        """The length of axis 0, or 1 without it; for blobs of up to four axes."""
        return self._legacy_axis(0)

    @property
    def channels(self) -> int:
        """The length of axis 1, or 1 without it; for blobs of up to four axes."""
        return self._legacy_axis(1)

    @property
    def height(self) -> int:
        """The length of axis 2, or 1 without it; for blobs of up to four axes."""
        return self._legacy_axis(2)

    @property
    def width(self) -> int:
        """The length of axis 3, or 1 without it; for blobs of up to four axes."""
        return self._legacy_axis(3)

    def reshape(self, *shape: int) -> None:
        """Give the blob another shape.

        If the blob never had so many values, in any shape, all become zeros. Otherwise the present
        values stay at the beginning; behind them is what the memory held before, or zeros.

        Raises LayerError for dimensions that are no whole numbers of at least 0, and for a shape
        for which there is no memory.
        """
        try:
            dims = tuple(map(operator.index, shape))
        except TypeError:
            dims = (-1,)
        if min(dims, default=0) < 0:
            raise LayerError(f"a blob cannot have the shape {shape}: expected whole numbers, "
                             "reshape(N, C, H, W)")
        if dims == self._shape:
            return
        self._shape = _checked(dims)
        for memory in self.memories:
            memory.resize(self.count)

    def __repr__(self) -> str:
        return f"Blob {repr(printable(self.name)) + ' ' if self.name else ''}{self.shape} float32"

    def _legacy_axis(self, axis: int) -> int:
        """Blobs were once 4-D: missing axes count as 1."""
        if len(self._shape) > 4:
            raise LayerError(f"num, channels, height, width need at most 4 axes, not {self.shape}")
        return self._shape[axis] if axis < len(self._shape) else 1

    # what layers and solvers use

    @property
    def data_tensor(self) -> torch.Tensor:
        """`data` as a torch tensor on the current device, to read and write."""
        return self._data.on_device(self._shape)

    @property
    def data_to_read(self) -> torch.Tensor:
        """`data` as a read-only tensor on the current device."""
        return self._data.to_read(self._shape)

    @property
    def data_nearby(self) -> torch.Tensor:
        """`data_to_read`, but on the host where the values are there: to look at them from
        Python waits for no GPU."""
        return self._data.nearby(self._shape)

    @property
    def diff_tensor(self) -> torch.Tensor:
        """`diff` as a torch tensor on the current device."""
        return self._diff.on_device(self._shape)

    @property
    def memories(self) -> tuple[Memory, Memory]:
        """The Memory of `data` and that of `diff`; indices DATA and DIFF."""
        return self._data, self._diff

    @property
    def is_viewed(self) -> bool:
        """Whether a NumPy view of `data` is alive."""
        return self._data.live_view() is not None

    @property
    def data_was_seen(self) -> bool:
        """Whether somebody had `data` since `set_data_lazily`, and may have written to it."""
        return self._data.was_seen

    def set_data_lazily(self, compute: Callable[[], torch.Tensor]) -> None:
        """Have `data` be what compute(), a tensor of its shape, gives when it is wanted."""
        self._data.clear()
        self._data.set_lazily(lambda memory: memory.assign(compute()))

    def set_diff_lazily(self, compute: Callable[[], None] | None) -> None:
        """Have compute() set `diff`, by `set_diff`, when it is wanted; None takes that back."""
        self._diff.set_lazily(None if compute is None else lambda _: compute())

    def set_data(self, tensor: torch.Tensor) -> None:
        """Take the values of `tensor`, whose shape becomes the blob's."""
        self._shape = tensor.shape
        self._data.assign(tensor)

    def set_diff(self, tensor: torch.Tensor) -> None:
        """Take the gradient `tensor`, of the blob's shape."""
        self._diff.assign(tensor)

    def diff_room(self) -> torch.Tensor | None:
        """A tensor to make `diff` in, on the host, the same whenever that is cleared; else None."""
        if not self._diff.is_clear:
            return None
        if self._room is None or self._room.shape != self._shape:
            self._room = torch.empty(self._shape)
        return self._room

    def add_diff(self, tensor: torch.Tensor) -> None:
        """Accumulate a gradient."""
        self._diff.add(tensor)

    def discard_data(self) -> None:
        """Let go of the values, because a pass has begun that makes them anew.

        If that pass ends before it has made them, whoever reads them gets a LayerError.
        """
        self._data.clear()
        self._data.set_lazily(_raise_discarded)

    def clear_data(self) -> None:
        """Set the values to zero, at no cost."""
        self._data.clear()

    def clear_diff(self) -> None:
        """Set the gradient to zero."""
        self._diff.clear()

    def share_data(self, other: Blob) -> None:
        """Use the values of `other`, now and after either is written."""
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        """Use the gradient of `other`, now and after either is written."""
        self._diff = other._diff


def _checked(dims: tuple[int, ...]) -> torch.Size:
    """A shape for which there is memory."""
    check_memory(VALUE_SIZE * math.prod(dims), f"a blob of shape {dims}", LayerError)
    return torch.Size(dims)


def _raise_discarded(memory: Memory) -> None:
    raise LayerError("the blob has no values: the forward pass that was to make them ended before, "
                     "with an error; run forward() again")
