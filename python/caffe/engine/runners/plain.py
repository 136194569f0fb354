"""PlainRunner: runs the layers of a program one after the other, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from ..graph import check_gradients
from ..layers import TensorLayer
from ..program import Program, Step
from .observer import NOBODY, Observer
from .runner import Runner


class PlainRunner(Runner):
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
