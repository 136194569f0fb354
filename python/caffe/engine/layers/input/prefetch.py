"""Prefetch: the next batches are made while the net computes."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any


class Prefetch:
    """Takes items from an iterator in a thread of its own, `depth` ahead of who asks for them.

    Items keep their order; what the iterator raises is raised in `next`. The thread ends when the
    Prefetch is no longer used, and does not keep the interpreter alive.
    """

    def __init__(self, iterator: Iterator, depth: int):
        self._items: queue.Queue = queue.Queue(depth)
        self._error: Exception | None = None
        stopped = threading.Event()
        weakref.finalize(self, stopped.set)
        threading.Thread(target=_fill, args=(iterator, self._items, stopped), daemon=True).start()

    def next(self) -> Any:
        """The next item; what the iterator raised is raised here from then on."""
        if self._error is None:
            item, self._error = self._items.get()
        if self._error is not None:
            raise self._error
        return item


def _fill(iterator, items, stopped):
    while not stopped.is_set():
        try:
            entry = next(iterator), None
        except BaseException as error:
            entry = None, error
        while not stopped.is_set():
            try:
                items.put(entry, timeout=0.1)
                break
            except queue.Full:
                continue
        if entry[1] is not None:
            return
