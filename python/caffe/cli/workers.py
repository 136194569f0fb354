"""Training in several processes of this machine: one for each GPU, or some on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from ..errors import CaffeError
from .flags import names

VARIABLE = "CAFFE_WORKER"   # in the environment of a process that was started here
GRACE = 15.0                # seconds in which the others may end by themselves after one has failed


@dataclass(frozen=True)
class Worker:
    """Which of several processes this is."""

    rank: int
    count: int
    uid: str


def current() -> Worker | None:
    """The Worker that this process is; None if it was not started by `run`."""
    given = os.environ.get(VARIABLE)
    if given is None:
        return None
    rank, count, uid = given.split(" ", 2)
    return Worker(int(rank), int(count), uid)


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


def run(arguments: list[str], count: int) -> int:
    """Run `caffe ARGUMENTS` in so many processes; returns the exit status. When one fails, the
    others end, too."""
    from ..engine.parallel import NCCL
    uid = NCCL.new_uid().decode()
    threads = str(max(1, (os.cpu_count() or 1) // count))
    command = [sys.executable, "-m", "caffe", *arguments]
    processes = []
    for rank in range(count):
        # torch's own lines about connections that break would hide who is gone
        given = {"OMP_NUM_THREADS": threads, "TORCH_CPP_LOG_LEVEL": "FATAL", **os.environ,
                 VARIABLE: f"{rank} {count} {uid}"}
        # sessions of their own: a terminal's Ctrl-C comes here, and is passed on once
        processes.append(subprocess.Popen(command, env=given, start_new_session=True))
    before = _pass_signals_on(processes)
    try:
        return _wait(processes)
    finally:
        _end(processes)
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_signals_on(processes: list[subprocess.Popen]) -> dict[int, Any]:
    """Have signals go to all processes; returns the handlers that there were."""
    def pass_on(number: int, _: Any) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
               if hasattr(signal, name)]
    return {number: signal.signal(number, pass_on) for number in numbers}


def _wait(processes: list[subprocess.Popen]) -> int:
    """Wait for all to end; returns the status of the first that failed, else 0."""
    failed: int | None = None
    last = 0.0
    while None in [process.poll() for process in processes]:
        for rank, process in enumerate(processes):
            if failed is None and process.returncode:
                failed, last = process.returncode, time.monotonic() + GRACE
                _tell(rank, failed)
        if failed is not None and time.monotonic() > last:
            break
        time.sleep(0.05)
    statuses = [process.returncode for process in processes if process.returncode]
    status = failed if failed is not None else next(iter(statuses), 0)
    return 128 - status if status < 0 else status


def _tell(rank: int, status: int) -> None:
    if status != 128 + signal.SIGTERM:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        print(f"caffe train: rank {rank} {how}; the other processes are ended, too",
              file=sys.stderr)


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()
