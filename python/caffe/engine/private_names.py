"""pycaffe's private names, under which old scripts look up blobs by number, and run layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..errors import CaffeError
from ..vectors import BlobVec, DtypeVec, IntVec


class PrivateNames:
    """What a net adds to its public names for such scripts."""

    run_forward: Callable[..., torch.Tensor | float]        # of the net
    run_backward: Callable[..., None]

    @property
    def _blobs(self):
        return BlobVec(self.blobs.values())

    @property
    def _blob_loss_weights(self):
        return DtypeVec(self.blob_loss_weights.values())

    @property
    def _blob_names(self):
        return list(self.blobs)

    @property
    def _layer_names(self):
        return [step.name for step in self.program.steps]

    @property
    def _inputs(self):
        return self._numbers(self.inputs)

    @property
    def _outputs(self):
        return self._numbers(self.outputs)

    def _top_ids(self, number):
        return self._numbers(self.program.steps[number].spec.top)

    def _bottom_ids(self, number):
        return self._numbers(self.program.steps[number].spec.bottom)

    def _numbers(self, names):
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

    def _check_number(self, *numbers):
        for number in numbers:
            if not 0 <= number < len(self.layers):
                raise CaffeError(f"the net has no layer number {number}, "
                                 f"its layers are 0 to {len(self.layers) - 1}")

    def _set_input_arrays(self, data, labels):
        """Have the MemoryData layer that begins the net go through these arrays."""
        self.set_input_arrays(data, labels)

    def _batch(self, arrays):
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
