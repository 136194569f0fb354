"""Whether other processes keep the processors busy on which a training is to compute."""

from __future__ import annotations

import os
from pathlib import Path

LOAD = Path("/proc/loadavg")    # of Linux: "5.37 4.90 3.41 3/512 1234"


def busy_note() -> str:
    """What it costs that there is more to do than processors, in a line; '' where there is not, or
    where nothing says how much there is.

    The load of the last minute may be that of a command that has just ended, so that as many
    processes have to run now, too.
    """
    try:
        load, _, _, running, _ = LOAD.read_text(encoding="ascii").split()
        others, now = float(load), int(running.partition("/")[0]) - 1       # but this process
    except (OSError, ValueError):
        return ""
    processors = os.cpu_count() or 1
    if others <= processors or now < processors:
        return ""
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and int(given) else processors
    times = (others + threads) / processors
    return (f"note: other processes keep the processors busy (load average {others:.1f}, "
            f"processors {processors}): what is computed here takes about {times:.1f} times as "
            "long as on a free machine"
            + (f", and longer where its {threads} threads wait for each other; with "
               "OMP_NUM_THREADS=1 before the command they do not") * (threads > 1))
