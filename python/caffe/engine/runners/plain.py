"""PlainRunner: runs the layers of a program one after the other, as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

    def backward(self, numbers: Sequence[int], observer: Observer) -> None:
        """Run the backward passes of the layers with these numbers, in order."""

    def weights_updated(self) -> None:
        """Know that a solver has subtracted from each parameter what its `diff` holds."""


class Observer:
    """Is told before and after each layer runs; this one looks at nothing.

    An observer for which `watches` is true may look at every blob and parameter, and change them,
    so that runners take no liberties.
    """

    @property
    def watches(self) -> bool:
        return False

    def before_forward(self, step: Step) -> None:
        """Called before a layer runs forward."""

    def after_forward(self, step: Step) -> None:
        """Called after a layer has run forward."""

    def before_backward(self, step: Step) -> None:
        """Called before a layer runs backward, whether or not it does."""

    def after_backward(self, step: Step) -> None:
        """Called after a layer has run backward, whether or not it did."""


NOBODY = Observer()


class PlainRunner:
    """Runs each layer as it is. Runners that do better replace `forward_step` and
    `backward_step`."""

    def __init__(self, program: Program):
        self.program = program

    def forward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False,
                validate: bool = True) -> torch.Tensor | float:
        """As Runner.forward. Without `validate`, layers do not look at the values of their bottoms
        (labels, indices) before, because somebody has done so."""
        loss = 0.0
        for number in numbers:
            step = self.program.steps[number]
            # data layers, which may fail, still see the last pass
            if release and step.bottom:
                self.release()
                release = False
            observer.before_forward(step)
            with self.program.locating_errors(step):
                step.layer.reshape(step.bottom, step.top)
                if validate and step.validated_bottoms:
                    cast(TensorLayer, step.layer).validate(step.validated_bottoms)
                self.forward_step(step)
            loss = loss + _loss(step)
            observer.after_forward(step)
        return loss

    def backward(self, numbers: Sequence[int], observer: Observer = NOBODY) -> None:
        for number in numbers:
            step = self.program.steps[number]
            observer.before_backward(step)
            if step.runs_backward:
                with self.program.locating_errors(step):
                    check_gradients(step.spec, step.layer, step.propagate_down)
                    self.backward_step(step)
            observer.after_backward(step)

    def forward_step(self, step: Step) -> None:
        """Run one layer forward."""
        step.layer.forward(step.bottom, step.top)

    def backward_step(self, step: Step) -> None:
        """Run one layer backward."""
        step.layer.backward(step.top, step.propagate_down, step.bottom)

    def release(self) -> None:
        """Let go of what the last pass left, so that memory is handed out in the same order every
        time and does not fall to pieces."""
        for step in self.program.steps:
            if isinstance(step.layer, TensorLayer) and step.bottom:
                step.layer.release(step.bottom, step.top)

    def weights_updated(self) -> None:
        """Nothing here depends on it."""


def _loss(step):
    """What a layer adds to the loss: each top that has a loss weight, times its gradient.

    As in Caffe, that gradient is set to the weight when the net is built, and stays whatever
    somebody makes of it.
    """
    loss = 0.0
    for blob, weight in zip(step.top, step.loss_weights):
        if weight:
            loss = loss + (blob.data_to_read * blob.diff_tensor).sum()
    return loss


class Observers(Observer):
    """Several observers as one."""

    def __init__(self, observers: Iterable[Observer]):
        self._observers = list(observers)

    @property
    def watches(self) -> bool:
        return any(observer.watches for observer in self._observers)

    def before_forward(self, step: Step) -> None:
        for observer in self._observers:
            observer.before_forward(step)

    def after_forward(self, step: Step) -> None:
        for observer in self._observers:
            observer.after_forward(step)

    def before_backward(self, step: Step) -> None:
        for observer in self._observers:
            observer.before_backward(step)

    def after_backward(self, step: Step) -> None:
        for observer in self._observers:
            observer.after_backward(step)


class Callbacks(Observer):
    """The functions of the number of a layer that scripts register with a net."""

    KINDS = "before_forward", "after_forward", "before_backward", "after_backward"

    def __init__(self):
        self.functions = {kind: [] for kind in self.KINDS}

    @property
    def watches(self) -> bool:
        return any(self.functions.values())

    def before_forward(self, step: Step) -> None:
        self._call("before_forward", step)

    def after_forward(self, step: Step) -> None:
        self._call("after_forward", step)

    def before_backward(self, step: Step) -> None:
        self._call("before_backward", step)

    def after_backward(self, step: Step) -> None:
        self._call("after_backward", step)

    def _call(self, kind, step):
        for function in self.functions[kind]:
            function(step.number)
