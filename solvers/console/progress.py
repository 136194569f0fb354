"""How far something is: a bar on a terminal, else a line every ten seconds; events for both."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TextIO, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from fcn.solvers.console import events
from fcn.solvers.console.streams import unheard

EVERY = 10.0        # seconds from one line to the next
T = TypeVar("T")

_watchers: list[Callable[[str], None]] = []


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """Have watcher(text) hear of each step of whatever gets on: "scoring: image 3 of 20"."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


class Progress:
    """Counts what is done of `total`, from `done` on; `what` and `unit` say what it is.

    How fast it is, and what time is left, follows from all steps since then but the first, in which
    the engine still measures what computes fastest.

    details : {name: number} that a line shows beside the counts
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0, leave: bool = True) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self.details: dict[str, float] = {}
        self.reported_at = time.monotonic()
        self._open = ExitStack()
        self._begin = self._second = self.reported_at, done     # when these steps began, after what
        self.bar = tqdm(total=total, initial=done, desc=what, unit=unit[:2] if unit == "iteration"
                        else unit, smoothing=0, leave=leave, disable=None)

    def __enter__(self) -> Progress:
        if not self.bar.disable:        # the log's lines stand above the bar
            self._open.enter_context(logging_redirect_tqdm([logging.getLogger("caffe")]))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self.bar.close()

    def update(self, count: int = 1, **details: float) -> None:
        """Count that many as done."""
        self.done += count
        if self._second is self._begin:
            self._second = time.monotonic(), self.done
            self.bar.initial = self.done
            self.bar.unpause()      # its time counts from now
        self.details.update(details)
        for watcher in _watchers:
            watcher(self._counts)
        if details:
            self.bar.set_postfix_str(_described(self.details), refresh=False)
        self.bar.update(count)
        if time.monotonic() - self.reported_at >= EVERY:
            self.tell()

    @property
    def _counts(self) -> str:
        return f"{self.what}: {self.unit} {self.done:,} of {self.total:,}"

    def tell(self) -> None:
        """Emit an event, and where stderr is no terminal print it as a line."""
        self.reported_at = time.monotonic()
        since, before = self._second if self.done > self._second[1] else self._begin
        speed = (self.done - before) / max(self.reported_at - since, 1e-9)
        left = (self.total - self.done) / speed if speed else None
        events.emit("progress", run=self.what, unit=self.unit, done=self.done, total=self.total,
                    per_second=round(speed, 4), seconds_left=None if left is None else
                    round(left, 1), **self.details)
        if self.bar.disable:
            parts = [self._counts,
                     *([_described(self.details)] if self.details else []),
                     f"{speed:.3g} {self.unit}{'es' if self.unit.endswith('ch') else 's'}/s",
                     *([] if left is None else [f"{duration(left)} left"])]
            with suppress(OSError):     # nobody reads it any more; the work goes on
                print(", ".join(parts), file=sys.stderr, flush=True)

    def write(self, text: str, file: TextIO | None = None) -> None:
        """Print a line, on a terminal above the bar."""
        try:
            self.bar.write(text, file=file)
        except OSError:         # nobody reads it any more; the work goes on
            unheard(file or sys.stdout)


def warn(text: str) -> None:
    """Print a line to stderr, on a terminal above the bar that may be there."""
    tqdm.write(text, file=sys.stderr)


def through(items: Iterable[T], what: str, total: int, unit: str, **options: Any) -> Iterator[T]:
    """The items, counted as they are taken."""
    with Progress(what, total, unit, **options) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """In words, with two units: 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    whole = round(seconds)
    for size, unit, smaller_size, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"),
                                              (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + f" {rest} {smaller}" * bool(rest)
    return f"{whole} s"


def _described(details: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in details.items())
