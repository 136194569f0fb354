"""Losses, and Accuracy. What they keep of the forward pass is what their backward pass uses."""

import math

import numpy as np

from .layer import Layer, axis_of, register
from .neurons import sigmoid
from .normalisation import softmax

FULL, VALID, BATCH_SIZE, NONE = range(4)
FLT_MIN = 1.1754943508222875e-38


class Loss(Layer):
    """A sum over positions that is divided by a number of them."""

    loss = True
    no_gradient = (1,)
    never_forced = 1
    default = VALID

    def shapes(self, x, *others):
        return [()]

    def divisor(self, batch, counts):
        """By what loss_param says, for a mask of the positions that count."""
        p = self.spec.loss_param
        kind = self.default
        if p.HasField("normalization"):
            kind = p.normalization
        elif p.HasField("normalize"):
            kind = VALID if p.normalize else BATCH_SIZE
        return max(1, {FULL: counts.size, VALID: counts.sum(), BATCH_SIZE: batch, NONE: 1}[kind])

    def counting(self, labels):
        p = self.spec.loss_param
        return (labels != p.ignore_label if p.HasField("ignore_label")
                else np.ones(labels.shape, bool))


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(Loss):
    """-log p[label]; a second top is where the probabilities are kept."""

    def shapes(self, x, labels):
        return [(), x][:len(self.spec.top)]

    def _labels(self, bottom):
        axis = axis_of(self.spec.softmax_param.axis, bottom[0].shape)
        labels = labels_along(bottom[1].data, bottom[0].shape, axis)
        counts = self.counting(labels)
        return (axis, np.where(counts, labels, 0), counts,
                self.divisor(math.prod(bottom[0].shape[:axis]), counts))

    def forward(self, bottom, top):
        axis, labels, counts, divisor = self._labels(bottom)
        self.kept = softmax(bottom[0].data, axis)
        if len(top) > 1:
            top[1].data[...] = self.kept
        right = np.take_along_axis(self.kept, labels, axis)
        top[0].data[...] = -(counts * np.log(np.maximum(right, FLT_MIN))).sum() / divisor

    def backward(self, top, down, bottom):
        if not down[0]:
            return
        slope = (top[1].data if len(top) > 1 else self.needs(self.kept)).copy()
        axis, labels, counts, divisor = self._labels(bottom)
        right = np.take_along_axis(slope, labels, axis)
        np.put_along_axis(slope, labels, right - 1, axis)
        bottom[0].diff[...] = slope * counts * top[0].diff / divisor


def labels_along(labels, scores, axis):
    """Labels as whole numbers, with an axis of size 1 for the classes."""
    return labels.reshape(*scores[:axis], 1, *scores[axis + 1:]).astype(int)


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Loss):

    default = BATCH_SIZE

    def forward(self, bottom, top):
        x, target = bottom[0].data, bottom[1].data.reshape(bottom[0].shape)
        counts = self.counting(np.trunc(target))
        self.kept = sigmoid(x), self.divisor(len(x), counts)
        terms = np.logaddexp(0, x) - x * target
        top[0].data[...] = (counts * terms).sum() / self.kept[1]

    def backward(self, top, down, bottom):
        if not down[0]:
            return
        y, divisor = self.needs(self.kept)
        target = bottom[1].data.reshape(bottom[0].shape)
        counts = self.counting(np.trunc(target))
        bottom[0].diff[...] = (y - target) * counts * top[0].diff / divisor


@register("EuclideanLoss")
class EuclideanLoss(Loss):
    """Half the mean over items of the squared distance."""

    no_gradient = ()
    never_forced = None

    def forward(self, bottom, top):
        self.kept = bottom[0].data - bottom[1].data.reshape(bottom[0].shape)
        top[0].data[...] = (self.kept ** 2).sum() / 2 / len(self.kept)

    def backward(self, top, down, bottom):
        distance = self.needs(self.kept) * top[0].diff / len(self.kept)
        for blob, sign, wanted in zip(bottom, (1, -1), down):
            if wanted:
                blob.diff[...] = sign * distance.reshape(blob.shape)


@register("HingeLoss")
class HingeLoss(Loss):
    """The mean over items of max(0, 1 + s x), s = -1 for the label's class, else 1, or of its
    square. These margins lie in the gradient of the scores, and backward takes what is there."""

    def forward(self, bottom, top):
        margins = np.maximum(0, 1 + self._signs(bottom) * bottom[0].data)
        bottom[0].diff[...] = margins
        total = (margins ** 2).sum() if self._is_square else margins.sum()
        top[0].data[...] = total / len(margins)

    def backward(self, top, down, bottom):
        if down[0]:
            margins = self._signs(bottom) * bottom[0].diff
            slope = 2 * margins if self._is_square else np.sign(margins)
            bottom[0].diff[...] = slope * top[0].diff / len(margins)

    @property
    def _is_square(self):
        return self.spec.hinge_loss_param.norm == self.spec.hinge_loss_param.L2

    def _signs(self, bottom):
        scores = bottom[0]
        signs = np.ones((scores.shape[0], scores.count // scores.shape[0]))
        labels = bottom[1].data.astype(int).reshape(-1)[:len(signs)]
        signs[np.arange(len(signs)), labels] = -1
        return signs.reshape(scores.shape)


@register("Accuracy")
class Accuracy(Layer):
    """The share of positions whose label is among the top_k largest scores."""

    no_gradient = (0, 1)

    def shapes(self, x, labels):
        return [()]

    def forward(self, bottom, top):
        p, x = self.spec.accuracy_param, bottom[0].data
        axis = axis_of(p.axis, x.shape)
        labels = labels_along(bottom[1].data, x.shape, axis)
        counts = (labels != p.ignore_label if p.HasField("ignore_label")
                  else np.ones(labels.shape, bool))
        right = np.take_along_axis(x, np.where(counts, labels, 0), axis)
        better = (x >= right).sum(axis, keepdims=True) - 1
        found = (better < p.top_k) & counts & ~np.isnan(right)     # NaN: unlike the original
        top[0].data[...] = found.sum() / max(1, counts.sum())
