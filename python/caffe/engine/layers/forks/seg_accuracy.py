"""How well every pixel is classified: SegAccuracy, of DeepLab and PSPNet, and EltwiseAccuracy, of
DeconvNet."""

from __future__ import annotations

import torch
from torch import Tensor

from ..loss import Labelled
from ..registry import register
from ..types import Shapes


class PixelAccuracy(Labelled):
    """A layer that compares scores (N, classes, H, W) and labels (N, 1, H, W)."""

    tops = (1, 1)
    no_gradient = (0, 1)
    axis = 1
    numbers: int            # of the top, (1, 1, 1, numbers)

    def shapes(self, bottom: Shapes) -> Shapes:
        scores, labels = bottom
        if len(scores) != 4 or labels != (scores[0], 1, *scores[2:]):
            raise self.error("expected scores (N, classes, H, W) and labels (N, 1, H, W), got "
                             f"{scores} and {labels}")
        return [(1, 1, 1, self.numbers)]


@register("EltwiseAccuracy")
class EltwiseAccuracy(PixelAccuracy):
    """The share of pixels whose label is among the top_k scores, (1, 1, 1, 1); 0 where none counts.

    Pixels with the ignore_label do not count. Of equal scores the higher class comes first.
    """

    numbers = 1

    @property
    def ignore(self) -> int | None:
        p = self.layer_param.eltwise_accuracy_param
        return p.ignore_label if p.HasField("ignore_label") else None

    def shapes(self, bottom: Shapes) -> Shapes:
        shapes, top_k = super().shapes(bottom), self.layer_param.eltwise_accuracy_param.top_k
        if not 1 <= top_k <= bottom[0][1]:
            raise self.error(f"top_k is {top_k}, expected 1 to {bottom[0][1]}, the classes of "
                             f"{bottom[0]}")
        return shapes

    def compute(self, scores: Tensor, labels: Tensor) -> Tensor:
        index, counts = self.indices(scores, labels)
        own = scores.gather(1, index)
        classes = torch.arange(scores.shape[1], device=scores.device).view(1, -1, 1, 1)
        before = ((scores > own) | (scores == own) & (classes > index)).sum(1, keepdim=True)
        right = counts & (before < self.layer_param.eltwise_accuracy_param.top_k)
        return (right.sum().to(scores.dtype) / counts.sum().clamp(min=1)).reshape(1, 1, 1, 1)


@register("SegAccuracy")
class SegAccuracy(PixelAccuracy):
    """Three numbers, (1, 1, 1, 3): the share of the right pixels, the mean over the classes that
    occur of the share of their pixels that are right, and the mean intersection over union of all
    classes, which is 1 for one that neither occurs nor is predicted.

    Pixels with an ignore_label do not count. Of equal scores the highest class is taken. With
    `reset: false` all pixels count that this layer has seen.
    """

    numbers = 3
    recordable = False      # it counts from pass to pass
    _counts: Tensor | None = None

    @property
    def ignored(self) -> tuple[int, ...]:
        return tuple(self.layer_param.seg_accuracy_param.ignore_label)

    def compute(self, scores: Tensor, labels: Tensor) -> Tensor:
        classes = scores.shape[1]
        index, counts = self.indices(scores, labels)
        guess = classes - 1 - scores.flip(1).argmax(1, keepdim=True)
        cell = (index * classes + guess)[counts]
        confusion = torch.bincount(cell, minlength=classes ** 2).view(classes, classes).double()
        if not self.layer_param.seg_accuracy_param.reset:
            if self._counts is not None:
                confusion += self._counts.to(confusion.device)
            self._counts = confusion
        return self._measures(confusion).to(scores.dtype).reshape(1, 1, 1, 3)

    @staticmethod
    def _measures(confusion: Tensor) -> Tensor:
        """The three numbers, of how often each class (row) was taken for each (column)."""
        right, labelled = confusion.diagonal(), confusion.sum(1)
        union = labelled + confusion.sum(0) - right
        occurs = labelled > 0
        recall = (right / labelled.clamp(min=1)).sum() / occurs.sum().clamp(min=1)
        jaccard = torch.where(union > 0, right / union.clamp(min=1), 1).mean()
        accuracy = right.sum() / labelled.sum().clamp(min=1)
        return torch.stack([accuracy, recall, jaccard])
