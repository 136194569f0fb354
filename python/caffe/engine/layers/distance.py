"""Losses of two blobs held against each other: EuclideanLoss, ContrastiveLoss and
SigmoidCrossEntropyLoss."""

import math

import torch
import torch.nn.functional as F

from ...proto.caffe_pb2 import LossParameter
from .axes import check_legacy_axes
from .base import TensorLayer, register
from .loss import Normalized


@register("EuclideanLoss")
class EuclideanLoss(TensorLayer):
    """sum((a - b)^2) / (2 N), N the batch size."""

    bottoms = (2, 2)
    loss = True
    keeps_state = True      # the difference

    def shapes(self, bottom):
        check_alike(self, bottom)
        check_legacy_axes(self, bottom[0])
        return [()]

    def compute(self, a, b):
        return (a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])


@register("ContrastiveLoss")
class ContrastiveLoss(TensorLayer):
    """Pairs (a, b), N of them, that are alike (bottom 2 is not 0) or not, at the distance d:
    the sum of d^2 over those alike and of max(margin - d, 0)^2 over the others, over 2 N.

    With legacy_version it is max(margin - d^2, 0) over the others (Hadsell et al. 2006).
    """

    bottoms = (3, 3)
    loss = True
    keeps_state = True      # the difference and the distance

    def shapes(self, bottom):
        check_alike(self, bottom[:2])
        check_legacy_axes(self, *bottom)
        first, second, alike = bottom
        if math.prod(first[2:]) != 1 or math.prod(second[2:]) != 1 \
                or math.prod(alike) != first[0]:
            raise self.error(f"expected bottoms (N, channels), twice, and (N,), got {bottom}")
        return [()]

    def compute(self, a, b, alike):
        p = self.layer_param.contrastive_loss_param
        difference = (a - b.reshape(a.shape)).reshape(a.shape[0], math.prod(a.shape[1:]))
        return Contrast.apply(difference, alike.reshape(a.shape[0], 1).int() != 0, p.margin,
                              p.legacy_version)


class Contrast(torch.autograd.Function):
    """As in Caffe, the gradient divides by d + 1e-4, which keeps it finite at d = 0."""

    @staticmethod
    def forward(ctx, difference, alike, margin, legacy):
        squared = difference.square().sum(1, keepdim=True)
        distance = squared.sqrt()
        missing = (margin - (squared if legacy else distance)).clamp(min=0)
        pull = -torch.ones_like(missing) if legacy else -missing / (distance + 1e-4)
        factor = torch.where(alike, 1.0, torch.where(missing > 0, pull, 0.0))
        ctx.save_for_backward(factor * difference)
        losses = torch.where(alike, squared, missing if legacy else missing.square())
        return losses.sum() / (2 * difference.shape[0])

    @staticmethod
    def backward(ctx, gradient):
        pulled, = ctx.saved_tensors
        return pulled * (gradient / pulled.shape[0]), None, None, None


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Normalized):
    """-(t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid, summed; by default over the batch size.

    Targets equal to ignore_label do not count.
    """

    bottoms = (2, 2)
    no_gradient = (1,)
    keeps_state = True      # the sigmoid
    default_normalization = LossParameter.BATCH_SIZE

    def shapes(self, bottom):
        check_alike(self, bottom)
        return [()]

    def compute(self, x, targets):
        targets = targets.reshape(x.shape)
        counts = (torch.ones_like(x, dtype=torch.bool) if self.ignore is None
                  else targets.int() != self.ignore)
        losses = F.binary_cross_entropy_with_logits(
            x.masked_fill(~counts, 0), targets, reduction="none")
        return losses.masked_fill(~counts, 0).sum() / self.divisor(x.shape[0], counts)


def check_alike(layer, bottom):
    """Raises the layer's error unless both bottoms have one batch size and one count."""
    first, second = bottom
    if first[:1] != second[:1] or math.prod(first) != math.prod(second) or not first:
        raise layer.error(f"expected two bottoms of one batch size and one count, "
                          f"got {first} and {second}")
