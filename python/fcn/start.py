"""Where the commands `fcn` and `caffe` begin: Ctrl-C while they load ends them in one line."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def fcn() -> int:
    """The command `fcn`; returns the exit status."""
    with ending_quietly():
        from fcn.command import main
    return main()


def caffe() -> int:
    """The command `caffe`; returns the exit status."""
    with ending_quietly():
        from caffe.cli import main
    return main()


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
    if "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0":
        print("stopped by Ctrl-C", file=sys.stderr, flush=True)
    return 128 + signal.SIGINT
