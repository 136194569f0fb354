"""The other losses of class labels: InfogainLoss, MultinomialLogisticLoss and HingeLoss."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...formats.caffemodel import read_blobproto
from ...proto.caffe_pb2 import HingeLossParameter
from .axes import canonical_axis, check_legacy_axes
from .loss import Labelled, OverClasses, zero_unless
from .registry import register
from .types import Blobs, Flags, Gradients, Shape, Shapes, Tensors

LOG_THRESHOLD = 1e-20       # the least probability of which these losses take the logarithm


@register("InfogainLoss")
class InfogainLoss(OverClasses):
    """-sum over classes k of H[label, k] log(probability of k), after a softmax over `axis`.

    H, (classes, classes), is bottom 2 or the binaryproto `source`; with the identity this is
    SoftmaxWithLoss, but for the limit of the logarithm: log(1e-20).
    """

    bottoms = (2, 3)
    no_gradient = (1, 2)

    def class_axis(self, scores: Shape) -> int:
        return canonical_axis(self, self.layer_param.infogain_loss_param.axis, scores)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        if self.layer_param.loss_param.HasField("normalize"):
            raise self.error("normalize is not for this loss: expected normalization, VALID for "
                             "normalize: true, BATCH_SIZE for false")
        source = self.layer_param.infogain_loss_param.source
        if len(bottom) == 2 and not source:
            raise self.error("expected infogain_loss_param with a source, or a third bottom")
        if len(bottom) == 2:
            self.file = torch.from_numpy(np.array(read_blobproto(source), np.float32))

    def shapes(self, bottom: Shapes) -> Shapes:
        tops = super().shapes(bottom)
        classes = bottom[0][self.axis]
        matrix = bottom[2] if len(bottom) == 3 else tuple(self.file.shape)
        if math.prod(matrix) != classes ** 2:
            raise self.error(f"expected an infogain matrix of {classes} x {classes}, got {matrix}")
        return tops

    def losses(self, *bottom: Tensor) -> tuple[Tensor, Tensor]:
        scores = bottom[0]
        return Infogain.apply(scores, *self._chosen(*bottom))

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        rows, counts, axis, divisor = self._chosen(*bottom)
        return [infogain_gradient(self.probability(top), rows, counts, axis, diffs[0] / divisor)
                if wanted[0] else None]

    def _chosen(self, scores: Tensor, labels: Tensor, *given: Tensor
                ) -> tuple[Tensor, Tensor, int, Tensor | int]:
        """For each position the label's row of H, on the axis of the classes, and whether it
        counts; that axis, and the number to divide by."""
        if not given:
            self.file = self.file.to(scores.device)
        matrix, = given or (self.file,)
        index, counts = self.indices(scores, labels)
        rows = matrix.reshape((scores.shape[self.axis],) * 2)[index.squeeze(self.axis)]
        divisor = self.divisor(math.prod(scores.shape[:self.axis]), counts)
        return rows.movedim(-1, self.axis), counts, self.axis, divisor


def infogain_gradient(probability: Tensor, rows: Tensor, counts: Tensor, axis: int, factor: Tensor
                      ) -> Tensor:
    """`factor` times the gradient of InfogainLoss before it is divided."""
    difference = probability * rows.sum(axis, keepdim=True) - rows
    return zero_unless(counts, difference).mul_(factor)


class Infogain(torch.autograd.Function):
    """The limit of the logarithm bounds the loss but, as in Caffe, not its gradient:
    probability * (sum of the label's row of H) - that row."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, rows: Tensor, counts: Tensor, axis: int,
                divisor: Tensor | int) -> tuple[Tensor, Tensor]:
        probability = scores.softmax(axis)
        ctx.save_for_backward(probability, rows, counts)
        ctx.mark_non_differentiable(probability)
        ctx.axis, ctx.divisor = axis, divisor
        losses = rows * probability.clamp(min=LOG_THRESHOLD).log().neg()
        return losses.masked_fill(~counts, 0).sum() / divisor, probability

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple:
        probability, rows, counts = ctx.saved_tensors
        factor = gradient / ctx.divisor
        by_scores = infogain_gradient(probability, rows, counts, ctx.axis, factor)
        return by_scores, None, None, None, None


