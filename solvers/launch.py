"""Starts a command in several processes on this machine, and ends all when one fails.

The environment says to each which it is, by the names that torchrun has: RANK, WORLD_SIZE and so
on. On several machines torchrun itself starts them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from fcn.solvers.command import handling_signals, same_command, tell
from fcn.solvers.workers import require_engine

SETTLE = 8.0    # seconds in which the others may end by themselves, where one has failed
GRACE = 12.0    # seconds from SIGTERM to SIGKILL
POLL = 0.1


def is_launched() -> bool:
    """Whether this process is one of several that were started so."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch(count: int, max_restarts: int = 0) -> int:
    """Run this very command in `count` processes; returns the exit status: that of the first that
    failed, 128 and its number where that was a signal.

    Where a process fails, all begin anew, `max_restarts` times at most. Signals go to all.
    """
    require_engine()
    import caffe
    _, host, port, token = caffe.NCCL.new_uid().decode().split(":")
    common = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": host,
              "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True",
              "TORCHELASTIC_RUN_ID": token}
    threads = str(max(1, (os.cpu_count() or 1) // count))
    for number in range(max_restarts + 1):
        group = Group([{"OMP_NUM_THREADS": threads, **os.environ, **common, "RANK": str(rank),
                        "LOCAL_RANK": str(rank), "TORCHELASTIC_RESTART_COUNT": str(number)}
                       for rank in range(count)])
        status = group.wait()
        if status == 0 or group.signals or number == max_restarts:
            break
        tell(f"starting all {count} processes anew, for the {number + 1}. of {max_restarts} times "
             "(--max-restarts)")
    return status


class Group:
    """Processes that run one command. signals : how many were handed on to them"""

    def __init__(self, environments: Sequence[dict[str, str]]) -> None:
        self.signals, self._failed = 0, ""
        self._processes: list[subprocess.Popen] = []
        for environment in environments:
            self._processes.append(subprocess.Popen(_command(), env=environment,
                                                    start_new_session=True))

    def wait(self) -> int:
        """Wait until all have ended; returns the status of the first that failed, or else 0."""
        first, since, is_asked = 0, 0.0, False
        with handling_signals(self._hand_on):
            try:
                while self._running():
                    time.sleep(POLL)
                    first = first or self._first_failure()
                    since = since or (time.monotonic() if first else 0.0)
                    waited = time.monotonic() - since if first and not self.signals else 0.0
                    if waited > SETTLE and not is_asked:
                        is_asked = True
                        self._send(signal.SIGTERM)
                    if waited > SETTLE + GRACE:
                        self._send(signal.SIGKILL)
            finally:
                self._send(signal.SIGKILL)
        return first or self._first_failure()

    def _first_failure(self) -> int:
        """The status of a process that has failed, which is told where it could not say so."""
        for rank, process in enumerate(self._processes):
            status = process.poll()
            if status and status < 0 and not self.signals:
                number = -status
                tell(f"error: rank {rank} of {len(self._processes)} (process {process.pid}) was "
                     f"ended by {signal.Signals(number).name}"
                     + ", as by a system that lacks memory" * (number == signal.SIGKILL)
                     + f"; the others are ended. Continue with\n    {same_command()}")
            if status:
                return status if status > 0 else 128 - status
        return 0

    def _running(self) -> list[subprocess.Popen]:
        return [process for process in self._processes if process.poll() is None]

    def _send(self, number: int) -> None:
        for process in self._running():
            process.send_signal(number)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        self._send(number)


def _command() -> list[str]:
    """What was started, as a list."""
    program, *arguments = sys.argv
    if program.startswith("fcn "):      # a subcommand, as python/fcn/command.py names it
        return [sys.executable, "-m", "fcn", program.split()[1], *arguments]
    return [sys.executable, program, *arguments]
