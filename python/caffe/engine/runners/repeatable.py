"""Repeatable: has a forward pass find again what it found when it ran before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from ... import context
from ..blob import Blob
from ..program import Program


class Repeatable:
    """What a forward pass changes and the next one would not find again: the state of the random
    generators, inputs on which a layer works in place, and parameters that passes change, such as
    running statistics."""

    def __init__(self, program: Program, inputs: Sequence[Blob]) -> None:
        self._generators: list[tuple[Callable, Callable]] = [
            (torch.get_rng_state, torch.set_rng_state)]
        device = context.device()
        if device.type == "cuda":
            self._generators.append((partial(torch.cuda.get_rng_state, device),
                                     partial(torch.cuda.set_rng_state, device=device)))
        self._states = [get() for get, _ in self._generators]
        self._params = [(blob, blob.data_to_read.clone()) for blob in _changed_by_passes(program)]
        self._inputs = [(blob, blob.data_nearby.clone()) for blob in inputs]

    def restore(self) -> None:
        """Have all of it be as it was when this was made."""
        for (_, set_state), state in zip(self._generators, self._states):
            set_state(state)
        for blob, values in self._params:
            blob.data_tensor.copy_(values)
        for blob, values in self._inputs:
            blob.set_data(values.clone())


def _changed_by_passes(program: Program) -> list[Blob]:
    """Parameters that a forward pass may change: statistics, and those of Parameter layers, on
    which a layer may work in place."""
    own = [blob for step in program.steps if step.spec.type == "Parameter"
           for blob in step.layer.blobs]
    return own + [blob for step in program.steps if step.spec.type in ("BatchNorm", "BN")
                  for blob in step.layer.blobs]
