"""Functions of single values. In place, their gradients are computed from what was written."""

import math

import numpy as np

from .layer import Layer, register, sum_to


class Neuron(Layer):
    """y = f(x), dx = slope(x, y) dy, of the values that are there; subclasses define both."""

    def values(self, x):
        return [self.f(x)]

    def backward(self, top, down, bottom):
        if down[0]:
            slope = self.slope(bottom[0].data, top[0].data)
            bottom[0].diff[...] = slope * top[0].diff


@register("ReLU")
class ReLU(Neuron):

    def read_settings(self):
        self.negative = self.spec.relu_param.negative_slope

    def f(self, x):
        return np.maximum(x, 0) + self.negative * np.minimum(x, 0)

    def backward(self, top, down, bottom):
        """Without a slope there, 0 of a gradient that is not finite, unlike the original."""
        if down[0]:
            dy = top[0].diff.copy()
            below = self.negative * dy if self.negative else 0
            bottom[0].diff[...] = np.where(bottom[0].data > 0, dy, below)


@register("ELU")
class ELU(Neuron):

    def read_settings(self):
        self.alpha = self.spec.elu_param.alpha

    def f(self, x):
        return np.where(x > 0, x, self.alpha * (np.exp(np.minimum(x, 0)) - 1))

    def slope(self, x, y):
        return np.where(x > 0, 1, y + self.alpha)


@register("Sigmoid")
class Sigmoid(Neuron):

    def f(self, x):
        return sigmoid(x)

    def slope(self, x, y):
        return y * (1 - y)


def sigmoid(x):
    return 0.5 * (np.tanh(0.5 * x) + 1)


@register("TanH")
class TanH(Neuron):

    def f(self, x):
        return np.tanh(x)

    def slope(self, x, y):
        return 1 - y * y


@register("BNLL")
class BNLL(Neuron):
    """log(1 + exp(x))"""

    def f(self, x):
        return np.logaddexp(x, 0)

    def slope(self, x, y):
        return sigmoid(np.minimum(x, 50))


@register("AbsVal")
class AbsVal(Neuron):

    def f(self, x):
        return np.abs(x)

    def slope(self, x, y):
        return np.sign(x)


@register("Clip")
class Clip(Neuron):

    def read_settings(self):
        self.least, self.most = self.spec.clip_param.min, self.spec.clip_param.max

    def f(self, x):
        return np.clip(x, self.least, self.most)

    def backward(self, top, down, bottom):
        """Outside the bounds 0 of a gradient that is not finite, unlike the original."""
        if down[0]:
            x = bottom[0].data
            inside = (x >= self.least) & (x <= self.most)
            bottom[0].diff[...] = np.where(inside, top[0].diff, 0)


@register("Dropout")
class Dropout(Neuron):
    """In testing alone: the values as they are."""

    def f(self, x):
        return x

    def slope(self, x, y):
        return np.ones_like(x)


@register("Exp")
class Exp(Neuron):
    """base ** (shift + scale x)"""

    def read_settings(self):
        p = self.spec.exp_param
        self.log, self.scale, self.shift = 1 if p.base == -1 else math.log(p.base), p.scale, p.shift

    def f(self, x):
        return np.exp(self.log * (self.shift + self.scale * x))

    def slope(self, x, y):
        return y * self.log * self.scale


@register("Power")
class Power(Neuron):
    """(shift + scale x) ** power; its gradient is 0 where that is a constant.

    The slope is written into the bottom's gradient before that is multiplied by the top's: in place
    these are one, and the slope is squared.
    """

    def read_settings(self):
        p = self.spec.power_param
        self.power, self.scale, self.shift = p.power, p.scale, p.shift

    def f(self, x):
        if self.scale * self.power == 0:
            return np.full(x.shape, 1.0 if self.power == 0 else self.shift ** self.power)
        y = self.shift + self.scale * x
        return y if self.power == 1 else y ** self.power

    def slope(self, x, y):
        factor = self.power * self.scale
        if factor == 0 or self.power == 1:
            return np.full(x.shape, factor)
        base = self.shift + self.scale * x
        return factor * base if self.power == 2 else factor * y / base

    def backward(self, top, down, bottom):
        if down[0]:
            bottom[0].diff[...] = self.slope(bottom[0].data, top[0].data)
            if self.power * self.scale:
                bottom[0].diff[...] *= top[0].diff


@register("Threshold")
class Threshold(Neuron):

    no_gradient = (0,)

    def f(self, x):
        return x > self.spec.threshold_param.threshold


@register("PReLU")
class PReLU(Layer):
    """A slope below zero that is learned, for each channel or for all. In place it keeps x."""

    def setup(self, x):
        return [() if self.spec.prelu_param.channel_shared else (x[1],)]

    def _slopes(self, x):
        """They have as many axes as x."""
        return self.params[0].data.reshape(1, -1, *[1] * (x.ndim - 2))

    def forward(self, bottom, top):
        x = bottom[0].data.copy()
        self.kept = x if bottom[0] is top[0] else None
        top[0].data[...] = np.maximum(x, 0) + self._slopes(x) * np.minimum(x, 0)

    def backward(self, top, down, bottom):
        x = self.needs(self.kept) if bottom[0] is top[0] else bottom[0].data
        if self.params_down[0]:
            slope = sum_to(top[0].diff * x * (x <= 0), self._slopes(x).shape)
            self.params[0].diff[...] += slope.reshape(self.params[0].shape)
        if down[0]:
            bottom[0].diff[...] = top[0].diff * np.where(x > 0, 1, self._slopes(x))
