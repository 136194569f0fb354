"""debug_info: the mean magnitude of every blob and parameter, in the log, as a net runs."""

from __future__ import annotations

import torch

from ...log import logger
from ..program import Program, Step
from .observer import Observer


class DebugInfo(Observer):
    """Writes the log lines of a net's debug_info.

    Attributes
    ----------
    enabled : whether it writes any
    """

    def __init__(self, program: Program, enabled: bool) -> None:
        self._program, self.enabled = program, enabled

    @property
    def watches(self) -> bool:
        return self.enabled

    def notice(self, event: str, step: Step) -> None:
        if self.enabled and event == "after_forward":
            self._show_values(step)
        elif self.enabled and event == "after_backward":
            if step.runs_backward:
                self._show_gradients(step)
            if step.number == 0:
                self._show_totals()

    def before_update(self, number: int) -> None:
        """Called before parameter `number` of those that are learned is updated."""
        if not self.enabled:
            return
        blob, _ = self._program.learnable[number]
        layer, index = next((step.name, i) for step in self._program.steps
                            for i, each in enumerate(step.layer.blobs) if each is blob)
        logger.info("    [Update] Layer %s, param %d data: %g; diff: %g", layer, index,
                    _mean(blob.data_to_read), _mean(blob.diff_tensor))

    def _show_values(self, step: Step) -> None:
        for blob_name, blob in zip(step.spec.top, step.top):
            logger.info("    [Forward] Layer %s, top blob %s data: %g", step.name, blob_name,
                        _mean(blob.data_to_read))
        for i, blob in enumerate(step.layer.blobs):
            logger.info("    [Forward] Layer %s, param blob %d data: %g", step.name, i,
                        _mean(blob.data_to_read))

    def _show_gradients(self, step: Step) -> None:
        for blob_name, blob, wanted in zip(step.spec.bottom, step.bottom, step.propagate_down):
            if wanted:
                logger.info("    [Backward] Layer %s, bottom blob %s diff: %g", step.name,
                            blob_name, _mean(blob.diff_tensor))
        for i, blob in enumerate(step.layer.blobs):
            logger.info("    [Backward] Layer %s, param blob %d diff: %g", step.name, i,
                        _mean(blob.diff_tensor))

    def _show_totals(self) -> None:
        blobs = [blob for blob, _ in self._program.learnable]
        tensors = [[blob.data_to_read for blob in blobs], [blob.diff_tensor for blob in blobs]]
        sums = [sum(float(getattr(tensor, power)().sum()) for tensor in kind)
                for power in ("abs", "square") for kind in tensors]
        logger.info("    [Backward] All net params (data, diff): L1 norm = (%g, %g); "
                    "L2 norm = (%g, %g)", sums[0], sums[1], sums[2] ** 0.5, sums[3] ** 0.5)


def _mean(tensor: torch.Tensor) -> float:
    return float(tensor.abs().mean()) if tensor.numel() else 0.0
