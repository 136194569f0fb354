"""Losses of two blobs held against each other: EuclideanLoss, ContrastiveLoss and
SigmoidCrossEntropyLoss."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...proto.caffe_pb2 import LossParameter
from .axes import check_legacy_axes
from .base import TensorLayer
from .formulas import KeepingLayer
from .loss import Normalized
from .registry import register
from .types import Flags, Gradients, Shapes, Tensors, Tops


@register("EuclideanLoss")
class EuclideanLoss(TensorLayer):
    """sum((a - b)^2) / (2 N), N the batch size."""

    bottoms = (2, 2)
    loss = True
    keeps_state = True      # the difference

    def shapes(self, bottom: Shapes) -> Shapes:
        check_alike(self, bottom)
        check_legacy_axes(self, bottom[0])
        return [()]

    def compute(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b.reshape(a.shape)).square().sum() / (2 * a.shape[0])


@register("ContrastiveLoss")
class ContrastiveLoss(KeepingLayer):
    """Pairs (a, b), N of them, that are alike (bottom 2 is not 0) or not, at the distance d:
    the sum of d^2 over those alike and of max(margin - d, 0)^2 over the others, over 2 N.

    With legacy_version it is max(margin - d^2, 0) over the others (Hadsell et al. 2006). It keeps
    a - b.
    """

    bottoms = (3, 3)
    loss = True

    def shapes(self, bottom: Shapes) -> Shapes:
        check_alike(self, bottom[:2])
        check_legacy_axes(self, *bottom)
        first, second, alike = bottom
        if math.prod(first[2:]) != 1 or math.prod(second[2:]) != 1 \
                or math.prod(alike) != first[0]:
            raise self.error(f"expected bottoms (N, channels), twice, and (N,), got {bottom}")
        return [()]

    def compute(self, a: Tensor, b: Tensor, alike: Tensor) -> Tensor:
        p = self.layer_param.contrastive_loss_param
        return Contrast.apply(self._difference(a, b), self._alike(alike), p.margin,
                              p.legacy_version)

    def run(self, a: Tensor, b: Tensor, alike: Tensor) -> tuple[Tops, object]:
        return (self.compute(a, b, alike),), self._difference(a, b)

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        p, (a, b, alike) = self.layer_param.contrastive_loss_param, bottom
        by_a = contrast_pull(self.kept, self._alike(alike), p.margin, p.legacy_version)
        by_a *= diffs[0] / len(a)
        return [by_a.reshape(a.shape) if wanted[0] else None,
                -by_a.reshape(b.shape) if wanted[1] else None]

    @staticmethod
    def _difference(a: Tensor, b: Tensor) -> Tensor:
        return (a - b.reshape(a.shape)).reshape(a.shape[0], math.prod(a.shape[1:]))

    @staticmethod
    def _alike(alike: Tensor) -> Tensor:
        return alike.reshape(-1, 1).int() != 0


def contrast_pull(difference: Tensor, alike: Tensor, margin: float, legacy: bool) -> Tensor:
    """The gradient by `difference` of the sum over N pairs, times N. As in Caffe, it divides by
    d + 1e-4, which keeps it finite at d = 0."""
    squared = difference.square().sum(1, keepdim=True)
    distance = squared.sqrt()
    missing = margin - (squared if legacy else distance)
    pull = -torch.ones_like(missing) if legacy else -missing / (distance + 1e-4)
    return torch.where(alike, 1.0, torch.where(missing > 0, pull, 0.0)) * difference


class Contrast(torch.autograd.Function):
    """ContrastiveLoss with its gradient."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor, alike: Tensor, margin: float, legacy: bool) -> Tensor:
        ctx.save_for_backward(contrast_pull(difference, alike, margin, legacy))
        squared = difference.square().sum(1, keepdim=True)
        missing = (margin - (squared if legacy else squared.sqrt())).clamp(min=0)
        losses = torch.where(alike, squared, missing if legacy else missing.square())
        return losses.sum() / (2 * difference.shape[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        pulled, = ctx.saved_tensors
        return pulled * (gradient / pulled.shape[0]), None, None, None


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Normalized, KeepingLayer):
    """-(t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid, summed; by default over the batch size.

    Targets equal to ignore_label do not count. It keeps the sigmoid, and what it divided by.
    """

    bottoms = (2, 2)
    no_gradient = (1,)
    default_normalization = LossParameter.BATCH_SIZE

    def shapes(self, bottom: Shapes) -> Shapes:
        check_alike(self, bottom)
        return [()]

    def compute(self, x: Tensor, targets: Tensor) -> Tensor:
        targets = targets.reshape(x.shape)
        counts = self._counts(targets)
        losses = F.binary_cross_entropy_with_logits(
            x.masked_fill(~counts, 0), targets, reduction="none")
        return losses.masked_fill(~counts, 0).sum() / self.divisor(x.shape[0], counts)

    def run(self, x: Tensor, targets: Tensor) -> tuple[Tops, object]:
        divisor = self.divisor(len(x), self._counts(targets))
        return (self.compute(x, targets),), (x.sigmoid(), divisor)

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        sigmoid, divisor = self.kept
        targets = bottom[1].reshape(sigmoid.shape)
        difference = (sigmoid - targets).masked_fill_(~self._counts(targets), 0)
        return [difference.mul_(diffs[0] / divisor) if wanted[0] else None]

    def _counts(self, targets: Tensor) -> Tensor:
        if self.ignore is None:
            return torch.ones_like(targets, dtype=torch.bool)
        return targets.int() != self.ignore


def check_alike(layer: TensorLayer, bottom: Shapes) -> None:
    """Raises the layer's error unless both bottoms have one batch size and one count."""
    first, second = bottom
    if first[:1] != second[:1] or math.prod(first) != math.prod(second) or not first:
        raise layer.error(f"expected two bottoms of one batch size and one count, "
                          f"got {first} and {second}")
