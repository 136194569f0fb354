"""Whether other processes take the processors from the threads that compute here.

Threads that share the work of a layer wait for the last of them. If that one has no processor for a
while, all others wait as long: beside one other process, two threads took two to four times as
long for small nets as one did (docs/performance.md).
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import torch

from .. import context
from ..log import logger

TASKS = Path("/proc/self/task")     # Linux: a folder for each thread
WINDOW = 5.0        # seconds that are looked at at a time
NOTICED = 0.25      # processors that are missing on average, from which on that is said


class _Counts(NamedTuple):
    """Seconds since some moment: of the clock, of the processors for this process, and those in
    which each of its threads was ready to run and had no processor."""

    clock: float
    used: float
    waited: dict[str, float]


class Contention:
    """Looks at the time that this process got, and warns in the log where others took too much."""

    def __init__(self) -> None:
        self._before: _Counts | None = None
        self._window = WINDOW
        self._has_warned = False

    def look(self) -> None:
        """Compare with the last look, if that is long ago; to be called often, as each call costs
        well below a microsecond. After a warning, the next window is twice as long."""
        if self._before is not None and time.monotonic() - self._before.clock < self._window:
            return
        before, self._before = self._before, _counts()
        if before is not None and (message := self._message(before, self._before)):
            logger.warning("%s", message)
            self._has_warned = True
            self._window *= 2

    def _message(self, before: _Counts, now: _Counts) -> str:
        threads = torch.get_num_threads()
        clock, used = now.clock - before.clock, now.used - before.used
        waited = sum(seconds - before.waited.get(thread, 0.0)
                     for thread, seconds in now.waited.items())
        if threads == 1 or context.device().type != "cpu" or not _is_first():
            return ""
        if used < 0:        # this process was forked in between, and counts from 0
            return ""
        # where they got enough, it was others of this process, such as data layers', that waited
        if min(waited, threads * clock - used) < NOTICED * clock:
            return ""
        share = used / (used + waited)
        if self._has_warned:
            return (f"the threads that compute still wait for a processor, in {1 - share:.0%} of "
                    f"their time in the last {clock:.0f} s")
        return (
            f"in the last {clock:.0f} s the {threads} threads that compute waited for a processor "
            f"in {1 - share:.0%} of their time: other processes had it, or the CPU limit of a "
            "container was reached. Each thread also waits for the slowest, so small nets are "
            "often several times faster with fewer threads. For that, stop the command by Ctrl-C, "
            f"and type it again with OMP_NUM_THREADS={max(1, math.floor(threads * share))} before "
            "it: fcn solve and demo go on from their last snapshot, fcn infer with those images of "
            "a folder that are left")


def _is_first() -> bool:
    """Whether this process speaks, of those that work together."""
    return not context.solver_rank() and os.environ.get("RANK", "0") == "0"


def _counts() -> _Counts:
    waited = {}
    for task in TASKS.glob("*/schedstat"):      # nanoseconds run and waited, and time slices
        try:
            waited[task.parent.name] = int(task.read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, IndexError, ValueError):       # the thread has just ended
            continue
    return _Counts(time.monotonic(), time.process_time(), waited)


watch = Contention()
