"""Convolution of any number of axes, and Deconvolution, which is its transpose.

y[n, k, p] = b[k] + sum over c and o of w[k, c, o] x[n, c, stride p + dilation o - pad]
"""

import itertools

import numpy as np

from .layer import Layer, Refused, each_axis, register


@register("Convolution")
class Convolution(Layer):

    def read_settings(self):
        self.p = self.spec.convolution_param

    def setup(self, x, *others):
        axes = len(x) - 2
        self.kernel = self._sizes("kernel_size", "kernel_h", "kernel_w", axes, 1)
        self.stride = self._sizes("stride", "stride_h", "stride_w", axes, 1)
        self.pad = self._sizes("pad", "pad_h", "pad_w", axes, 0)
        self.dilation = each_axis(self.p.dilation, axes, 1)
        self.extent = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel)]
        bias = [(self.p.num_output,)] if self.p.bias_term else []
        return [(*self.channels(x[1]), *self.kernel), *bias]

    def channels(self, inputs):
        """(outputs, inputs) of the kernel."""
        return self.p.num_output, inputs // self.p.group

    def _sizes(self, name, height, width, axes, default):
        if self.p.HasField(height) or self.p.HasField(width):
            return [getattr(self.p, height), getattr(self.p, width)]
        return each_axis(getattr(self.p, name), axes, default)

    def shapes(self, *bottom):
        return [(x[0], self.p.num_output, *self.sizes(x[2:])) for x in bottom]

    def sizes(self, sizes):
        """C's division rounds towards zero."""
        outputs = [int((size + 2 * pad - extent) / stride) + 1 for size, pad, extent, stride
                   in zip(sizes, self.pad, self.extent, self.stride)]
        if min(outputs) < 1:
            raise Refused("an output without pixels")
        return outputs

    def values(self, *arrays):
        count = len(self.spec.bottom)
        weights, *bias = arrays[count:]
        tops = [self.apply(x, weights) for x in arrays[:count]]
        return [top + _of_channels(bias[0], top) for top in tops] if bias else tops

    def slopes(self, diffs, *arrays):
        count = len(self.spec.bottom)
        weights, *bias = arrays[count:]
        pairs = list(zip(arrays[:count], diffs))
        slopes = [self.transpose(dy, weights, x.shape) for x, dy in pairs]
        slopes.append(sum(self.by_weights(x, dy, weights.shape) for x, dy in pairs))
        if bias:
            slopes.append(sum(dy.sum((0, *range(2, dy.ndim))) for dy in diffs))
        return slopes

    def apply(self, x, weights):
        return convolve(self, x, weights)

    def transpose(self, dy, weights, shape):
        return spread(self, dy, weights, shape)

    def by_weights(self, x, dy, shape):
        return correlate(self, x, dy, shape)


@register("Deconvolution")
class Deconvolution(Convolution):

    def channels(self, inputs):
        return inputs, self.p.num_output // self.p.group

    def sizes(self, sizes):
        return [stride * (size - 1) + extent - 2 * pad for size, pad, extent, stride
                in zip(sizes, self.pad, self.extent, self.stride)]

    def apply(self, x, weights):
        return spread(self, x, weights, self.shapes(x.shape)[0])

    def transpose(self, dy, weights, shape):
        return convolve(self, dy, weights)

    def by_weights(self, x, dy, shape):
        return correlate(self, dy, x, shape)


def convolve(layer, x, weights):
    padded, outputs = _padded(layer, x), Convolution.sizes(layer, x.shape[2:])
    kernels = _grouped(layer, weights)
    total = 0
    for offset, window in _windows(layer, outputs):
        total = total + kernels[(..., *offset)] @ _flat(padded[(..., *window)])
    return total.reshape(len(x), -1, *outputs)


def spread(layer, dy, weights, shape):
    """The transpose of `convolve` by x, which has `shape`."""
    padded = _padded(layer, np.zeros(shape))
    kernels = _grouped(layer, weights).swapaxes(1, 2)
    for offset, window in _windows(layer, dy.shape[2:]):
        part = kernels[(..., *offset)] @ _flat(_split(layer, dy))
        place = padded[(..., *window)]
        place += part.reshape(place.shape)
    inner = tuple(slice(pad, pad + size) for pad, size in zip(layer.pad, shape[2:]))
    return padded[(..., *inner)].reshape(shape)


def correlate(layer, x, dy, shape):
    """The gradient of `convolve` by the weights, which have `shape`."""
    padded, slope = _padded(layer, x), np.zeros(shape)
    kernels = _grouped(layer, slope)        # a view
    for offset, window in _windows(layer, dy.shape[2:]):
        product = _flat(_split(layer, dy)) @ _flat(padded[(..., *window)]).swapaxes(2, 3)
        kernels[(..., *offset)] = product.sum(0)
    return slope


def _split(layer, x):
    """The channels of x in groups: (items, groups, channels, ...)."""
    return x.reshape(len(x), layer.p.group, -1, *x.shape[2:])


def _grouped(layer, weights):
    return weights.reshape(layer.p.group, -1, *weights.shape[1:])


def _flat(x):
    """The axes behind items, groups and channels as one."""
    return x.reshape(*x.shape[:3], -1)


def _padded(layer, x):
    """x in groups with zeros around, and further ones where a window reaches beyond the pad."""
    beyond = [max(extent - size - 2 * pad, 0) for extent, size, pad
              in zip(layer.extent, x.shape[2:], layer.pad)]
    widths = [(pad, pad + more) for pad, more in zip(layer.pad, beyond)]
    return _split(layer, np.pad(x, [(0, 0), (0, 0), *widths]))


def _windows(layer, outputs):
    """For each place in the kernel, the part of the padded image that it meets."""
    for offset in itertools.product(*map(range, layer.kernel)):
        yield offset, tuple(
            slice(d * o, d * o + s * (n - 1) + 1, s)
            for d, o, s, n in zip(layer.dilation, offset, layer.stride, outputs))


def _of_channels(bias, like):
    return bias.reshape(-1, *[1] * (like.ndim - 2))
