"""Prefetch: the next batches are made while the net computes."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

Make = Callable[[Any], Iterator[tuple[Any, Any]]]


class Prefetch:
    """Takes items from an iterator in a thread of its own, `depth` ahead of who asks for them.

    Items keep their order; what the iterator raises is raised in `next`. The thread ends when the
    Prefetch is no longer used, and does not keep the interpreter alive. A process that was forked
    has no such thread: it makes its own, and goes on after what was asked for.

    Parameters
    ----------
    make : make(place) is an iterator of (item, the place after it)
    place : where to begin

    Attributes
    ----------
    place : the place after the last item that was asked for
    """

    def __init__(self, make: Make, place: Any, depth: int) -> None:
        self.place = place
        self._make, self._depth = make, depth
        self._start()

    def _start(self) -> None:
        # All anew, and no lock: another process's thread may hold that of the former queue.
        self._process = os.getpid()
        self._items: queue.Queue = queue.Queue(self._depth)
        self._error: BaseException | None = None
        stopped: list[bool] = []
        weakref.finalize(self, stopped.append, True)
        threading.Thread(target=_fill, args=(self._make, self.place, self._items, stopped),
                         daemon=True).start()

    def next(self) -> Any:
        """The next item; what the iterator raised is raised here from then on."""
        if self._process != os.getpid():
            self._start()
        if self._error is None:
            (item, place), self._error = self._items.get()
        if self._error is not None:
            raise self._error
        self.place = place
        return item


def _fill(make: Make, place: Any, items: queue.Queue, stopped: list[bool]) -> None:
    iterator: Iterator[tuple[Any, Any]] | None = None
    entry: tuple[tuple[Any, Any], BaseException | None]
    while not stopped:
        try:
            iterator = iterator or make(place)
            entry = next(iterator), None
        except BaseException as error:
            entry = (None, None), error
        while not stopped:
            try:
                items.put(entry, timeout=0.1)
                break
            except queue.Full:
                continue
        if entry[1] is not None:
            return
