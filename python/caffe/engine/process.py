"""What the engine sets for the whole process, when its first net is built, or the first
CRF is inferred."""

import ctypes
import os
import sys
from functools import lru_cache

import torch

from . import precision

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4       # of malloc.h


@lru_cache
def prepare() -> None:
    """Set up memory, precision and what happens in a forked process, once."""
    _keep_freed_memory()
    if hasattr(os, "register_at_fork"):     # not on Windows
        # OpenMP's threads are not there, and whoever gives them work waits for ever
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
    precision.choose(precision.chosen())


def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of freed activations instead of returning it to the kernel.

    By default every large array is mapped anew, and zeroed page by page, in every iteration.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)   # not in musl
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2 ** 31 - 1)
