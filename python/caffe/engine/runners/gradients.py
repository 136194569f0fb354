"""Gradients: what a replayed backward pass sets, added to what parameters held before."""

from __future__ import annotations

from typing import cast

import torch

from ..layers import TensorLayer
from ..memory import DIFF, Memory
from ..program import Program

Tensors = dict[Memory, torch.Tensor]


class Gradients:
    """The gradients of parameters that a replay sets, to which those before are to be added."""

    def __init__(self, program: Program, new: Tensors, before: Tensors) -> None:
        """new, before : {Memory: tensor}; what is in `before` is written to"""
        self._new = new
        self._totals: Tensors = {}
        replaced = {blob.memories[DIFF] for step in program.steps if before and step.runs_backward
                    for blob in cast(TensorLayer, step.layer).replaced_gradients(step.bottom)}
        self._before = {diff: tensor.clone() if tensor is new[diff] else tensor.to(new[diff].device)
                        for diff, tensor in before.items() if diff in new and diff not in replaced}
        self._left: dict[Memory, int] = {}      # whose gradient a layer has a part in, last this
        for step in reversed(program.steps):
            self._left.update((blob.memories[DIFF], step.number) for blob in step.layer.blobs)

    def put(self, number: int) -> None:
        """Have the memories hold the gradients that are whole once this layer has run, if they
        do not yet."""
        ready = [diff for diff, last in self._left.items() if last >= number]
        for diff in ready:
            del self._left[diff]
            if diff in self._new:
                new = self._new[diff]
                if diff in self._before:
                    new = self._totals[diff] = self._before[diff].view(new.shape).add_(new)
                diff.restore(new)

    def settle(self) -> None:
        """Have the memories hold the sums, once what the pass left is in place."""
        restore(self._totals)


def restore(tensors: Tensors) -> None:
    """Have each memory hold its tensor."""
    for memory, tensor in tensors.items():
        memory.restore(tensor)
