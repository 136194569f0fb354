"""pycaffe's private names, under which old scripts look up blobs by number, and run layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import CaffeError
from ..vectors import BlobVec, DtypeVec, IntVec
from .blob import Blob
from .program import Program


class PrivateNames:
    """What a net adds to its public names for such scripts."""

    # of the net
    program: Program
    layers: list
    blobs: Mapping[str, Blob]
    blob_loss_weights: Mapping[str, float]
    inputs: Sequence[str]
    outputs: Sequence[str]
    run_forward: Callable[..., torch.Tensor | float]
    run_backward: Callable[..., None]
    set_input_arrays: Callable[[np.ndarray, np.ndarray], None]

    @property
    def _blobs(self) -> BlobVec:
        return BlobVec(self.blobs.values())

    @property
    def _blob_loss_weights(self) -> DtypeVec:
        return DtypeVec(self.blob_loss_weights.values())

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _layer_names(self) -> list[str]:
        return [step.name for step in self.program.steps]

    @property
    def _inputs(self) -> IntVec:
        return self._numbers(self.inputs)

    @property
    def _outputs(self) -> IntVec:
        return self._numbers(self.outputs)

    def _top_ids(self, number: int) -> IntVec:
        return self._numbers(self.program.steps[number].spec.top)

    def _bottom_ids(self, number: int) -> IntVec:
        return self._numbers(self.program.steps[number].spec.bottom)

    def _numbers(self, names: Iterable[str]) -> IntVec:
        """The numbers of the blobs of these names."""
        known = self._blob_names
        return IntVec(map(known.index, names))

    def _forward(self, start: int, end: int) -> float:
        """Run the layers with the numbers start..end, and return their loss."""
        self._check_number(start, end)
        return float(self.run_forward(start, end))

    def _backward(self, start: int, end: int) -> None:
        """Run the backward passes of the layers with the numbers start down to end."""
        self._check_number(start, end)
        self.run_backward(start, end)

    def _check_number(self, *numbers: int) -> None:
        for number in numbers:
            if not 0 <= number < len(self.layers):
                raise CaffeError(f"the net has no layer number {number}, "
                                 f"its layers are 0 to {len(self.layers) - 1}")

    def _set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Have the MemoryData layer that begins the net go through these arrays."""
        self.set_input_arrays(data, labels)

    def _batch(self, arrays: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
        """Go through arrays of any length in batches of the net's size, that of its first blob.

        arrays : {name: array}, all of one length. Yields {name: array}, the last one filled up
        with zeros.
        """
        count = len(next(iter(arrays.values())))
        size = next(iter(self.blobs.values())).shape[0]
        for begin in range(0, count, size):
            batch = {name: np.asarray(array)[begin:begin + size] for name, array in arrays.items()}
            missing = size - min(size, count - begin)
            yield {name: np.concatenate([part, np.zeros((missing, *part.shape[1:]))])
                   if missing else part for name, part in batch.items()}
