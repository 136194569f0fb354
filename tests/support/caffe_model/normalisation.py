"""BatchNorm, LRN, MVN and Softmax. Except for LRN within channels they give their bottom a
gradient whether or not one is asked for."""

import math

import numpy as np

from .layer import Layer, register


@register("BatchNorm")
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + eps), of the batch or stored. Its parameters are the sums of
    means and variances so far, and their weight; no gradient goes there, and no solver changes
    them. Nevertheless it counts as something that learns, unless the prototxt says lr_mult: 0."""

    def read_settings(self):
        self.p = self.spec.batch_norm_param
        self.is_stored = (self.p.use_global_stats if self.p.HasField("use_global_stats")
                          else self.phase == 1)

    def setup(self, x):
        return [(x[1],), (x[1],), (1,)]

    def rate(self, lr_mult):
        return 0

    def forward(self, bottom, top):
        x = bottom[0].data.copy()
        means, variances, weight = (blob.data for blob in self.params)
        if self.is_stored:
            factor = 1 / weight[0] if weight[0] else 0
            mean, variance = factor * means, factor * variances
        else:
            mean, variance = x.mean(_but_channels(x)), x.var(_but_channels(x))
            count = x.size // x.shape[1]
            for stored, new in ((means, mean), (variances, variance * count / max(count - 1, 1)),
                                (weight, 1)):
                stored *= self.p.moving_average_fraction
                stored += new
        deviation = np.sqrt(_of_channels(variance, x) + self.p.eps)
        self.kept = (x - _of_channels(mean, x)) / deviation, deviation
        top[0].data[...] = self.kept[0]

    def backward(self, top, down, bottom):
        y, deviation = self.needs(self.kept)
        dy = top[0].diff.copy()
        if not self.is_stored:
            axes = _but_channels(y)
            dy = (dy - dy.mean(axes, keepdims=True) - y * (y * dy).mean(axes, keepdims=True))
        bottom[0].diff[...] = dy / deviation


def _but_channels(x):
    return 0, *range(2, x.ndim)


def _of_channels(values, x):
    return values.reshape(-1, *[1] * (x.ndim - 2))


@register("LRN")
class LRN(Layer):
    """x (k + alpha mean(x^2))^-beta; the mean is over a window of channels, or of pixels."""

    def read_settings(self):
        self.p = self.spec.lrn_param
        self.is_across = self.p.norm_region == self.p.ACROSS_CHANNELS

    def _mean(self, x):
        """Over the window, which counts zeros beyond the edges."""
        size, axes = self.p.local_size, [1] if self.is_across else [2, 3]
        for axis in axes:
            widths = [(size // 2 * (i == axis),) * 2 for i in range(4)]
            padded = np.pad(x, widths)
            x = sum(padded.take(range(i, i + x.shape[axis]), axis) for i in range(size)) / size
        return x

    def forward(self, bottom, top):
        x = bottom[0].data
        self.kept = (self.p.k if self.is_across else 1) + self.p.alpha * self._mean(x * x)
        top[0].data[...] = x * self.kept ** -self.p.beta

    def backward(self, top, down, bottom):
        base, p = self.needs(self.kept), self.p
        if not (down[0] or self.is_across):
            return
        x, y, dy = bottom[0].data, top[0].data, top[0].diff
        through = dy * y / base if self.is_across else dy * x * base ** (-p.beta - 1)
        bottom[0].diff[...] = (dy * base ** -p.beta
                               - 2 * p.alpha * p.beta * x * self._mean(through))


@register("MVN")
class MVN(Layer):
    """(x - mean) / (deviation + eps) of each channel or of each image."""

    def _rows(self, x):
        first = 1 if self.spec.mvn_param.across_channels else 2
        return x.reshape(math.prod(x.shape[:first]), -1)

    def forward(self, bottom, top):
        rows = self._rows(bottom[0].data)
        rows = rows - rows.mean(1, keepdims=True)
        if self.spec.mvn_param.normalize_variance:
            self.kept = rows.std(1, keepdims=True) + self.spec.mvn_param.eps
            rows = rows / self.kept
        top[0].data[...] = rows.reshape(top[0].shape)

    def backward(self, top, down, bottom):
        y, dy = self._rows(top[0].data), self._rows(top[0].diff)
        dx = dy - dy.mean(1, keepdims=True)
        if self.spec.mvn_param.normalize_variance:
            dx = (dx - y * (y * dy).mean(1, keepdims=True)) / self.needs(self.kept)
        bottom[0].diff[...] = dx.reshape(bottom[0].shape)


@register("Softmax")
class Softmax(Layer):

    def values(self, x):
        return [softmax(x, self.spec.softmax_param.axis)]

    def backward(self, top, down, bottom):
        y, dy = top[0].data, top[0].diff
        total = (y * dy).sum(self.spec.softmax_param.axis, keepdims=True)
        bottom[0].diff[...] = y * (dy - total)


def softmax(x, axis):
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)
