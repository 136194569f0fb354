"""Signals that end a command: at once, or when nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from fcn.solvers.console.streams import tell
from fcn.start import is_first

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]        # Windows has no SIGHUP


class Stopped(KeyboardInterrupt):
    """The end that a signal asks for.

    number : of the signal; note : what there is to say of it
    is_anew : whether the same command has to begin anew, as far as is known; where nothing is said,
        if there is no note
    is_before_fresh : whether it came while an earlier stage was trained, so that --fresh is still
        to be done
    """

    def __init__(self, number: int, note: str = "", is_anew: bool | None = None,
                 is_before_fresh: bool = False) -> None:
        super().__init__(note)
        self.number, self.note = number, note
        self.is_anew = not note if is_anew is None else is_anew
        self.is_before_fresh = is_before_fresh

    def __reduce__(self) -> tuple:
        return Stopped, (self.number, self.note, self.is_anew, self.is_before_fresh)


def named(number: int) -> str:
    """What people call a signal: SIGINT is what Ctrl-C sends."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


class Pending:
    """A signal that came and is not yet acted on.

    number : the signal that came, 0 for none; waits : False while a signal may stop the program
    at once
    """
    number, waits = 0, True

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nothing can be lost: have signals raise Stopped, one that has come already too."""
        self.waits = False
        try:
            if self.number:
                raise Stopped(self.number)
            yield
        finally:
            self.waits = True


@contextmanager
def deferring_signals() -> Iterator[Pending]:
    """Have the first of SIGNALS wait in the `Pending` yielded, and a second raise Stopped at once.

    At the end it raises Stopped if a signal came that nobody has acted on, so that what follows
    does not begin.
    """
    pending = Pending()

    def note(number: int, frame: FrameType | None) -> None:
        if not pending.waits or pending.number:
            stop(number, frame)
        pending.number = number
        if is_first():
            tell(f"\n{named(number)}: finishing the iterations under way, then a "
                 "snapshot; a second signal stops at once")

    with handling_signals(note):
        yield pending
    if pending.number:
        raise Stopped(pending.number, "what was under way is finished")


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have SIGNALS call `handler`; those that the caller ignores, as nohup does, stay ignored."""
    before = {}
    if threading.current_thread() is threading.main_thread():       # no other can set handlers
        before = {number: found for number in SIGNALS
                  if (found := signal.getsignal(number)) is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found or signal.SIG_DFL)


def stop(number: int, frame: FrameType | None = None) -> NoReturn:
    """A handler of signals: raise Stopped."""
    raise Stopped(number)
