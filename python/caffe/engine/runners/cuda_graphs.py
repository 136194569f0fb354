"""CudaGraph: operations on a GPU that are recorded, and issued together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

ROOM = 0.5          # of a GPU's memory that has to be free to record one more pass


class CudaGraph:
    """Operations on a GPU, recorded to be issued together, or in several pieces."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pieces: list[torch.cuda.CUDAGraph] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """What is issued meanwhile is recorded, not computed. Raises RuntimeError for what cannot
        be, such as waiting for a value."""
        torch.cuda.synchronize(self._device)
        with torch.cuda.stream(_stream(self._device)), _no_waiting():
            self._begin()
            try:
                yield
            finally:
                self._pieces[-1].capture_end()

    def cut(self) -> None:
        """Have what is issued from now on be a piece of its own."""
        self._pieces[-1].capture_end()
        self._begin()

    def _begin(self) -> None:
        # the pieces are always replayed in this order, so that one may use the memory which those
        # before have let go of
        pool = self._pieces[0].pool() if self._pieces else None
        self._pieces.append(torch.cuda.CUDAGraph())
        # threads that read data may do what would spoil a recording in this one
        self._pieces[-1].capture_begin(pool=pool, capture_error_mode="thread_local")

    def replay(self, after: Callable[[int], None] = lambda piece: None) -> None:
        """Issue the pieces one after the other, and call after(number of the piece) behind each:
        what that issues elsewhere is computed beside the next piece."""
        with torch.cuda.device(self._device):
            for number, piece in enumerate(self._pieces):
                piece.replay()
                after(number)

    @staticmethod
    def has_room(device: torch.device) -> bool:
        """Whether there is memory for one more; what PyTorch keeps, but does not use, is freed."""
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(device)
        return free > ROOM * total


@lru_cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one stream on which everything is recorded: autograd runs a backward pass on the stream
    of the forward pass, and cuBLAS keeps a workspace for each."""
    return torch.cuda.Stream(device)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Where PyTorch raises a RuntimeError before it waits for a value. To wait spoils a recording,
    and PyTorch's allocator does not get over one that ended so."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # that this does not find every wait
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