class OneForEach(Labelled):
    """A loss of one label for each item, over all that the item holds; divided by the items."""

    loss = True
    tops = (1, 1)
    no_gradient = (1,)
    axis = 1

    def classes(self, scores: Shape) -> int:
        return math.prod(scores[1:])

    def shapes(self, bottom: Shapes) -> Shapes:
        scores, labels = bottom
        self.check_batch(scores, labels)
        check_legacy_axes(self, scores)
        self.check_items(scores, labels)
        return [()]

    def check_items(self, scores: Shape, labels: Shape) -> None:
        """Raises the layer's error unless there is a label for each item."""
        check_legacy_axes(self, labels)
        if math.prod(labels) != scores[0]:
            raise self.error(f"expected a label for each of {scores[0]} items, got {labels}")

    def compute(self, scores: Tensor, labels: Tensor) -> Tensor:
        rows = scores.reshape(scores.shape[0], math.prod(scores.shape[1:]))
        index, _ = self.indices(rows, labels.flatten()[:rows.shape[0]])
        return self.losses(rows, index).sum() / rows.shape[0]

    def losses(self, rows: Tensor, index: Tensor) -> Tensor:
        """The summands of the loss, for scores (items, classes) and the labels (items, 1)."""
        raise self.error(f"layer type '{self.type}' defines no losses()")


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(OneForEach):
    """-log(p of the label), of probabilities; for a p below 1e-20 the loss and the gradient, -1/p,
    are those of 1e-20."""

    def losses(self, rows: Tensor, index: Tensor) -> Tensor:
        p = rows.gather(1, index)
        limited = p.detach().clamp(min=LOG_THRESHOLD)
        return -limited.log() - (p - p.detach()) / limited


@register("HingeLoss")
class HingeLoss(OneForEach):
    """max(0, 1 - x) for the label and max(0, 1 + x) for all others, summed (L1) or squared (L2).

    As in Caffe there may be more labels than the N items, (N, k); the first N of them count.
    """

    recordable = False      # its forward pass writes a gradient

    def check_items(self, scores: Shape, labels: Shape) -> None:
        """Raises the layer's error for fewer labels than items."""
        if math.prod(labels) < scores[0]:
            raise self.error(f"expected a label for each of {scores[0]} items, got {labels}")

    def losses(self, rows: Tensor, index: Tensor) -> Tensor:
        margins = (1 + self._signs(rows, index) * rows).relu()
        return margins.square() if self._is_squared else margins

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """As in Caffe, the margins are left in the gradient of the scores, where backward finds
        them."""
        super().forward(bottom, top)
        scores, signs = self._scores(bottom)
        bottom[0].set_diff((1 + signs * scores).relu())

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        if propagate_down[0]:
            self.validate(bottom)       # the labels are read again
            scores, signs = self._scores(bottom)
            margins = bottom[0].diff_tensor * signs
            gradient = 2 * margins if self._is_squared else margins.sign()
            bottom[0].set_diff(gradient * (top[0].diff_tensor / len(scores)))

    def _scores(self, bottom: Blobs) -> tuple[Tensor, Tensor]:
        """The scores, and -1 for the label and 1 for all others."""
        scores, labels = (blob.data_to_read for blob in bottom)
        rows = scores.reshape(len(scores), math.prod(scores.shape[1:]))
        index, _ = self.indices(rows, labels.flatten()[:len(rows)])
        return scores, self._signs(rows, index).reshape(scores.shape)

    @staticmethod
    def _signs(rows: Tensor, index: Tensor) -> Tensor:
        return torch.ones_like(rows).scatter_(1, index, -1)

    @property
    def _is_squared(self) -> bool:
        return self.layer_param.hinge_loss_param.norm == HingeLossParameter.L2
