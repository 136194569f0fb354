"""The part of caffe that computes, on PyTorch: blobs, layers, nets, solvers and their files."""

import ctypes
import sys


def _keep_freed_memory():
    """Have glibc reuse the memory of freed activations instead of returning it to the kernel.

    By default every large array is mapped anew, and zeroed page by page, in every iteration.
    """
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4       # of malloc.h
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)   # not in musl
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2 ** 31 - 1)


_keep_freed_memory()
