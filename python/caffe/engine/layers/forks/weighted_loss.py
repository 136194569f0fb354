"""SoftmaxWithLoss with weights of the classes, as SegNet and DeepLab have it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ....errors import LayerError
from ....formats.text import read_text
from ....proto import caffe_pb2
from ..loss import FLT_MIN, SoftmaxWithLoss
from ..registry import register
from ..types import Blobs, Flags, Gradients, Shapes, Tensors


@register("SoftmaxWithLoss")
def softmax_with_loss(layer_param: caffe_pb2.LayerParameter) -> SoftmaxWithLoss:
    """The loss that a LayerParameter describes."""
    weighted = (layer_param.HasField("softmaxloss_param")
                or layer_param.loss_param.weight_by_label_freqs)
    return (WeightedSoftmaxWithLoss if weighted else SoftmaxWithLoss)(layer_param)


class WeightedSoftmaxWithLoss(SoftmaxWithLoss):
    """The loss of each position times the weight of its label.

    SegNet's, with loss_param { weight_by_label_freqs: true }: class_weighting is a weight for each
    class; without any, a label weighs 1 / (how often it occurs in the batch). It is divided as
    Caffe's own loss is, by the number of positions that count.

    DeepLab's, with softmaxloss_param: weight_source is a file with a weight for each class, all 1
    without it, ignore_label may be repeated, and the loss is divided by the sum of the weights of
    the positions.
    """

    @property
    def is_deeplabs(self) -> bool:
        """Whether it is DeepLab's."""
        return self.layer_param.HasField("softmaxloss_param")

    @property
    def ignored(self) -> tuple[int, ...]:
        own = tuple(self.layer_param.softmaxloss_param.ignore_label)
        return super().ignored + own

    @cached_property
    def class_weights(self) -> tuple[float, ...]:
        """A weight for each class; none for SegNet's weights by frequency."""
        p = self.layer_param.softmaxloss_param
        if not self.is_deeplabs:
            return tuple(self.layer_param.loss_param.class_weighting)
        return _read_weights(p.weight_source) if p.weight_source else ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        if any(not 0 <= weight < math.inf for weight in self.class_weights):
            raise self.error(f"expected weights of at least 0, got {list(self.class_weights)}")

    def shapes(self, bottom: Shapes) -> Shapes:
        tops = super().shapes(bottom)
        classes = bottom[0][self.axis]
        if len(self.class_weights) not in (0, classes):
            source = self.layer_param.softmaxloss_param.weight_source or "class_weighting"
            raise self.error(f"expected a weight for each of {classes} classes, got "
                             f"{len(self.class_weights)} in {source}")
        return tops

    def losses(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        index, weight, divisor = self._weighed(scores, labels)
        return _Loss.apply(scores, index, weight, self.axis, divisor)

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        index, weight, divisor = self._weighed(*bottom)
        return [_gradient(self.probability(top), index, weight, self.axis, diffs[0] / divisor)
                if wanted[0] else None]

    def _weighed(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Any]:
        """The labels as indices, the weight of each position, and the number to divide by."""
        index, counts = self.indices(scores, labels)
        weight = self._by_class(index, counts, scores)[index] * counts
        if self.is_deeplabs:
            total = weight.sum()
            return index, weight, torch.where(total > 0, total, 1)
        return index, weight, self.divisor(math.prod(scores.shape[:self.axis]), counts)

    def _by_class(self, index: Tensor, counts: Tensor, scores: Tensor) -> Tensor:
        classes = scores.shape[self.axis]
        if self.class_weights:
            return scores.new_tensor(self.class_weights)
        if self.is_deeplabs:
            return scores.new_ones(classes)
        found = scores.new_zeros(classes).index_add_(0, index.flatten(),
                                                     counts.flatten().to(scores.dtype))
        return 1 / found.clamp(min=1)


def _read_weights(path: str) -> tuple[float, ...]:
    """The numbers in a text file."""
    try:
        return tuple(map(float, read_text(path).split()))
    except OSError as error:
        raise LayerError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise LayerError(f"{path}: expected a weight for each class, numbers with blanks or new "
                         f"lines between them: {error}") from None


def _gradient(probability: Tensor, index: Tensor, weight: Tensor, axis: int, factor: Tensor
              ) -> Tensor:
    at_label = torch.full_like(index, -1, dtype=probability.dtype)
    return probability.scatter_add(axis, index, at_label) * (weight * factor)


class _Loss(torch.autograd.Function):
    """As that of Caffe's loss, whose limit of the logarithm the gradient does not know."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, index: Tensor, weight: Tensor, axis: int, divisor: Any
                ) -> tuple[Tensor, Tensor]:
        probability = scores.softmax(axis)
        ctx.save_for_backward(probability, index, weight)
        ctx.mark_non_differentiable(probability)
        ctx.axis, ctx.divisor = axis, divisor
        losses = probability.gather(axis, index).clamp(min=FLT_MIN).log().neg() * weight
        return losses.sum() / divisor, probability

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple:
        probability, index, weight = ctx.saved_tensors
        by_scores = _gradient(probability, index, weight, ctx.axis, gradient / ctx.divisor)
        return by_scores, None, None, None, None
