"""Observers, which are told of each layer before and after it runs: one that looks at nothing,
several as one, and the callbacks of scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..program import Step

EVENTS = "before_forward", "after_forward", "before_backward", "after_backward"


class Observer:
    """Is told of each layer before and after it runs; this one looks at nothing.

    An observer for which `watches` is true may look at every blob and parameter, and change them,
    so that runners take no liberties. One for which it is not may be told of several layers at
    once, by the last of them; in a backward pass that is replayed, after those in `cuts` and at
    the end.
    """

    @property
    def cuts(self) -> tuple[int, ...]:
        """The numbers of the layers after whose backward pass it is to be told in any case."""
        return ()

    @property
    def watches(self) -> bool:
        return False

    def notice(self, event: str, step: Step) -> None:
        """Called before and after a layer runs; `event` is one of EVENTS. Those of a backward pass
        come for all its layers, whether or not they run."""


NOBODY = Observer()


class Observers(Observer):
    """Several observers as one."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    @property
    def cuts(self) -> tuple[int, ...]:
        return tuple(number for observer in self._observers for number in observer.cuts)

    @property
    def watches(self) -> bool:
        return any(observer.watches for observer in self._observers)

    def notice(self, event: str, step: Step) -> None:
        for observer in self._observers:
            observer.notice(event, step)


class Callbacks(Observer):
    """The functions of the number of a layer that scripts register with a net."""

    def __init__(self) -> None:
        self.functions: dict[str, list[Callable[[int], None]]] = {event: [] for event in EVENTS}

    @property
    def watches(self) -> bool:
        return any(self.functions.values())

    def notice(self, event: str, step: Step) -> None:
        for function in self.functions[event]:
            function(step.number)
