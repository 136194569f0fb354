"""Pooling: the largest value of a window, the first of equals, or the mean.

The mean divides by the window's size with its padding, but not by what lies beyond that. SPP is a
pyramid of poolings, one beside the other.
"""

import itertools
import math

import numpy as np

from .layer import Layer, Refused, register

LEAST = -3.4028234663852886e38      # of floats: what a window without values has


class Windows:
    """Of a pooling: kernel, stride and pad, and whether the number of windows is rounded up."""

    def __init__(self, kernel, stride, pad, up=True):
        self.kernel, self.stride, self.pad, self.up = kernel, stride, pad, up

    def sizes(self, sizes):
        counts = []
        for size, kernel, stride, pad in zip(sizes, self.kernel, self.stride, self.pad):
            count = (size + 2 * pad - kernel) / stride
            count = int(math.ceil(count) if self.up else math.floor(count)) + 1
            if any(self.pad) and (count - 1) * stride >= size + pad:
                count -= 1      # the last window would begin beyond the image
            if count < 1:
                raise Refused("an output without pixels")
            counts.append(count)
        return tuple(counts)

    def parts(self, x, outside):
        """For each place in a window, from the first: the values there, and their indices."""
        outputs = self.sizes(x.shape[2:])
        behind = [max(0, (n - 1) * s + k - size - p) for n, s, k, size, p
                  in zip(outputs, self.stride, self.kernel, x.shape[2:], self.pad)]
        widths = [(p, more) for p, more in zip(self.pad, behind)]
        indices = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
        padded = np.pad(x, [(0, 0), (0, 0), *widths], constant_values=outside)
        indices = np.pad(indices, widths, constant_values=-1)
        for offset in itertools.product(*map(range, self.kernel)):
            window = tuple(slice(o, o + s * (n - 1) + 1, s)
                           for o, s, n in zip(offset, self.stride, outputs))
            yield padded[(..., *window)], indices[window]

    def largest(self, x):
        """(values, their indices; -1 where there is none)."""
        shape = *x.shape[:2], *self.sizes(x.shape[2:])
        best, places = np.full(shape, LEAST), np.full(shape, -1)
        for values, indices in self.parts(x, -np.inf):
            better = values > best
            best, places = np.where(better, values, best), np.where(better, indices, places)
        return best, places

    def mean(self, x):
        return sum(values for values, _ in self.parts(x, 0)) / self.areas(x.shape[2:])

    def mean_slope(self, dy, shape):
        slope = np.zeros((*shape[:2], math.prod(shape[2:]) + 1))    # the last is outside
        for _, indices in self.parts(np.zeros(shape), 0):
            np.add.at(slope, (slice(None), slice(None), indices), dy / self.areas(shape[2:]))
        return slope[..., :-1].reshape(shape)

    def areas(self, sizes):
        lengths = [np.minimum(np.arange(n) * s - p + k, size + p) - (np.arange(n) * s - p)
                   for n, s, k, p, size
                   in zip(self.sizes(sizes), self.stride, self.kernel, self.pad, sizes)]
        return np.outer(*lengths)


def largest_slope(dy, places, shape):
    """The gradient by a map of `shape`, each of dy at its place there."""
    slope = np.zeros((*shape[:2], math.prod(shape[2:]) + 1))
    items, channels = np.ogrid[:shape[0], :shape[1]]
    np.add.at(slope, (items[..., None, None], channels[..., None, None], places), dy)
    return slope[..., :-1].reshape(shape)


@register("Pooling")
class Pooling(Layer):

    def read_settings(self):
        self.p = self.spec.pooling_param

    def windows(self, sizes):
        p = self.p
        if p.global_pooling:
            return Windows(sizes, (1, 1), (0, 0))
        kernel, stride, pad = (
            (getattr(p, height), getattr(p, width)) if p.HasField(height)
            else (getattr(p, both), getattr(p, both))
            for both, height, width in (("kernel_size", "kernel_h", "kernel_w"),
                                        ("stride", "stride_h", "stride_w"),
                                        ("pad", "pad_h", "pad_w")))
        return Windows(kernel, stride, pad, p.round_mode == p.CEIL)

    def shapes(self, x):
        return [(*x[:2], *self.windows(x[2:]).sizes(x[2:]))] * len(self.spec.top)

    def forward(self, bottom, top):
        x = bottom[0].data
        windows = self.windows(x.shape[2:])
        if self.p.pool == self.p.AVE:
            top[0].data[...] = windows.mean(x)
            return
        top[0].data[...], self.kept = windows.largest(x)
        if len(top) > 1:
            top[1].data[...] = self.kept

    def backward(self, top, down, bottom):
        if not down[0]:
            return
        x, dy = bottom[0], top[0].diff.copy()
        if self.p.pool == self.p.AVE:
            x.diff[...] = self.windows(x.shape[2:]).mean_slope(dy, x.shape)
        else:       # a second top is where the places are
            places = top[1].data.astype(int) if len(top) > 1 else self.needs(self.kept)
            if places.shape != dy.shape:
                raise Refused("the forward pass had another size")
            x.diff[...] = largest_slope(dy, places, x.shape)


@register("SPP")
class SPP(Layer):
    """For each level l, 2**l by 2**l maxima or means that cover the map; with one level the top is
    that of a pooling."""

    def levels(self, shape):
        for level in range(self.spec.spp_param.pyramid_height):
            bins = 2 ** level
            kernel = [math.ceil(size / bins) for size in shape[2:]]
            pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, shape[2:])]
            yield Windows(kernel, kernel, pad)

    def shapes(self, x):
        first, *others = (math.prod(windows.sizes(x[2:])) for windows in self.levels(x))
        return [(x[0], x[1] * (first + sum(others))) if others else (*x[:2], 1, 1)]

    @property
    def is_mean(self):
        return self.spec.spp_param.pool == self.spec.spp_param.AVE

    def forward(self, bottom, top):
        x = bottom[0].data
        parts = []
        self.kept = []
        for windows in self.levels(x.shape):
            values, places = (windows.mean(x), None) if self.is_mean else windows.largest(x)
            self.kept.append(places)
            parts.append(values.reshape(len(x), -1))
        top[0].data[...] = np.concatenate(parts, 1).reshape(top[0].shape)

    def backward(self, top, down, bottom):
        if not down[0]:
            return
        shape, dy, slope, begin = bottom[0].shape, top[0].diff, 0, 0
        dy = dy.reshape(len(dy), -1).copy()
        for windows, places in zip(self.levels(shape), self.needs(self.kept)):
            sizes = *shape[:2], *windows.sizes(shape[2:])
            count = math.prod(sizes[1:])
            part = dy[:, begin:begin + count].reshape(sizes)
            begin += count
            slope = slope + (windows.mean_slope(part, shape) if self.is_mean
                             else largest_slope(part, places, shape))
        bottom[0].diff[...] = slope
