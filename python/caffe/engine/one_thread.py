"""Nets and solvers are used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from ..errors import CaffeError

User = TypeVar("User")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Turn:
    """Held by the thread that uses an object; `source` is the file that names it in errors."""

    def __init__(self, source: str) -> None:
        self.source, self.lock = source, threading.RLock()


def by_one_thread(method: Callable[Concatenate[User, Arguments], Result]
                  ) -> Callable[Concatenate[User, Arguments], Result]:
    """Decorator of a method of an object with a `turn`: raise CaffeError while another thread is
    in one of those of the same object. The same thread may call them from within."""
    @wraps(method)
    def guarded(self: User, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        turn = cast(Any, self).turn
        if not turn.lock.acquire(blocking=False):
            raise CaffeError(
                f"{turn.source}: {method.__name__}() in the thread "
                f"'{threading.current_thread().name}' while another thread uses the same "
                f"{type(self).__name__} (or did when this process was forked). Give each thread "
                "one of its own, which may share weights (Net.share_with), or have the threads "
                "wait for each other with a threading.Lock")
        try:
            return method(self, *args, **kwargs)
        finally:
            turn.lock.release()
    return guarded
