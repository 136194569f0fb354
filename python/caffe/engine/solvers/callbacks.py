"""SolverCallbacks: what a solver calls in each iteration, such as a caffe.NCCL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import CaffeError


class Functions(NamedTuple):
    """Two functions, as a callback."""

    on_start: Callable[[], Any]
    on_gradients_ready: Callable[[], Any]


class SolverCallbacks:
    """The callbacks of a solver, in the order in which they were added.

    Each has on_start() and on_gradients_ready(). One by which solvers exchange something may have
    more, which this looks for: on_forward(is_last), note(doing) and `agreed_action`.
    """

    def __init__(self, source: str) -> None:
        """source : the solver's file, which errors name"""
        self._source = source
        self._callbacks: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def add(self, on_start: Any, on_gradients: Callable[[], Any] | None = None) -> None:
        """Add two functions, or an object that has them. Raises CaffeError."""
        callback = on_start if on_gradients is None else Functions(on_start, on_gradients)
        missing = [name for name in Functions._fields
                   if not callable(getattr(callback, name, None))]
        if missing:
            raise CaffeError(f"{self._source}: expected add_callback(on_start, on_gradients), two "
                             "functions, or an object with the methods on_start and "
                             f"on_gradients_ready, got {callback!r}, without {missing}")
        self._callbacks.append(callback)

    def on_start(self) -> None:
        """Tell of an iteration that begins."""
        for callback in self._callbacks:
            callback.on_start()

    def on_forward(self, is_last: bool) -> None:
        """Tell of a forward pass that is done, the last one of its iteration or not."""
        for callback in self._callbacks:
            if hasattr(callback, "on_forward"):
                callback.on_forward(is_last)

    def on_gradients_ready(self) -> None:
        """Tell of gradients that are whole, before the update."""
        for callback in self._callbacks:
            callback.on_gradients_ready()

    def note(self, doing: str) -> None:
        """Say what this solver does while others may wait for it."""
        for callback in self._callbacks:
            if hasattr(callback, "note"):
                callback.note(doing)

    def agreed_action(self, requested: Callable[[], str | None]) -> str | None:
        """What one of the solvers that train together is asked to do; requested(), what this one
        is, where they exchange nothing."""
        agreed = [callback.agreed_action for callback in self._callbacks
                  if hasattr(callback, "agreed_action")]
        return agreed[0] if agreed else requested()
