"""The other losses of class labels: InfogainLoss, MultinomialLogisticLoss and HingeLoss."""

import math

import numpy as np
import torch

from ...formats.caffemodel import read_blobproto
from ...proto.caffe_pb2 import HingeLossParameter
from .axes import canonical_axis, check_legacy_axes
from .base import register
from .loss import Labelled, OverClasses

LOG_THRESHOLD = 1e-20       # the least probability of which these losses take the logarithm


@register("InfogainLoss")
class InfogainLoss(OverClasses):
    """-sum over classes k of H[label, k] log(probability of k), after a softmax over `axis`.

    H, (classes, classes), is bottom 2 or the binaryproto `source`; with the identity this is
    SoftmaxWithLoss, but for the limit of the logarithm: log(1e-20).
    """

    bottoms = (2, 3)
    no_gradient = (1, 2)

    def class_axis(self, scores):
        return canonical_axis(self, self.layer_param.infogain_loss_param.axis, scores)

    def setup(self, bottom, top):
        if self.layer_param.loss_param.HasField("normalize"):
            raise self.error("normalize is not for this loss: expected normalization, VALID for "
                             "normalize: true, BATCH_SIZE for false")
        source = self.layer_param.infogain_loss_param.source
        if len(bottom) == 2 and not source:
            raise self.error("expected infogain_loss_param with a source, or a third bottom")
        self.file = None if len(bottom) == 3 else torch.from_numpy(
            np.array(read_blobproto(source), np.float32))

    def shapes(self, bottom):
        tops = super().shapes(bottom)
        classes = bottom[0][self.axis]
        matrix = bottom[2] if len(bottom) == 3 else tuple(self.file.shape)
        if math.prod(matrix) != classes ** 2:
            raise self.error(f"expected an infogain matrix of {classes} x {classes}, got {matrix}")
        return tops

    def compute(self, scores, labels, *given):
        if not given:
            self.file = self.file.to(scores.device)
        matrix, = given or (self.file,)
        index, counts = self.indices(scores, labels)
        rows = matrix.reshape((scores.shape[self.axis],) * 2)[index.squeeze(self.axis)]
        divisor = self.divisor(math.prod(scores.shape[:self.axis]), counts)
        return self.with_probability(
            *Infogain.apply(scores, rows.movedim(-1, self.axis), counts, self.axis, divisor))


class Infogain(torch.autograd.Function):
    """The limit of the logarithm bounds the loss but, as in Caffe, not its gradient:
    probability * (sum of the label's row of H) - that row."""

    @staticmethod
    def forward(ctx, scores, rows, counts, axis, divisor):
        probability = scores.softmax(axis)
        ctx.save_for_backward(probability, rows, counts)
        ctx.mark_non_differentiable(probability)
        ctx.axis, ctx.divisor = axis, divisor
        losses = rows * probability.clamp(min=LOG_THRESHOLD).log().neg()
        return losses.masked_fill(~counts, 0).sum() / divisor, probability

    @staticmethod
    def backward(ctx, gradient, _):
        probability, rows, counts = ctx.saved_tensors
        difference = probability * rows.sum(ctx.axis, keepdim=True) - rows
        scores = difference.masked_fill_(~counts, 0).mul_(gradient / ctx.divisor)
        return scores, None, None, None, None


class OneForEach(Labelled):
    """A loss of one label for each item, over all that the item holds; divided by the items."""

    loss = True
    tops = (1, 1)
    no_gradient = (1,)
    axis = 1

    def classes(self, scores):
        return math.prod(scores[1:])

    def shapes(self, bottom):
        scores, labels = bottom
        self.check_batch(scores, labels)
        check_legacy_axes(self, scores)
        self.check_items(scores, labels)
        return [()]

    def check_items(self, scores, labels):
        """Raises the layer's error unless there is a label for each item."""
        check_legacy_axes(self, labels)
        if math.prod(labels) != scores[0]:
            raise self.error(f"expected a label for each of {scores[0]} items, got {labels}")

    def compute(self, scores, labels):
        rows = scores.reshape(scores.shape[0], math.prod(scores.shape[1:]))
        index, _ = self.indices(rows, labels.flatten()[:rows.shape[0]])
        return self.losses(rows, index).sum() / rows.shape[0]


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(OneForEach):
    """-log(p of the label), of probabilities; for a p below 1e-20 the loss and the gradient, -1/p,
    are those of 1e-20."""

    def losses(self, rows, index):
        p = rows.gather(1, index)
        limited = p.detach().clamp(min=LOG_THRESHOLD)
        return -limited.log() - (p - p.detach()) / limited


@register("HingeLoss")
class HingeLoss(OneForEach):
    """max(0, 1 - x) for the label and max(0, 1 + x) for all others, summed (L1) or squared (L2).

    As in Caffe there may be more labels than the N items, (N, k); the first N of them count.
    """

    def check_items(self, scores, labels):
        """Raises the layer's error for fewer labels than items."""
        if math.prod(labels) < scores[0]:
            raise self.error(f"expected a label for each of {scores[0]} items, got {labels}")

    keeps_state = True      # the margins

    def losses(self, rows, index):
        sign = torch.ones_like(rows).scatter_(1, index, -1)
        margins = (1 + sign * rows).relu()
        squared = self.layer_param.hinge_loss_param.norm == HingeLossParameter.L2
        return margins.square() if squared else margins
