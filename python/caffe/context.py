"""Where the engine runs: mode, device and random seed, one setting per process as in Caffe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import DeviceError

if TYPE_CHECKING:
    import torch

TRAIN, TEST = 0, 1

_gpu = None          # None: CPU mode; else the number of the GPU in use
_solvers = {"count": 1, "rank": 0, "multiprocess": False}
_gpu_chosen = 0      # what set_device chose, used from the next set_mode_gpu on


def set_mode_cpu() -> None:
    """Run on the CPU from now on (the default)."""
    global _gpu
    _gpu = None


def set_mode_gpu() -> None:
    """Run on the GPU that `set_device` chose (default 0).

    Raises DeviceError where there is no such GPU.
    """
    _use_gpu(_gpu_chosen)


def set_device(device_id: int) -> None:
    """Choose GPU `device_id`; it is used in GPU mode. Raises DeviceError, there, if it is not
    there."""
    global _gpu_chosen
    if _gpu is not None:
        _use_gpu(device_id)
    _gpu_chosen = device_id


def set_random_seed(seed: int) -> None:
    """Seed fillers, dropout and every other random choice of the engine."""
    import torch
    torch.manual_seed(seed)


def set_precision(name: str) -> None:
    """Compute convolutions and matrix products in 'fp32', 'tf32' (the default: fp32 where the
    device does not have it) or 'bf16'; everything else stays float32, in bf16 deconvolutions, too.

    BVLC's pycaffe has no such function. Raises CaffeError for another name.
    """
    from .engine import precision
    precision.choose(name)


def device() -> torch.device:
    """The torch.device of the current mode."""
    import torch
    return torch.device("cpu") if _gpu is None else torch.device("cuda", _gpu)


def solver_count() -> int:
    """The number of solvers that train together, 1 unless set (pycaffe's multi-GPU training)."""
    return _solvers["count"]


def set_solver_count(count: int) -> None:
    """Say that `count` solvers train together; data layers then share out the samples."""
    _solvers["count"] = int(count)


def solver_rank() -> int:
    """The number of this process's solver among those that train together, from 0."""
    return _solvers["rank"]


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers that train together this process has; only 0 logs and snapshots."""
    _solvers["rank"] = int(rank)


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether the solvers that train together are processes."""
    _solvers["multiprocess"] = bool(multiprocess)


def has_nccl() -> bool:
    """Whether gradients can be exchanged over NCCL: never, each process trains alone."""
    return False


class NCCL:
    """pycaffe's exchange of gradients between processes. Raises DeviceError: there is none."""

    def __init__(self, solver: Any, uid: Any = None) -> None:
        raise DeviceError("training on several GPUs is not supported: has_nccl() is false")

    @staticmethod
    def new_uid() -> Any:
        """Raises DeviceError."""
        raise DeviceError("training on several GPUs is not supported: has_nccl() is false")


def _use_gpu(number: int) -> None:
    """Have it be the one of PyTorch, too, which pins memory, and names, by that."""
    global _gpu
    import torch
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= number < count:
        found = f"PyTorch sees {count} GPU(s)" if count else "PyTorch sees no GPU"
        raise DeviceError(f"GPU {number} is not available: {found}. "
                          "Use the CPU instead: caffe.set_mode_cpu(), and no --gpu.")
    torch.cuda.set_device(number)
    _gpu = number
