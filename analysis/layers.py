"""Python layers of the analyses."""

import ast
from functools import reduce

import caffe
import numpy as np

from segdata.classes import VOID

SILHOUETTE = 128        # in all channels, above the mean


class DilatedMaxPooling(caffe.Layer):
    """Max pooling at stride 1 with its taps apart; forward only.

    param_str: kernel, taps along a side; dilation, samples between taps; pad, samples on each side
    that never are the maximum.
    """

    def setup(self, bottom, top):
        params = ast.literal_eval(self.param_str)
        self.pad = params["pad"]
        self.shifts = params["dilation"] * np.arange(params["kernel"])

    def reshape(self, bottom, top):
        number, channels, *sides = bottom[0].data.shape
        self.sides = [side + 2 * self.pad - int(self.shifts[-1]) for side in sides]
        if min(self.sides) < 1:
            raise ValueError(f"max pooling over {self.shifts[-1] + 1} samples of a blob of shape "
                             f"{tuple(bottom[0].data.shape)}, pad {self.pad}")
        top[0].reshape(number, channels, *self.sides)

    def forward(self, bottom, top):
        """The kernel is a square: the maximum of its columns, then that of these."""
        edges = [(0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)]
        data = np.pad(bottom[0].data, edges, constant_values=-np.inf)
        for axis in (2, 3):
            data = self.largest(data, axis)
        top[0].data[...] = data

    def largest(self, data, axis):
        side, before = self.sides[axis - 2], (slice(None),) * axis
        parts = (data[(*before, slice(shift, shift + side))] for shift in self.shifts)
        return reduce(np.maximum, parts)


class Filter(caffe.Layer):
    """The base of layers from (image, label) to (image, label), one sample at a time.

    param_str: start, the number of samples seen before, and what a subclass says. Draws depend
    on the seed and the number of the sample alone.
    """

    def setup(self, bottom, top):
        self.params = ast.literal_eval(self.param_str)
        self.position = self.params["start"]

    def reshape(self, bottom, top):
        for i in range(len(top)):       # BVLC's vectors cannot be iterated
            top[i].reshape(*bottom[i].data.shape)

    def forward(self, bottom, top):
        image, label = self.filter(bottom[0].data, bottom[1].data)
        top[0].data[...], top[1].data[...] = image, label
        self.position += 1

    def backward(self, top, propagate_down, bottom):
        pass

    def draws(self, *shape):
        """Uniform random numbers of this sample."""
        return np.random.default_rng((self.params["seed"], self.position)).random(shape)


class Cue(Filter):
    """Of the image only one cue; the rest has the mean colour, which is 0, and so has void.

    param_str: cue, 'foreground' (all classes but 0), 'background' (class 0) or 'shape', the
    silhouette of the foreground, without its colours.
    """

    def filter(self, image, label):
        inside = (label != 0) & (label != VOID)
        cues = {"foreground": image * inside, "background": image * (label == 0),
                "shape": SILHOUETTE * inside}
        return cues[self.params["cue"]], label


class Sampled(Filter):
    """The loss of some cells of the output, drawn at random; the others become void.

    param_str: keep, the probability of a cell; cell, its side in pixels; seed.
    """

    def filter(self, image, label):
        height, width = label.shape[2:]
        cell = self.params["cell"]
        kept = self.draws(-(-height // cell), -(-width // cell)) < self.params["keep"]
        kept = kept.repeat(cell, 0).repeat(cell, 1)[:height, :width]
        return image, np.where(kept, label, VOID)


class Balanced(Filter):
    """The loss of some pixels, drawn at random by their class; the others become void.

    param_str: keep, the probability of a pixel of each class; seed.
    """

    def filter(self, image, label):
        keep = np.ones(VOID + 1)
        keep[:len(self.params["keep"])] = self.params["keep"]
        kept = self.draws(*label.shape) < keep[label.astype(int)]
        return image, np.where(kept, label, VOID)
