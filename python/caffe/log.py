"""The log, on standard error, in glog's form: scripts that parse Caffe's logs read it.

GLOG_minloglevel (0 all, 1 warnings, 2 errors, 3 nothing short of fatal) is honoured.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from .formats.text import printable

_LEVELS = logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL


class _GlogForm(logging.Formatter):
    """Lmmdd hh:mm:ss.uuuuuu thread file:line] message"""

    def format(self, record: logging.LogRecord) -> str:
        letter = "FEWI"[sum(record.levelno < level for level in _LEVELS[:0:-1])]
        when = datetime.fromtimestamp(record.created)
        return (f"{letter}{when:%m%d %H:%M:%S.%f} {record.process:5} "
                f"{record.filename}:{record.lineno}] {printable(record.getMessage())}")


class _StandardError(logging.StreamHandler):
    """Writes to what sys.stderr is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(_GlogForm())

    @property
    def stream(self) -> Any:
        return sys.stderr


logger = logging.getLogger("caffe")
logger.propagate = False
logger.addHandler(_StandardError())


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Log what is at least of `level`: 0 everything, 1 warnings, 2 errors, 3 fatal errors.

    `stderr` is accepted for the original's sake, which else wrote files: here the log always
    goes to standard error.
    """
    logger.setLevel(_LEVELS[min(max(int(level), 0), 3)])


@contextmanager
def silence() -> Iterator[None]:
    """Log warnings and errors alone for a while."""
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def log(message: str) -> None:
    """Write a line to the log, as information."""
    logger.info("%s", message, stacklevel=2, extra={"is_of_script": True})


_given = os.environ.get("GLOG_minloglevel", "")     # noqa: SIM112, the name is glog's
init_log(int(_given) if _given.isdigit() else 0)
