"""Where all commands begin: Ctrl-C while they load ends them in one line.

Nothing is imported here that takes time, and nothing of caffe or of the tools.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType


def fcn() -> int:
    """The command `fcn`; returns the exit status."""
    return run("fcn.command")


def caffe() -> int:
    """The command `caffe`; returns the exit status."""
    return run("caffe.cli")


def run(module: str) -> int:
    """Import a module and call its main(); returns the exit status. Ctrl-C ends it in one line,
    unless main() says more of it."""
    try:
        with ending_quietly():
            main = import_module(module).main
        return main() or 0
    except KeyboardInterrupt:
        return stopped()


@contextmanager
def ending_quietly() -> Iterator[None]:
    """Have Ctrl-C end the process at once, while it imports modules and nothing can be lost: some
    of these make another error of a KeyboardInterrupt. Where it is ignored it stays ignored."""
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()     # which alone may set one
    if not is_main or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end(number: int, frame: FrameType | None = None) -> None:
    """A handler of SIGINT: end the process."""
    os._exit(stopped())


def stopped() -> int:
    """Say that Ctrl-C has ended the command, of several processes the first; returns the status."""
    if is_first():
        print("stopped by Ctrl-C", file=sys.stderr, flush=True)
    return 128 + signal.SIGINT


def is_launched() -> bool:
    """Whether this process is one of those that were started together, by torchrun or by a command
    of this project: both say in the environment which it is."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Whether this process prints: it works alone, or has rank 0 among several."""
    return not is_launched() or os.environ["RANK"] == "0" or os.environ["WORLD_SIZE"] == "1"
