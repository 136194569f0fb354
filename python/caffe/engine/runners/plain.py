"""PlainRunner: runs the layers of a program one after the other, as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

import torch

from ..graph import check_gradients
from ..layers import TensorLayer
from ..program import Program, Step


class Runner(Protocol):
    """What a net asks of whoever runs its layers.

    Whichever runner a net has, what somebody can read afterwards is what a PlainRunner would have
    left, or an error that says how to get it.
    """

    def forward(self, numbers: Sequence[int], observer: Observer, release: bool = False
                ) -> torch.Tensor | float:
        """Run the layers with these numbers, in order; returns the loss that they add up to.

        With `release` this is a whole pass: what the last one left is let go of before.
        """

    def backward(self, numbers: Sequence[int], observer: Observer, release: bool = False) -> None:
        """Run the backward passes of the layers with these numbers, in order.

        With `release` this is a whole pass, and the next one is expected to be a forward pass: a
        layer that has run lets go of what it would compute again if somebody ran it backward once
        more.
        """

    def weights_updated(self) -> None:
        """Know that a solver has subtracted from each parameter what its `diff` holds."""


EVENTS = "before_forward", "after_forward", "before_backward", "after_backward"


class Observer:
    """Is told of each layer when it runs; this one looks at nothing.

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


class PlainRunner:
    """Runs each layer as it is. Runners that do better replace `forward_step` and
    `backward_step`."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def forward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False,
                validate: bool = True) -> torch.Tensor | float:
        """As Runner.forward. Without `validate`, layers do not look at the values of their bottoms
        (labels, indices) before, because somebody has done so."""
        loss: torch.Tensor | float = 0.0
        for number in numbers:
            step = self.program.steps[number]
            # data layers, which may fail, still see the last pass
            if release and step.bottom:
                self.release()
                release = False
            observer.notice("before_forward", step)
            with self.program.locating_errors(step):
                step.layer.reshape(step.bottom, step.top)
                if validate and step.validated_bottoms:
                    cast(TensorLayer, step.layer).validate(step.validated_bottoms)
                self.forward_step(step)
            loss = loss + _loss(step)
            observer.notice("after_forward", step)
        return loss

    def backward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False
                 ) -> None:
        for number in numbers:
            step = self.program.steps[number]
            observer.notice("before_backward", step)
            if step.runs_backward:
                with self.program.locating_errors(step):
                    check_gradients(step.spec, step.layer, step.propagate_down)
                    self.backward_step(step)
                if release:
                    self.release_step(step)
            observer.notice("after_backward", step)

    def forward_step(self, step: Step) -> None:
        """Run one layer forward."""
        step.layer.forward(step.bottom, step.top)

    def backward_step(self, step: Step) -> None:
        """Run one layer backward."""
        step.layer.backward(step.top, step.passed_down, step.bottom)

    def release_step(self, step: Step) -> None:
        """Let go of what one layer, which has run backward, would compute again."""
        if isinstance(step.layer, TensorLayer) and not step.layer.keeps_state:
            step.layer.forget_forward()

    def release(self) -> None:
        """Let go of what the last pass left, so that memory is handed out in the same order every
        time and does not fall to pieces."""
        for step in self.program.steps:
            if isinstance(step.layer, TensorLayer) and step.bottom:
                step.layer.release(step.bottom, step.top)

    def weights_updated(self) -> None:
        """Nothing here depends on it."""


def _loss(step: Step) -> torch.Tensor | float:
    """What a layer adds to the loss: each top that has a loss weight, times its gradient.

    As in Caffe, that gradient is set to the weight when the net is built, and stays whatever
    somebody makes of it.
    """
    loss: torch.Tensor | float = 0.0
    for blob, weight in zip(step.top, step.loss_weights):
        if weight:
            loss = loss + (blob.data_to_read * blob.diff_tensor).sum()
    return loss


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
