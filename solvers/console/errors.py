"""How a command ends: a message for what a user can mend, an exit status for a signal."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fcn.solvers.console.commands import same_command
from fcn.solvers.console.signals import Stopped, handling_signals, named, stop
from fcn.solvers.console.streams import tell, unheard
from fcn.start import is_first
from segdata.errors import UserError


class RunError(UserError):
    """What the commands refuse: a run that is not there or not what was asked for, a device or an
    option that does not fit."""


class EndedByAnother(Exception):
    """The end of this process, because another of those that were started together has failed or
    was stopped; rank 0 says why."""


def reported() -> tuple[type[BaseException], ...]:
    """The errors that a user can mend: the project's own, Caffe's, those of files."""
    import caffe
    caffes = (caffe.CaffeError,) if hasattr(caffe, "CaffeError") else ()       # BVLC's has none
    return (UserError, OSError, *caffes)


@contextmanager
def report_errors(continues: bool = False) -> Iterator[None]:
    """End with one message and exit status 1, no traceback, for errors that users can mend.

    All others are bugs. SIGINT (Ctrl-C) ends with exit status 130, SIGTERM with 143, SIGHUP with
    129, and a sentence; `continues`: whether it names the command that goes on from there, or
    begins anew.
    """
    for stream in (sys.stdout, sys.stderr):     # class names are of any script
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with handling_signals(stop):
            yield
    except BrokenPipeError:     # `... | head`: whoever read the output has had enough
        unheard(sys.stdout)
        sys.exit(1)
    except EndedByAnother:
        sys.exit(1)
    except reported() as error:
        rank = os.environ.get("RANK", "")
        whose = f"rank {rank}: " if not is_first() and rank.isdecimal() else ""
        sys.exit(f"error: {whose}{error}")
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
        if is_first():
            way = "start again" if stopped.is_anew else "continue"
            command = same_command(stopped.is_anew or stopped.is_before_fresh)
            tell(f"stopped by {named(stopped.number)}" + f": {stopped.note}" * bool(stopped.note)
                 + f"; {way} with\n    {command}" * continues)
        sys.exit(128 + stopped.number)
