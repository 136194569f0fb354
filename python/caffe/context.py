"""Where the engine runs: mode, device and random seed, one setting per process as in Caffe."""

from __future__ import annotations

import logging
import operator
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from .errors import DeviceError
from .log import log, logger

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

    With CAFFE_MODE=cpu in the environment, scripts that ask for GPUs run on the CPU: this does
    nothing then, and the log says so once. Raises DeviceError where there is no such GPU.
    """
    if not stays_on_cpu():
        _use_gpu(_gpu_chosen)


@lru_cache
def stays_on_cpu() -> bool:
    """Whether CAFFE_MODE=cpu is in the environment, which the log then says."""
    mode = os.environ.get("CAFFE_MODE", "")
    if mode not in ("", "cpu", "gpu"):
        raise DeviceError(f"expected CAFFE_MODE, in the environment, to be cpu, got '{mode}'; "
                          "without it, scripts run on what they ask for")
    if mode == "cpu":
        log("CAFFE_MODE=cpu: GPU mode was asked for, and the CPU is used")
    return mode == "cpu"


def set_device(device_id: int) -> None:
    """Choose GPU `device_id`, which is used in GPU mode.

    Raises DeviceError if `device_id` is no whole number, and in GPU mode if there is no such GPU;
    in CPU mode `set_mode_gpu` says that.
    """
    global _gpu_chosen
    try:
        device_id = operator.index(device_id)
    except TypeError:
        raise DeviceError(f"set_device expects the number of a GPU, got {device_id!r}") from None
    if _gpu is not None:
        _use_gpu(device_id)
    _gpu_chosen = device_id


def set_random_seed(seed: int) -> None:
    """Seed fillers, dropout and every other random choice of the engine."""
    import torch
    torch.manual_seed(seed)


def device() -> torch.device:
    """The torch.device of the current mode."""
    return _device(_gpu)


@lru_cache
def _device(gpu: int | None) -> torch.device:
    import torch
    return torch.device("cpu") if gpu is None else torch.device("cuda", gpu)


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


def _of_one_solver(record: logging.LogRecord) -> bool:
    """Whether a line is shown: of solvers that train together, that of rank 0 alone tells what it
    does; what a script logs, and warnings, come from all."""
    return (solver_rank() == 0 or record.levelno > logging.INFO
            or getattr(record, "is_of_script", False))


logger.addFilter(_of_one_solver)


def is_multiprocess() -> bool:
    """Whether several solvers train together, or `set_multiprocess` has said so."""
    return bool(_solvers["multiprocess"]) or _solvers["count"] > 1


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether this solver trains together with those of other processes."""
    _solvers["multiprocess"] = bool(multiprocess)


def has_nccl() -> bool:
    """Whether several processes can train together (`caffe.NCCL`): on GPUs over NCCL, on CPUs over
    gloo."""
    import torch.distributed as dist
    if not dist.is_available():
        return False
    return dist.is_gloo_available() if _gpu is None else dist.is_nccl_available()


def _use_gpu(number: int) -> None:
    """Have it be the one of PyTorch, too, which pins memory, and names, by that."""
    global _gpu
    import torch
    check_gpu(number)
    torch.cuda.set_device(number)
    _gpu = number


def check_gpu(number: int) -> None:
    """Raise DeviceError where there is no GPU of this number."""
    import torch
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= number < count:
        found = f"PyTorch sees {count} GPU(s)" if count else "PyTorch sees no GPU"
        raise DeviceError(f"GPU {number} is not available: {found}. "
                          "Use the CPU instead: caffe.set_mode_cpu(), no --gpu, and solver_mode: "
                          "CPU in a solver's prototxt; or CAFFE_MODE=cpu in the environment for "
                          "what asks for a GPU.")
