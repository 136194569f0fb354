"""Scores held against labels: SoftmaxWithLoss and Accuracy, and what the losses share."""

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...proto.caffe_pb2 import LossParameter
from .axes import canonical_axis
from .base import TensorLayer
from .formulas import KeepingLayer
from .registry import register
from .types import Blobs, Flags, Gradients, Shape, Shapes, Tensors, Tops

FLT_MIN = torch.finfo(torch.float32).tiny


class Normalized(TensorLayer):
    """A loss that is summed and divided by the number that loss_param names, at least 1.

    FULL counts all positions, VALID (the default) those that are not ignored, BATCH_SIZE those
    before the axis of the classes, NONE is 1. The older normalize: true means VALID, false
    BATCH_SIZE.
    """

    loss = True
    default_normalization = LossParameter.VALID

    @cached_property
    def ignore(self) -> int | None:
        """ignore_label, None if there is none."""
        p = self.layer_param.loss_param
        return p.ignore_label if p.HasField("ignore_label") else None

    def divisor(self, outer: Any, counts: Tensor) -> Tensor | int:
        """The number to divide by, for `outer` positions before the classes and the mask `counts`
        of all positions that are not ignored."""
        kind = self._normalization()
        if kind == LossParameter.VALID:
            return counts.sum().clamp(min=1)
        count = {LossParameter.FULL: counts.numel(), LossParameter.BATCH_SIZE: outer,
                 LossParameter.NONE: 1}[kind]
        return torch.sym_max(1, count)

    def _normalization(self) -> int:
        p = self.layer_param.loss_param
        if p.HasField("normalization"):
            return p.normalization
        if p.HasField("normalize"):
            return LossParameter.VALID if p.normalize else LossParameter.BATCH_SIZE
        return self.default_normalization


