"""Reduction: the gradients of all parameters, averaged over the processes, in the order in which a
backward pass makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...layer import Layer
from ..blob import Blob
from ..layers.base import TensorLayer
from ..memory import DIFF
from ..precision import laid_out_as
from ..program import Program

SMALL = 1 << 16     # values below which parameters are sent together, biases above all
BUNDLE = 1 << 20    # values that are sent together at most
PIECES = 3          # of a backward pass that is replayed
NEARLY_ALL = 7 / 8  # of the values still to come, which such a pass sends together

Send = Callable[[torch.Tensor], object]     # begins to add up a tensor over all ranks, in place


@dataclass(frozen=True)
class Unit:
    """Gradients that are sent together, once the backward pass of layer `after` is done."""

    blobs: tuple[Blob, ...]
    after: int


class Reduction:
    """Sends the gradients of a program's parameters. The order of the units is the same on every
    rank, however a rank runs its passes."""

    def __init__(self, program: Program, send: Send) -> None:
        self.units, self._send = plan(program), send
        self._next = 0
        self._sent: list[tuple[Unit, torch.Tensor]] = []

    def advance(self, number: int) -> None:
        """Send what is ready once the layers down to `number` have run backward."""
        while self._next < len(self.units) and self.units[self._next].after >= number:
            unit = self.units[self._next]
            self._next += 1
            values = _flat(unit)
            self._sent.append((unit, values))
            self._send(values)

    @property
    def cuts(self) -> tuple[int, ...]:
        """The layers after which a backward pass that is replayed is cut, to send what is ready:
        each time most of what is left. Of FCN-8s those are fc6 and conv4_1."""
        rest = [(unit.after, sum(blob.count for blob in unit.blobs)) for unit in self.units]
        found: list[int] = []
        while len(found) < PIECES - 1 and rest:
            total, sent = sum(count for _, count in rest), 0
            while sent < NEARLY_ALL * total:
                after, count = rest.pop(0)
                sent += count
            found.append(after)
        return tuple(found)

    def finish(self, count: int) -> None:
        """Divide by the number of ranks what has been added up; the gradients are the averages."""
        sent, self._sent, self._next = self._sent, [], 0
        if sent:
            torch._foreach_div_([values for _, values in sent], count)
        for unit, values in sent:
            parts = values.split([blob.count for blob in unit.blobs])
            for blob, part in zip(unit.blobs, parts):
                line = _line(blob)
                # that of a single blob was added up in place; a replay may have put another there
                if line.data_ptr() != part.data_ptr():
                    line.copy_(part)


def plan(program: Program) -> list[Unit]:
    """The units of a program, in the order in which they are sent. A shared parameter is ready
    after the last of its layers, the first one in the net."""
    ready: list[tuple[int, Blob]] = []
    for blob, spec in program.learnable:
        users = [step for step in program.steps if _place(blob, step.layer) is not None]
        # gradients that no update is made of count in clip_gradients
        if spec.lr_mult or any(_computes_gradient(blob, step.layer) for step in users):
            ready.append((min(step.number for step in users), blob))
    units: list[Unit] = []
    bundle: list[Blob] = []
    after = 0
    for number, blob in sorted(ready, key=lambda entry: -entry[0]):
        if blob.count >= SMALL:
            units.append(Unit((blob,), number))
            continue
        if bundle and sum(each.count for each in bundle) + blob.count > BUNDLE:
            units.append(Unit(tuple(bundle), after))
            bundle = []
        bundle.append(blob)
        after = number
    if bundle:
        units.append(Unit(tuple(bundle), after))
    return sorted(units, key=lambda unit: -unit.after)


def _place(blob: Blob, layer: Layer) -> int | None:
    """Which of a layer's parameters has its gradient in the blob's memory; None if none has."""
    return next((place for place, each in enumerate(layer.blobs)
                 if each.memories[DIFF] is blob.memories[DIFF]), None)


def _computes_gradient(blob: Blob, layer: Layer) -> bool:
    """Whether a backward pass of the layer adds to the gradient of the parameter."""
    flags = layer.param_propagate_down if isinstance(layer, TensorLayer) else ()
    place = _place(blob, layer)
    return place is not None and any(flags[place:place + 1])


def _flat(unit: Unit) -> torch.Tensor:
    """The gradients of a unit, one behind the other; of a single one the memory itself."""
    lines = [_line(blob) for blob in unit.blobs]
    return lines[0] if len(lines) == 1 else torch.cat(lines)


def _line(blob: Blob) -> torch.Tensor:
    """The memory of a blob's gradient, as it lies there. It is laid out as its values are, which
    is alike on all ranks; a gradient may come as a library likes it."""
    diff = blob.diff_tensor
    ordered = laid_out_as(diff, blob.data_to_read)
    if ordered.data_ptr() != diff.data_ptr():
        blob.set_diff(ordered)
    return ordered.as_strided((ordered.numel(),), (1,))
