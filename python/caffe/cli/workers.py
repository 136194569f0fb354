"""Training in several processes of this machine: one for each GPU, or some on the CPU."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from .. import launching
from ..errors import CaffeError
from .flags import names

VARIABLE = "CAFFE_WORKER"   # in the environment of a process that was started here: how they meet


@dataclass(frozen=True)
class Worker:
    """Which of several processes this is."""

    rank: int
    count: int
    uid: str


def current() -> Worker | None:
    """The Worker that this process is; None if it was not started by `train_together`."""
    if VARIABLE not in os.environ:
        return None
    return Worker(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), os.environ[VARIABLE])


def wanted(gpu: str, cpu_workers: int | None) -> int:
    """How many processes --gpu and --cpu_workers ask for; 0 for none but this one.

    Raises CaffeError for GPUs that are not there, or given twice.
    """
    if gpu and cpu_workers:
        raise CaffeError("give --gpu or --cpu_workers, not both")
    if cpu_workers:
        return cpu_workers
    numbers = gpu_numbers(gpu)
    if len(numbers) < 2:
        return 0
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice:
        raise CaffeError(f"--gpu {gpu} names GPU {twice[0]} twice: each process needs its own")
    _check_gpus(numbers)
    return len(numbers)


def gpu_numbers(gpu: str) -> list[int]:
    """The numbers in a --gpu flag."""
    if gpu != "all":
        return [int(name) for name in names(gpu)]
    import torch
    return list(range(torch.cuda.device_count())) or [0]    # which is then said to be missing


def _check_gpus(numbers: list[int]) -> None:
    from .. import context
    if not context.stays_on_cpu():
        for number in numbers:
            context.check_gpu(number)


def train_together(arguments: list[str], count: int) -> int:
    """Run `caffe ARGUMENTS` in so many processes; returns the exit status. When one fails, the
    others end, too."""
    from ..engine.parallel import NCCL
    uid = NCCL.new_uid().decode()
    threads = str(max(1, (os.cpu_count() or 1) // count))
    # torch's own lines about connections that break would hide who is gone
    common = {"OMP_NUM_THREADS": threads, "TORCH_CPP_LOG_LEVEL": "FATAL", **os.environ,
              VARIABLE: uid, "WORLD_SIZE": str(count)}
    return launching.Processes(
        [sys.executable, "-m", "caffe", *arguments],
        [{**common, "RANK": str(rank)} for rank in range(count)],
        lambda text: print(f"caffe train: {text}", file=sys.stderr, flush=True)).wait()
