"""A loss with a weight for each pixel, which no layer of Caffe has."""

from collections.abc import Sequence

import numpy as np

import caffe
from segdata.errors import DataError
from segdata.lists import literal


class PixelWeightedLoss(caffe.Layer):
    """The sum over pixels of w · -log(probability of the label), after a softmax over channels.

    The bottoms are scores (N, classes, height, width), labels and weights (N, 1, height, width);
    the top is the loss, divided by N. `param_str` is a dictionary literal with the keys

        ignore_label    int, default 255: pixels of that label do not count
        class_weights   a number for each class, default None: w is the pixel's weight times that
                        of its label
        normalize       bool, default False: divide by the number of pixels that are not ignored,
                        at least 1, in place of N; their weights do not count in it
    """

    def setup(self, bottom: Sequence, top: Sequence) -> None:
        params = dict(literal(self.param_str or "{}"))
        self.ignored = params.get("ignore_label", 255)
        self.by_class = params.get("class_weights")
        self.normalize = params.get("normalize", False)
        if len(bottom) != 3 or len(top) != 1:
            raise self.error("expected the bottoms scores, labels and weights and one top, got "
                             f"{len(bottom)} bottoms and {len(top)} tops")

    def reshape(self, bottom: Sequence, top: Sequence) -> None:
        number, classes, *sides = bottom[0].data.shape
        for i, what in ((1, "labels"), (2, "weights")):
            if tuple(bottom[i].data.shape) != (number, 1, *sides):
                raise self.error(f"{what} are {tuple(bottom[i].data.shape)}, expected is "
                                 f"{(number, 1, *sides)} for scores of "
                                 f"{tuple(bottom[0].data.shape)}")
        if self.by_class is not None and len(self.by_class) != classes:
            raise self.error(f"there are {len(self.by_class)} class_weights, expected are "
                             f"{classes}, as the scores have channels")
        top[0].reshape()        # a number

    def forward(self, bottom: Sequence, top: Sequence) -> None:
        scores, labels = bottom[0].data, bottom[1].data[:, 0].astype(int)
        counts = labels != self.ignored
        self.check_labels(labels[counts], scores.shape[1])
        self.index = np.where(counts, labels, 0)[:, None]
        self.weight = np.where(counts, bottom[2].data[:, 0], 0)[:, None]
        if self.by_class is not None:
            self.weight = self.weight * np.asarray(self.by_class, np.float32)[self.index]
        self.divisor = max(1, np.count_nonzero(counts)) if self.normalize else len(scores)
        shifted = scores - scores.max(1, keepdims=True)
        self.probability = np.exp(shifted)
        total = self.probability.sum(1, keepdims=True)
        self.probability /= total
        losses = np.log(total) - np.take_along_axis(shifted, self.index, 1)
        top[0].data[...] = (losses * self.weight).sum(dtype=np.float64) / self.divisor

    def backward(self, top: Sequence, propagate_down: Sequence, bottom: Sequence) -> None:
        if not propagate_down[0]:
            return
        gradient = self.probability.copy()
        np.put_along_axis(gradient, self.index,
                          np.take_along_axis(gradient, self.index, 1) - 1, 1)
        factor = np.asarray(top[0].diff).flat[0] / self.divisor
        bottom[0].diff[...] = gradient * (self.weight * factor)

    def check_labels(self, labels: np.ndarray, classes: int) -> None:
        """Raise DataError where a label is no class."""
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise self.error(f"labels are {labels.min()} to {labels.max()}, expected are 0 to "
                             f"{classes - 1}, and {self.ignored}, which is ignored")

    def error(self, message: str) -> DataError:
        return DataError(f"layer '{getattr(self, 'name', '?')}' (PixelWeightedLoss): {message}")
