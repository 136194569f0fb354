"""Whether other processes keep the processors busy on which a training is to compute."""

from __future__ import annotations

import os
from pathlib import Path

LOAD = Path("/proc/loadavg")    # of Linux: "5.37 4.90 3.41 3/512 1234"


def busy_note() -> str:
    """A line that says what to do on a busy machine, or how much slower it computes; '' if it is
    not busy, or the load is unknown.

    The load of the last minute may be that of a command that has just ended, so that as many
    processes have to run now, too. It is that of the whole machine: of the processors that a
    container or taskset gives to this process, where these are only some, it says nothing.
    """
    try:
        load, _, _, running, _ = LOAD.read_text(encoding="ascii").split()
        others, now = float(load), int(running.partition("/")[0]) - 1       # but this process
    except (OSError, ValueError):
        return ""
    processors = os.cpu_count() or 1
    if others <= processors or now < processors or len(os.sched_getaffinity(0)) < processors:
        return ""
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and int(given) else processors
    busy = (f"other processes keep the processors busy (load average {others:.1f}, processors "
            f"{processors})")
    share = max(1, round(processors ** 2 / (others + processors)))
    if threads > share:
        return (f"note: type OMP_NUM_THREADS={share} before the command: {busy}, and {threads} "
                f"threads that wait for each other there are often many times slower than {share}")
    return (f"note: {busy}: what is computed here takes about "
            f"{(others + threads) / processors:.1f} times as long as on a free machine")
