"""SegAccuracy, of DeepLab and PSPNet: how well every pixel is classified."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import register
from ..loss import Labelled
from ..types import Shapes


@register("SegAccuracy")
class SegAccuracy(Labelled):
    """Three numbers, (1, 1, 1, 3): the share of the right pixels, the mean over the classes that
    occur of the share of their pixels that are right, and the mean intersection over union of all
    classes, which is 1 for one that neither occurs nor is predicted.

    Pixels with an ignore_label do not count. Of equal scores the highest class is taken. With
    `reset: false` all pixels count that this layer has seen.
    """

    tops = (1, 1)
    no_gradient = (0, 1)
    axis = 1
    recordable = False      # it counts from pass to pass
    _counts: Tensor | None = None

    @property
    def ignored(self) -> tuple[int, ...]:
        return tuple(self.layer_param.seg_accuracy_param.ignore_label)

    def shapes(self, bottom: Shapes) -> Shapes:
        scores, labels = bottom
        if len(scores) != 4 or labels != (scores[0], 1, *scores[2:]):
            raise self.error("expected scores (N, classes, H, W) and labels (N, 1, H, W), got "
                             f"{scores} and {labels}")
        return [(1, 1, 1, 3)]

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