class Labelled(TensorLayer):
    """Scores with the classes on `axis`, and labels, one for each position of the other axes;
    those in `ignored` do not count."""

    bottoms, tops = (2, 2), (1, 2)
    validated_bottom = 1
    axis: int

    @property
    def ignore(self) -> int | None:
        """The label that does not count, None if all do."""
        return None

    @property
    def ignored(self) -> tuple[int, ...]:
        """The labels that do not count."""
        return () if self.ignore is None else (self.ignore,)

    def check_labels(self, scores: Shape, labels: Shape, axis: int) -> None:
        """Raises the layer's error unless there is one label for each position."""
        positions = scores[:axis] + scores[axis + 1:]
        if math.prod(labels) != math.prod(positions):
            raise self.error("Number of labels must match number of predictions: expected "
                             f"{math.prod(positions)} labels for scores of shape {scores} with "
                             f"classes on axis {axis}, got {labels}; crop the scores to the label, "
                             "or give the labels the size of the image")

    def check_batch(self, scores: Shape, labels: Shape) -> None:
        """Raises the layer's error unless both have as many items."""
        if not scores or scores[:1] != labels[:1]:
            raise self.error(f"expected scores and labels of one batch size, "
                             f"got {scores} and {labels}")

    def classes(self, scores: Shape) -> int:
        """The number of classes, for scores of that shape."""
        return scores[self.axis]

    def validate(self, bottom: Blobs) -> None:
        """Raises the layer's error if a label is no class and not in `ignored`.

        A GPU is waited for only where the labels were computed on it.
        """
        scores, labels = bottom[0].shape, bottom[1].data_nearby
        index, _ = self._counted(labels)
        for label in torch.stack(index.aminmax()).tolist() if index.numel() else []:
            if not 0 <= label < self.classes(scores):
                label = label if labels.isfinite().all() else "NaN or infinite"
                raise self.error("Check failed: label_value < num_labels: "
                                 f"label {label} is outside [0, {self.classes(scores) - 1}]"
                                 + "".join(f" and not ignore_label {each}"
                                           for each in self.ignored)
                                 + "; correct the labels, or num_output of the scores"
                                 + self._advice_on_ignoring(label))

    def _advice_on_ignoring(self, label: int | str) -> str:
        """What to write in the prototxt if `label` is to count nowhere, if it can."""
        field = {"Accuracy": "accuracy_param", "SoftmaxWithLoss": "loss_param"}.get(self.type)
        if field is None or isinstance(label, str) or self.ignored:
            return ""
        return (f"; or, if {label} stands for positions that do not count, write ignore_label: "
                f"{label} into the layer's {field}")

    def indices(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The labels as int64 of the scores' shape with 1 class, and a mask of those that count.

        Labels in `ignored` do not count, and become 0.
        """
        shape = list(scores.shape)
        shape[self.axis] = 1
        return self._counted(labels.reshape(shape))

    def _counted(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        index = labels.long()
        counts = torch.ones_like(index, dtype=torch.bool)
        for label in self.ignored:
            counts &= index != label
        return index.masked_fill(~counts, 0), counts


class OverClasses(Normalized, Labelled, KeepingLayer):
    """A loss that takes a softmax over the classes; its second top is the probabilities, without
    a gradient. It keeps these; of a second top it takes what is there, as in Caffe."""

    no_gradient: tuple[int, ...] = (1,)

    def class_axis(self, scores: Shape) -> int:
        """The axis of the classes, for scores of that shape."""
        return canonical_axis(self, self.layer_param.softmax_param.axis, scores)

    def shapes(self, bottom: Shapes) -> Shapes:
        scores, labels = bottom[:2]
        self.axis = self.class_axis(scores)
        self.check_labels(scores, labels, self.axis)
        self.check_batch(scores, labels)
        return [(), scores][:len(self.layer_param.top)]

    def losses(self, *bottom: Any) -> tuple[Tensor, Tensor]:
        """The loss and the probabilities."""
        raise self.error(f"layer type '{self.type}' defines no losses()")

    def compute(self, *bottom: Tensor) -> Tensor | Tops:
        tops = self.losses(*bottom)
        return tops if len(self.layer_param.top) == 2 else tops[0]

    def run(self, *bottom: Tensor) -> tuple[Tops, object]:
        loss, probability = self.losses(*bottom)
        if len(self.layer_param.top) == 2:
            return (loss, probability), None
        return (loss,), probability

    def probability(self, top: Tensors) -> Tensor:
        """The probabilities, given the values of the tops."""
        return top[1] if len(top) == 2 else self.kept


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(OverClasses):
    """-log(probability of the label) after a softmax over the classes."""

    def losses(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        index, counts = self.indices(scores, labels)
        divisor = self.divisor(math.prod(scores.shape[:self.axis]), counts)
        return SoftmaxLoss.apply(scores, index, counts, self.axis, divisor)

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        scores, labels = bottom
        index, counts = self.indices(scores, labels)
        divisor = self.divisor(math.prod(scores.shape[:self.axis]), counts)
        return [softmax_gradient(self.probability(top), index, counts, self.axis,
                                 diffs[0] / divisor) if wanted[0] else None]


def softmax_gradient(probability: Tensor, index: Tensor, counts: Tensor, axis: int, factor: Tensor
                     ) -> Tensor:
    """`factor` times the gradient of SoftmaxWithLoss before it is divided."""
    at_label = torch.full_like(index, -1, dtype=probability.dtype)
    difference = probability.scatter_add(axis, index, at_label)
    return zero_unless(counts, difference).mul_(factor)


def zero_unless(counts: Tensor, x: Tensor) -> Tensor:
    """`x`, in which what the mask `counts` leaves out, which may have one plane for all classes,
    is set to 0, also NaN. On a CPU this takes a quarter of the time of masked_fill_."""
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    x.view(bits).bitwise_and_(-counts.to(bits))
    return x


class SoftmaxLoss(torch.autograd.Function):
    """As Caffe has it: the loss of one position is at most -log(FLT_MIN), 87.3, but its gradient,
    probability - 1 for the label and probability elsewhere, knows no such limit."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, index: Tensor, counts: Tensor, axis: int,
                divisor: Tensor | int) -> tuple[Tensor, Tensor]:
        probability = scores.softmax(axis)
        ctx.save_for_backward(probability, index, counts)
        ctx.mark_non_differentiable(probability)
        ctx.axis, ctx.divisor = axis, divisor
        losses = probability.gather(axis, index).clamp(min=FLT_MIN).log().neg()
        return losses.masked_fill(~counts, 0).sum() / divisor, probability

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple:
        probability, index, counts = ctx.saved_tensors
        factor = gradient / ctx.divisor
        by_scores = softmax_gradient(probability, index, counts, ctx.axis, factor)
        return by_scores, None, None, None, None


@register("Accuracy")
class Accuracy(Labelled):
    """The share of positions whose label is among the top_k scores; a tie counts as lost, and so,
    unlike in Caffe, does a score that is not a number.

    The optional second top is that share for each class, 0 where the class does not occur.
    """

    no_gradient = (0, 1)

    @property
    def ignore(self) -> int | None:
        p = self.layer_param.accuracy_param
        return p.ignore_label if p.HasField("ignore_label") else None

    def shapes(self, bottom: Shapes) -> Shapes:
        scores, labels = bottom
        p = self.layer_param.accuracy_param
        axis = self.axis = canonical_axis(self, p.axis, scores)
        self.check_labels(scores, labels, axis)
        if p.top_k > scores[axis]:
            raise self.error(f"top_k {p.top_k} is more than the {scores[axis]} classes "
                             f"on axis {axis} of {scores}")
        return [(), (scores[axis],)][:len(self.layer_param.top)]

    def compute(self, scores: Tensor, labels: Tensor) -> Tensor | Tops:
        index, counts = self.indices(scores, labels)
        own = scores.gather(self.axis, index)
        rank = (scores >= own).sum(self.axis, keepdim=True)
        right = counts & (rank <= self.layer_param.accuracy_param.top_k) & ~own.isnan()
        accuracy = right.sum().to(scores.dtype) / counts.sum().clamp(min=1)
        if len(self.layer_param.top) == 1:
            return accuracy
        found, present = (scores.new_zeros(scores.shape[self.axis]).index_add_(
            0, index.flatten(), mask.flatten().to(scores.dtype)) for mask in (right, counts))
        return accuracy, found / present.clamp(min=1)
