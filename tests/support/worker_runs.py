"""Workers of a training in forked processes, which need not import anything."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import caffe
from fcn.solvers.console.errors import report_errors
from fcn.solvers.processes import torchrun
from fcn.solvers.processes.workers import joined

SECONDS = 300       # until a run counts as one that hangs


def in_workers(count: int, function: Callable[[Any], Any], **environment: str) -> list:
    """What function(workers) returns in each of `count` processes, in the order of the ranks; the
    exit status of those that end otherwise, as on the command line. What hangs fails."""
    uid = caffe.NCCL.new_uid().decode()
    _, host, port, token = uid.split(":")
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": host, "MASTER_PORT": port,
              "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": token, **environment}
    pipes, processes = [os.pipe() for _ in range(count)], []
    for rank, (_, write) in enumerate(pipes):
        process = os.fork()
        if not process:
            _work(function, write, {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        os.close(write)
        processes.append(process)
    statuses = _waited(processes)
    found = []
    for status, (read, _) in zip(statuses, pipes):
        with os.fdopen(read, "rb") as file:
            content = file.read()
        found.append(pickle.loads(content) if status == 0 else status)
    return found


def _work(function: Callable[[Any], Any], write: int, environment: dict[str, str]) -> None:
    status = 1
    try:
        os.environ.update(environment)
        torchrun.LAUNCHED = torchrun.LEAVING    # nothing ends them here when rank 0 has ended
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        with report_errors(continues=True), joined() as workers:
            content = pickle.dumps(function(workers))
            with os.fdopen(write, "wb") as file:
                file.write(content)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            os.write(2, f"{end.code}\n".encode())
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _waited(processes: list[int]) -> list[int]:
    """The exit statuses of all."""
    end, statuses = time.monotonic() + SECONDS, {}
    while len(statuses) < len(processes) and time.monotonic() < end:
        for process in set(processes) - set(statuses):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                statuses[process] = os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    for process in set(processes) - set(statuses):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    if len(statuses) < len(processes):
        pytest.fail(f"{len(processes) - len(statuses)} of {len(processes)} workers hang")
    return [statuses[process] for process in processes]
