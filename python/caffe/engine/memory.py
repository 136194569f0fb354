"""Memory: a float32 array that lives on the host or on a GPU (Caffe's SyncedMemory)."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..context import device
from .precision import laid_out

DATA, DIFF = 0, 1   # the two memories of a blob, in Blob.memories


class Memory:
    """A float32 array that lives on the device which used it last.

    Nothing is allocated before the first use, and an array that was never written is zero.
    While a NumPy view of the array is alive, new values are copied into the array, so that the
    view shows them, as pycaffe's views do; otherwise a new tensor simply takes its place.
    Values may also be promised (`set_lazily`), and are then computed when somebody wants them.
    What is only read on a GPU (`to_read`) stays on the host, too, so that writing the next
    values there, as data layers do, waits for no GPU.

    Several blobs may hold one Memory, each in a shape of its own: then they share their values,
    whichever of them is written (Caffe's ShareData and ShareDiff). A blob with fewer values than
    the memory holds has the first ones of it.

    Attributes
    ----------
    revision : int, counts every time that the values were replaced, or that somebody received
        them in a form that can be written to; equal revisions mean equal values
    """

    __slots__ = ("tensor", "revision", "_most", "_capacity", "_copy", "_views", "_was_seen",
                 "_promise", "_copies")

    def __init__(self) -> None:
        self.tensor: Any = None     # a tensor; None, too, for zeros that nobody has set
        self.revision = 0
        self._most = 0          # how many values there ever were
        self._capacity = 0      # how many values the tensor had before it was made smaller
        self._copy: torch.Tensor | None = None       # on the device, of a tensor on the host
        self._views: dict[tuple, weakref.ref] = {}     # that were given out, by their shapes
        self._was_seen = False
        self._promise: Callable[[Memory], None] | None = None
        self._copies: dict[Memory, torch.Tensor] | None = None

    # reading and writing

    def on_device(self, shape: torch.Size) -> torch.Tensor:
        """The tensor, of `shape`, to read and write, on the device of the current mode, where it
        lives from now. It may be the memory's own: its shape, storage and requires_grad are not to
        be changed."""
        self.revision += 1
        return self._moved(shape)

    def to_read(self, shape: torch.Size) -> torch.Tensor:
        """A tensor on the current device that must not be changed in any way.

        The way from the host to a GPU is by pinned memory of the copy's own, which PyTorch does
        not use again before the transfer is done: nobody waits, and the array may be written to
        meanwhile. A caller that holds a NumPy view may write at any time, so then the copy on
        the device is not kept.
        """
        target = device()
        if target.type == "cpu":
            return self._moved(shape)
        self._keep_promise()
        self._fit(shape)
        if not self._is_on_host:
            return self._moved(shape)
        if self._copy is None or self._copy.device != target or self.live_view() is not None:
            self._copy = laid_out(self._pinned(shape, target))
        return self._copy.reshape(shape)

    def nearby(self, shape: torch.Size) -> torch.Tensor:
        """The tensor, to read, where it is if that is the host, else on the current device."""
        self._keep_promise()
        self._fit(shape)
        return self.tensor.view(shape) if self._is_on_host else self.to_read(shape)

    def numpy(self, shape: tuple) -> np.ndarray:
        """The array, of `shape`, as NumPy; what is written to it is what layers see next."""
        self._keep_promise()
        self._fit(shape)
        if self._copies is not None:
            self._copy_for_later(shape)
        self.revision += 1
        self._copy = None
        self._was_seen = True
        self._return_to_views()
        view = self._views.get(shape, _gone)()
        if view is not None and self.tensor is not None \
                and self.tensor.data_ptr() == torch.from_numpy(view).data_ptr():
            return view
        if self.tensor is None:
            self.tensor = torch.zeros(shape)
        self.tensor = self.tensor.contiguous().to("cpu")
        view = self.tensor.view(shape).numpy()
        self._views = {other: reference for other, reference in self._views.items()
                       if reference() is not None}
        self._views[shape] = weakref.ref(view)
        return view

    def _return_to_views(self) -> None:
        """Bring values that were moved to a GPU back to where a view that is alive shows them."""
        view = self.live_view()
        if view is not None and self.tensor is not None and self.tensor.device.type != "cpu" \
                and view.size == self.tensor.numel():
            host = torch.from_numpy(view)
            self.tensor = host.copy_(self.tensor.reshape(host.shape))

    def assign(self, tensor: torch.Tensor) -> None:
        """Take the values of `tensor`, whose storage may become this array's own."""
        self.revision += 1
        self._promise = self._copy = None
        self._capacity = 0
        if self.tensor is not None:
            self._most = max(self._most, self.tensor.numel())
        if self.live_view() is not None and self._is_on_host \
                and self.tensor.device == tensor.device \
                and self.tensor.numel() == tensor.numel():
            self.tensor.copy_(tensor.reshape(self.tensor.shape))
        else:
            self.tensor = tensor

    def add(self, tensor: torch.Tensor) -> None:
        """Add the values of `tensor`, whose storage may become this array's own."""
        self._keep_promise()
        if self.tensor is None:
            self.revision += 1
            self.tensor = tensor if _is_dense(tensor) else tensor.contiguous()
        else:
            self.on_device(tensor.shape).add_(tensor)

    def clear(self) -> None:
        """Make all values zero, at no cost unless a NumPy view shows them."""
        self.revision += 1
        self._promise = self._copy = None
        if self.live_view() is None:
            self.tensor = None
        elif self.tensor is not None:
            self.tensor.zero_()

    def resize(self, count: int) -> None:
        """Have `count` values.

        If the memory has never held so many, all become 0. Otherwise the values at the beginning
        stay; those beyond the present end are the old ones if they are still stored, else 0.
        """
        self.revision += 1
        self._copy = None
        if self._promise:
            self._promise = partial(_keep_and_resize, self._promise, count)
        if self.tensor is not None:
            self._most = max(self._most, self.tensor.numel())
        if count > self._most:
            self.tensor = None
        elif self.tensor is not None and max(self.tensor.numel(), self._room()) >= count:
            self._cut(count)    # where there is no room, whoever reads the values makes it
        self._most = max(self._most, count)

    def _room(self) -> int:
        """How many values fit where the tensor is."""
        storage = self.tensor.untyped_storage().nbytes() // self.tensor.element_size()
        return min(max(self._capacity, self.tensor.numel()),
                   storage - self.tensor.storage_offset())

    def _cut(self, count: int) -> None:
        flat = self.tensor.contiguous().view(-1)
        self._capacity = max(self._capacity, len(flat))
        self.tensor = flat.as_strided((count,), (1,))

    # values that are computed when somebody wants them

    def set_lazily(self, promise: Callable[[Memory], None] | None) -> None:
        """Have promise(self) set the values when somebody wants them; now, if a NumPy view
        shows them. None takes an earlier promise back."""
        self.revision += 1
        self._promise = promise
        self._was_seen = False
        if self.live_view() is not None:
            self._was_seen = True
            self._keep_promise()

    @property
    def is_promised(self) -> bool:
        """Whether the values are still to be computed."""
        return self._promise is not None

    @property
    def was_seen(self) -> bool:
        """Whether `numpy` gave out a view since the values were promised."""
        return self._was_seen

    def keep_in(self, copies: dict[Memory, torch.Tensor]) -> None:
        """Before a caller receives the values as a NumPy array, to which it may write, copy them
        into copies[self]; copy them now if a caller holds such an array already. The copies of an
        earlier call get nothing any more."""
        self._copies = copies
        if self.live_view() is not None and self.tensor is not None:
            self._copy_for_later(self.tensor.shape)

    def stop_keeping_in(self, copies: dict[Memory, torch.Tensor]) -> None:
        """Take `keep_in` back, if it was called last with these."""
        if self._copies is copies:
            self._copies = None

    # passes that are recorded and replayed

    def move_into(self, place: torch.Tensor) -> None:
        """Have the values live in `place`, a tensor on the device of the current mode."""
        self._keep_promise()
        self._fit(place.shape)
        self.revision += 1
        if self.tensor is None:
            place.zero_()
        elif self.tensor.data_ptr() != place.data_ptr():
            place.copy_(self.tensor.reshape(place.shape))
        self.tensor, self._copy = place, None

    def copy_into(self, place: torch.Tensor) -> None:
        """Have `place` hold the values for `to_read`; they stay on the host if they are there."""
        self._keep_promise()
        self._fit(place.shape)
        if self._is_on_host and place.device.type != "cpu":
            self._copy = place.copy_(self._pinned(place.shape, place.device))
        else:
            self.move_into(place)

    @property
    def snapshot(self) -> tuple:
        """(tensor, promise), either may be None: what `restore` and `set_lazily` take."""
        return self.tensor, self._promise

    def restore(self, tensor: torch.Tensor | None) -> None:
        """Take the values of `tensor`; None: zeros."""
        if tensor is None:
            self.clear()
        else:
            self.assign(tensor)

    @property
    def is_clear(self) -> bool:
        """Whether all values are zero because nobody has set any."""
        return self.tensor is None and self._promise is None

    @property
    def settled(self) -> torch.Tensor | None:
        """The tensor, wherever it is, once a promise has been kept."""
        self._keep_promise()
        return self.tensor

    # details

    def _copy_for_later(self, shape: Sequence[int]) -> None:
        if self._copies is not None and self.tensor is not None:
            self._copies[self] = self.tensor.reshape(shape).clone()
        self._copies = None

    def live_view(self) -> np.ndarray | None:
        """A NumPy view that `numpy` gave out and that somebody still holds; else None."""
        for reference in self._views.values():
            view = reference()
            if view is not None:
                return view
        return None

    def _fit(self, shape: Sequence[int]) -> None:
        """Hold as many values as a blob of that shape has. Another blob of this memory may have
        resized it to its own shape before."""
        count = math.prod(shape)
        if self.tensor is None or self.tensor.numel() == count:
            return
        self.resize(count)
        if self.tensor is not None and self.tensor.numel() != count:
            flat = self.tensor.contiguous().view(-1)
            self.tensor = torch.cat([flat, flat.new_zeros(count - len(flat))])

    def _moved(self, shape: torch.Size) -> torch.Tensor:
        if self._promise:
            self._keep_promise()
        if self.tensor is not None and self.tensor.shape != shape:
            self._fit(shape)
        self._copy = None
        target = device()
        if self.tensor is None:
            self.tensor = torch.zeros(shape, device=target)
        elif self.tensor.device != target:
            self.tensor = laid_out(self.tensor.reshape(shape).to(target))
        if self.tensor.shape == shape:
            return self.tensor
        self.tensor = self.tensor.contiguous()
        return self.tensor.view(shape)

    def _pinned(self, shape: torch.Size, target: torch.device) -> torch.Tensor:
        """A copy on a GPU, by pinned memory."""
        return self.tensor.view(shape).pin_memory().to(target, non_blocking=True)

    @property
    def _is_on_host(self) -> bool:
        return self.tensor is not None and self.tensor.device.type == "cpu"

    def _keep_promise(self) -> None:
        promise, self._promise = self._promise, None
        if promise:
            try:
                promise(self)
            except BaseException:
                self._promise = promise
                raise


def _gone() -> None:
    """What a weak reference gives when nobody holds its object any more."""


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)


def _keep_and_resize(promise: Callable[[Memory], None], count: int, memory: Memory) -> None:
    promise(memory)
    memory.resize(count)
