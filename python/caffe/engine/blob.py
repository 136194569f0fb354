"""Blob: Caffe's array of values and gradients, seen as NumPy by users and as torch by layers."""

import math
import weakref
from functools import partial

import numpy as np
import torch

from ..context import device
from ..errors import LayerError
from .precision import laid_out

DATA, DIFF = 0, 1   # of Blob.memories


class Memory:
    """A float32 array that lives on the device which used it last (Caffe's SyncedMemory).

    Nothing is allocated before the first use, and an array that was never written is zero.
    While a NumPy view of the array is alive, new values are copied into the array, so that the
    view shows them, as pycaffe's views do; otherwise a new tensor simply takes its place.
    Values may also be promised (`later`), and are then computed when somebody wants them.
    What is only read on a GPU (`to_read`) stays on the host, too, so that writing the next
    values there, as data layers do, waits for no GPU.
    """

    __slots__ = ("tensor", "_copy", "_view", "_promise")

    def __init__(self):
        self.tensor = None
        self._copy = None       # of a tensor on the host, on the device
        self._view = None
        self._promise = None

    def on_device(self, shape):
        """The tensor, of `shape`, on the device of the current mode, where it lives from now."""
        self._settle()
        self._copy = None
        target = device()
        if self.tensor is None:
            self.tensor = torch.zeros(shape, device=target)
        elif self.tensor.device != target:
            self.tensor = laid_out(self.tensor.reshape(shape).to(target))
        elif self.tensor.shape != shape:
            self.tensor = self.tensor.contiguous()
        return self.tensor.view(shape)

    def to_read(self, shape):
        """The tensor, or a copy, on the device of the current mode, for who does not write to it.

        The way from the host to a GPU is by pinned memory of the copy's own, which PyTorch does
        not use again before the transfer is done: nobody waits, and the array may be written to
        meanwhile. While a NumPy view is alive nobody knows when, so that no copy is kept.
        """
        target = device()
        if target.type == "cpu":
            return self.on_device(shape)
        self._settle()
        if not self._is_on_host:
            return self.on_device(shape)
        if self._copy is None or self._copy.device != target or self.live_view() is not None:
            self._copy = laid_out(self._pinned(shape, target))
        return self._copy.reshape(shape)

    def bring(self, place):
        """Have the values live in `place`, a tensor on the device of the current mode."""
        self._settle()
        if self.tensor is None:
            place.zero_()
        elif self.tensor.data_ptr() != place.data_ptr():
            place.copy_(self.tensor.reshape(place.shape))
        self.tensor, self._copy = place, None

    def send(self, place):
        """Have `place` hold the values for `to_read`; they stay on the host if they are there."""
        self._settle()
        if self._is_on_host and place.device.type != "cpu":
            self._copy = place.copy_(self._pinned(place.shape, place.device))
        else:
            self.bring(place)

    def _pinned(self, shape, target):
        """A copy on a GPU, by pinned memory."""
        return self.tensor.view(shape).pin_memory().to(target, non_blocking=True)

    def nearby(self, shape):
        """The tensor where it is if that is the host, else `to_read`."""
        self._settle()
        return self.tensor.view(shape) if self._is_on_host else self.to_read(shape)

    def numpy(self, shape):
        """The array, of `shape`, as NumPy; what is written to it is what layers see next."""
        self._settle()
        self._copy = None
        view = self.live_view()
        if view is not None and view.shape == shape and self.tensor is not None:
            host = torch.from_numpy(view)
            if self.tensor.device.type != "cpu":
                self.tensor = host.copy_(self.tensor.reshape(shape))
            if self.tensor.data_ptr() == host.data_ptr():
                return view
        if self.tensor is None:
            self.tensor = torch.zeros(shape)
        self.tensor = self.tensor.contiguous().to("cpu")
        view = self.tensor.view(shape).numpy()
        self._view = weakref.ref(view)
        return view

    def assign(self, tensor):
        """Take the values of `tensor`, whose storage may become this array's own."""
        self._promise = self._copy = None
        if self.live_view() is not None and self._is_on_host \
                and self.tensor.device == tensor.device \
                and self.tensor.numel() == tensor.numel():
            self.tensor.copy_(tensor.reshape(self.tensor.shape))
        else:
            self.tensor = tensor

    def add(self, tensor):
        """Add the values of `tensor`, whose storage may become this array's own."""
        self._settle()
        if self.tensor is None:
            self.tensor = tensor if _is_dense(tensor) else tensor.contiguous()
        else:
            self.on_device(tensor.shape).add_(tensor)

    def clear(self):
        """Make all values zero, at no cost unless a NumPy view shows them."""
        self._promise = self._copy = None
        if self.live_view() is None:
            self.tensor = None
        elif self.tensor is not None:
            self.tensor.zero_()

    def resize(self, count):
        """Keep the first `count` values, in the same memory, or start again with zeros."""
        if self._promise:
            self._promise = partial(_keep_and_resize, self._promise, count)
        self._copy = None
        if self.tensor is not None:
            enough = self.tensor.numel() >= count
            self.tensor = self.tensor.contiguous().view(-1)[:count] if enough else None

    def later(self, promise):
        """Have promise(self) set the values when somebody wants them; now, if a NumPy view
        shows them. None takes an earlier promise back."""
        self._promise = promise
        if self.live_view() is not None:
            self._settle()
        else:
            self._view = None

    @property
    def held(self):
        """(tensor, promise), either may be None: what `hold` and `later` make of it again."""
        return self.tensor, self._promise

    @property
    def is_clear(self):
        """Whether there is neither."""
        return self.tensor is None and self._promise is None

    @property
    def settled(self):
        """The tensor, wherever it is, that `held` gives once a promise has been kept."""
        self._settle()
        return self.tensor

    def hold(self, tensor):
        """Take the values of `tensor`, None: zeros."""
        if tensor is None:
            self.clear()
        else:
            self.assign(tensor)

    @property
    def _is_on_host(self):
        return self.tensor is not None and self.tensor.device.type == "cpu"

    def _settle(self):
        promise, self._promise = self._promise, None
        if promise:
            try:
                promise(self)
            except BaseException:
                self._promise = promise
                raise

    def live_view(self):
        """The NumPy view that `numpy` gave out last, None if nobody holds it any more."""
        return self._view() if self._view else None

    @property
    def was_seen(self):
        """Whether `numpy` gave out a view since the values were promised."""
        return self._view is not None


