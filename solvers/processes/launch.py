"""Starts a command in several processes on this machine, and ends all when one fails.

The environment says to each which it is (`torchrun.place`), by the names that torchrun has: RANK,
WORLD_SIZE and so on. On several machines torchrun itself starts them.
"""

from __future__ import annotations

import os
import sys

from fcn.solvers.console.commands import OF_ALL, THREADS, same_command
from fcn.solvers.console.streams import tell
from fcn.solvers.processes.workers import require_engine


def launch(count: int, max_restarts: int = 0) -> int:
    """Run this very command in `count` processes; returns the exit status: that of the first that
    failed, 128 and its number where that was a signal.

    Where a process fails, all begin anew, `max_restarts` times at most. Signals go to all.
    """
    require_engine()
    import caffe
    from caffe import launching
    _, host, port, token = caffe.NCCL.new_uid().decode().split(":")
    common = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": host,
              "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True",
              "TORCHELASTIC_RUN_ID": token, OF_ALL: os.environ.get(THREADS, "")}
    threads = str(max(1, (os.cpu_count() or 1) // count))
    for number in range(max_restarts + 1):
        processes = launching.Processes(_command(), [
            {THREADS: threads, **os.environ, **common, "RANK": str(rank),
             "LOCAL_RANK": str(rank), "TORCHELASTIC_RESTART_COUNT": str(number)}
            for rank in range(count)], lambda text: tell(f"error: {text}"),
            _advice() * (number == max_restarts))
        status = processes.wait()
        if status == 0 or processes.signals or number == max_restarts:
            break
        tell(f"starting all {count} processes anew, for the {number + 1}. of {max_restarts} times "
             "(--max-restarts)")
    return status


def _advice() -> str:
    """What to do after a process was killed, which has not said what there is of its run."""
    same, anew = same_command(), same_command(is_fresh=True)
    return f". Continue with\n    {same}" + f"\nor, where the new run has no snapshot yet, with\n" \
        f"    {anew}" * (same != anew)


def _command() -> list[str]:
    """What was started, as a list."""
    program, *arguments = sys.argv
    if program.startswith("fcn "):      # a subcommand, as python/fcn/command.py names it
        return [sys.executable, "-m", "fcn", program.split()[1], *arguments]
    return [sys.executable, program, *arguments]
