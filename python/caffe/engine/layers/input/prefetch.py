"""Prefetch: the next batches are made while the net computes."""

import queue
import threading
import weakref


class Prefetch:
    """Takes items from an iterator in a thread of its own, `depth` ahead of who asks for them.

    Items keep their order; what the iterator raises is raised in `next`. The thread ends when the
    Prefetch is no longer used, and does not keep the interpreter alive.
    """

    def __init__(self, iterator, depth):
        self._items, self._error = queue.Queue(depth), None
        stopped = threading.Event()
        weakref.finalize(self, stopped.set)
        threading.Thread(target=_fill, args=(iterator, self._items, stopped), daemon=True).start()

    def next(self):
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