def _is_dense(tensor):
    return tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)


def _keep_and_resize(promise, count, memory):
    promise(memory)
    memory.resize(count)


class Blob:
    """An N-dimensional float32 array `data` with its gradient `diff`, both of `shape`.

    Images are batches of shape (number, channels, height, width).
    """

    def __init__(self, shape=(0,)):
        self._shape = torch.Size(shape)
        self._data = Memory()
        self._diff = Memory()
        self._room = None

    # what users of pycaffe see

    @property
    def data(self):
        """The values: a NumPy array that can be written in place."""
        return self._data.numpy(tuple(self._shape))

    @property
    def diff(self):
        """The gradient of the loss by `data`: a NumPy array that can be written in place."""
        return self._diff.numpy(tuple(self._shape))

    @property
    def shape(self):
        return tuple(self._shape)

    @property
    def count(self):
        return math.prod(self._shape)

    @property
    def num(self):
        return self._legacy_axis(0)

    @property
    def channels(self):
        return self._legacy_axis(1)

    @property
    def height(self):
        return self._legacy_axis(2)

    @property
    def width(self):
        return self._legacy_axis(3)

    def reshape(self, *shape):
        """Give the blob another shape. Values survive where the memory is not to grow."""
        if not all(isinstance(dim, (int, np.integer)) and dim >= 0 for dim in shape):
            raise LayerError(f"a blob cannot have the shape {shape}: expected whole numbers, "
                             "reshape(N, C, H, W)")
        shape = tuple(map(int, shape))      # NumPy's integers become Python's
        if shape == self._shape:
            return
        self._shape = torch.Size(shape)
        self._data.resize(self.count)
        self._diff.resize(self.count)

    def _legacy_axis(self, axis):
        """Blobs were once 4-D: missing axes count as 1."""
        if len(self._shape) > 4:
            raise LayerError(f"num, channels, height, width need at most 4 axes, not {self.shape}")
        return self._shape[axis] if axis < len(self._shape) else 1

    # what layers and solvers use

    @property
    def data_tensor(self):
        """`data` as a torch tensor on the current device."""
        return self._data.on_device(self._shape)

    @property
    def data_to_read(self):
        """`data` as a torch tensor on the current device that nobody may write to."""
        return self._data.to_read(self._shape)

    @property
    def data_nearby(self):
        """`data_to_read`, but on the host where the values are there: to look at them from
        Python waits for no GPU."""
        return self._data.nearby(self._shape)

    @property
    def diff_tensor(self):
        """`diff` as a torch tensor on the current device."""
        return self._diff.on_device(self._shape)

    @property
    def memories(self):
        """The Memory of `data` and that of `diff`."""
        return self._data, self._diff

    @property
    def is_viewed(self):
        """Whether a NumPy view of `data` is alive."""
        return self._data.live_view() is not None

    @property
    def data_was_seen(self):
        """Whether somebody had `data` since `data_later`, and may have written to it."""
        return self._data.was_seen

    def data_later(self, compute):
        """Have `data` be what compute(), a tensor of its shape, gives when it is wanted."""
        self._data.clear()
        self._data.later(lambda memory: memory.assign(compute()))

    def diff_later(self, compute):
        """Have compute() set `diff`, by `set_diff`, when it is wanted; None takes that back."""
        self._diff.later(compute and (lambda _: compute()))

    def set_data(self, tensor):
        """Take the values of `tensor`, whose shape becomes the blob's."""
        self._shape = tensor.shape
        self._data.assign(tensor)

    def set_diff(self, tensor):
        """Take the gradient `tensor`, of the blob's shape."""
        self._diff.assign(tensor)

    def diff_room(self):
        """A tensor to make `diff` in, on the host, the same whenever that is cleared; else None."""
        if not self._diff.is_clear:
            return None
        if self._room is None or self._room.shape != self._shape:
            self._room = torch.empty(self._shape)
        return self._room

    def add_diff(self, tensor):
        """Accumulate a gradient."""
        self._diff.add(tensor)

    def clear_data(self):
        """Set the values to zero, at no cost."""
        self._data.clear()

    def clear_diff(self):
        """Set the gradient to zero."""
        self._diff.clear()

    def share_data(self, other):
        """Use the values of `other`, now and after either is written."""
        self._data = other._data

    def share_diff(self, other):
        """Use the gradient of `other`, now and after either is written."""
        self._diff = other._diff
