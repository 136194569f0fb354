"""What a solver writes to the log, in the original's words."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...log import logger
from ..net import Net


class Progress:
    """The line with the loss, and with the speed since the line before it."""

    def __init__(self) -> None:
        self._iteration, self._start = 0, time.perf_counter()

    def show(self, iteration: int, interval: int, loss: float) -> None:
        """Write the line of an iteration; `interval` is how many lie between two lines."""
        seconds = time.perf_counter() - self._start
        logger.info("Iteration %d (%g iter/s, %gs/%d iters), loss = %g", iteration,
                    (iteration - self._iteration) / seconds, seconds, interval, loss)
        self._iteration, self._start = iteration, time.perf_counter()


class OutputSums:
    """The sums of a net's outputs over passes, value by value. An output whose shape changes from
    pass to pass, with the images, has none; a warning says so."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._varying: set[str] = set()

    def add(self, name: str, values: Any) -> None:
        """Add an array or tensor."""
        before = self._sums.get(name)
        if before is None:
            self._sums[name] = 0.0 + values     # of its own
        elif before.shape == values.shape:
            self._sums[name] = before + values
        elif name not in self._varying:
            self._varying.add(name)
            logger.warning("output %s has the shape %s, after %s before: no mean of it is shown; "
                           "images of one size, or a layer such as Accuracy or Reduction, give one",
                           name, tuple(values.shape), tuple(before.shape))

    def means(self, passes: int) -> list[tuple[str, Any]]:
        """(name, mean) of the outputs that have one."""
        return [(name, total / passes) for name, total in self._sums.items()
                if name not in self._varying]


def show_test(net: Net, passes: int, with_loss: bool, goes_on: Callable[[], bool]) -> bool:
    """Run a test net, and write the means of its outputs over so many passes; returns whether
    goes_on(), asked before each, never said no."""
    sums = OutputSums()
    loss: torch.Tensor | float = 0.0
    for _ in range(passes):
        if not goes_on():
            logger.info("Test interrupted.")
            return False
        loss = loss + net.run_forward()
        for name in net.outputs:
            sums.add(name, net.blobs[name].data_to_read)
    if with_loss and passes:
        logger.info("Test loss: %g", loss / passes)
    show_outputs("Test", net, [(name, mean.cpu().numpy()) for name, mean in sums.means(passes)])
    return True


def show_outputs(kind: str, net: Net, outputs: Sequence[tuple[str, np.ndarray]]) -> None:
    """Write a line for each value of (name, array) pairs, with its share of the loss; `kind` is
    Train or Test."""
    values = [(name, value) for name, array in outputs for value in np.ravel(array)]
    for number, (name, value) in enumerate(values):
        weight = net.blob_loss_weights[name]
        share = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
        logger.info("    %s net output #%d: %s = %g%s", kind, number, name, value, share)
