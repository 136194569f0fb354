"""Processes that are started together, and end together: those of `caffe train`, of
solvers/solve.py, and of scripts.

Where one fails, the others end: by themselves, for caffe.NCCL tells each who is gone, else by
SIGTERM, in the end by SIGKILL. Signals to the launcher go to all.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

SETTLE = 4.0        # seconds in which the others may end by themselves, where one has failed
GRACE = 3.0         # seconds from SIGTERM to SIGKILL then
LEAVING = 20.0      # seconds for the rest to end, where a signal has ended one: rank 0 may write
STOPPING = 300.0    # seconds from a signal until the first has to have ended, as caffe.NCCL.timeout
POLL = 0.05         # seconds between two looks at the processes

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]        # Windows has no SIGHUP
STOPPED = [128 + number for number in SIGNALS]      # the status of a process that such a one ended


class Processes:
    """Processes that run one command; each has a rank, from 0.

    signals : how many were handed on to them
    """

    def __init__(self, command: Sequence[str], environments: Sequence[dict[str, str]],
                 tell: Callable[[str], None], advice: str = "") -> None:
        """A process for each of the environments; `wait` starts them. `tell` prints what users
        should know; `advice` follows on what is said of one that was killed."""
        self.signals, self._tell, self._advice = 0, tell, advice
        self._signalled = self._since = 0.0     # when the last signal came, when the first ended
        self._status, self._is_asked, self._is_killed = 0, False, False
        self._command, self._environments = command, environments
        self._processes: list[subprocess.Popen] = []

    def wait(self) -> int:
        """Start them, and wait until all have ended; returns the status of the first that failed,
        or else 0: 128 and its number where that was a signal."""
        try:
            with self._handing_signals_on():
                self._start()
                while self._running():
                    time.sleep(POLL)
                    self._look()
            self._note_end()
        finally:
            self._send(signal.SIGKILL)
            for process in self._processes:
                process.wait()
        return 128 - self._status if self._status < 0 else self._status

    def _start(self) -> None:
        # sessions of their own: a terminal's Ctrl-C comes to the launcher, and is passed on once
        for environment in self._environments:
            self._processes.append(
                subprocess.Popen(self._command, env=environment, start_new_session=True))

    def _look(self) -> None:
        """End those that should have ended."""
        self._note_end()
        now = time.monotonic()
        if self.signals or self._status in STOPPED:
            seconds, since = ((LEAVING, max(self._since, self._signalled)) if self._since else
                              (STOPPING, self._signalled))
            if now - since > seconds:
                self._kill(f"{seconds:g} s after a signal to stop")
        elif self._since and now - self._since > SETTLE:
            if not self._is_asked:
                self._is_asked = True
                self._send(signal.SIGTERM)
            if now - self._since > SETTLE + GRACE:
                self._kill(f"{SETTLE + GRACE:g} s after another has failed")

    def _note_end(self) -> None:
        """Take down which was the first to fail, or after a signal the first to end."""
        ended = [(rank, process) for rank, process in enumerate(self._processes)
                 if process.poll() is not None and (process.returncode or self.signals)]
        if ended and not self._since:
            self._since = time.monotonic()
        failed = [(rank, process) for rank, process in ended if process.returncode]
        if failed and not self._status:
            rank, process = failed[0]
            self._status = process.returncode
            if self._status < 0 and not self.signals:
                self._tell_killed(rank, process)

    def _tell_killed(self, rank: int, process: subprocess.Popen) -> None:
        number = -process.returncode
        name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
        lacks = ", as by a system that lacks memory" * (name == "SIGKILL")
        self._tell(f"{self._named(rank)} was ended by {name}{lacks}; the others are ended"
                   + self._advice)

    def _kill(self, when: str) -> None:
        if not self._is_killed:
            self._is_killed = True
            for rank, process in enumerate(self._processes):
                if process.poll() is None:
                    self._tell(f"{self._named(rank)} had not ended {when}: it is killed (SIGKILL)")
        self._send(signal.SIGKILL)

    def _named(self, rank: int) -> str:
        return (f"rank {rank} of {len(self._environments)} "
                f"(process {self._processes[rank].pid})")

    def _running(self) -> list[subprocess.Popen]:
        return [process for process in self._processes if process.poll() is None]

    def _send(self, number: int) -> None:
        for process in self._running():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    @contextmanager
    def _handing_signals_on(self) -> Iterator[None]:
        """Have SIGNALS go to all; those that the caller ignores, as nohup does, stay ignored."""
        def hand_on(number: int, _: Any) -> None:
            self.signals, self._signalled = self.signals + 1, time.monotonic()
            self._send(number)

        before = {}
        if threading.current_thread() is threading.main_thread():   # no other can set handlers
            before = {number: found for number in SIGNALS
                      if (found := signal.getsignal(number)) is not signal.SIG_IGN}
        try:
            for number in before:
                signal.signal(number, hand_on)
            yield
        finally:
            for number, found in before.items():
                signal.signal(number, found or signal.SIG_DFL)
