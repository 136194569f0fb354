"""Statistics: what batch normalisation follows in each forward pass, of all processes."""

from __future__ import annotations

from typing import Any

import torch

from ..program import Program


class Statistics:
    """Has the stored statistics of a net follow the batches of all ranks, one after the other, as
    they would in one process that runs all these passes."""

    def __init__(self, program: Program, rank: int, count: int) -> None:
        self._layers: list[Any] = [step.layer for step in program.steps
                                   if getattr(step.layer, "followers", None)]
        self._rank, self._count = rank, count
        self.begin()

    def begin(self) -> None:
        """Called before the passes of an iteration."""
        self._before = [blob.data_to_read.clone() for layer in self._layers
                        for blob in layer.followers]
        self._measured: list[torch.Tensor] = []

    def take(self) -> None:
        """Called after each forward pass."""
        if self._layers:
            self._measured.append(torch.cat([values.reshape(-1) for layer in self._layers
                                             for values in layer.measured]))

    def to_send(self) -> torch.Tensor | None:
        """What is to be added up over all ranks: (passes, ranks, values), 0 but for this rank."""
        if not self._measured:
            return None
        mine = torch.stack(self._measured)
        self._all = mine.new_zeros(len(mine), self._count, mine.shape[1])
        self._all[:, self._rank] = mine
        return self._all

    def finish(self) -> None:
        """Follow all batches of the iteration, once what `to_send` returned is added up."""
        if not self._measured:
            return
        before = iter(self._before)
        for layer in self._layers:
            for blob in layer.followers:
                blob.data_tensor.copy_(next(before))
        for values in self._all.flatten(0, 1):
            parts = iter(values.split([part.numel() for layer in self._layers
                                       for part in layer.measured]))
            for layer in self._layers:
                layer.follow(tuple(next(parts).reshape(part.shape) for part in layer.measured))
