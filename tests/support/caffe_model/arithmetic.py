"""Sums and products: InnerProduct, Embed, Scale, Bias, Eltwise, Reduction, ArgMax."""

import math

import numpy as np

from .layer import Layer, axis_of, register, sum_to


@register("InnerProduct")
class InnerProduct(Layer):
    """Everything from `axis` on, times a matrix, plus a bias."""

    def read_settings(self):
        self.p = self.spec.inner_product_param

    def setup(self, x):
        shape = self.p.num_output, math.prod(x[axis_of(self.p.axis, x):])
        return [shape[::-1] if self.p.transpose else shape,
                *([(self.p.num_output,)] if self.p.bias_term else [])]

    def shapes(self, x):
        return [(*x[:axis_of(self.p.axis, x)], self.p.num_output)]

    def _rows(self, x):
        return x.reshape(math.prod(x.shape[:axis_of(self.p.axis, x.shape)]), -1)

    def values(self, x, weights, *bias):
        y = self._rows(x) @ (weights if self.p.transpose else weights.T)
        return [(y + bias[0] if bias else y).reshape(self.shapes(x.shape)[0])]

    def slopes(self, diffs, x, weights, *bias):
        dy = diffs[0].reshape(-1, self.p.num_output)
        by_weights = self._rows(x).T @ dy
        return [(dy @ (weights.T if self.p.transpose else weights)).reshape(x.shape),
                by_weights if self.p.transpose else by_weights.T, dy.sum(0)]


@register("Embed")
class Embed(Layer):
    """For each index its row of a matrix, plus a bias."""

    no_gradient = (0,)

    def setup(self, x):
        p = self.spec.embed_param
        return [(p.input_dim, p.num_output), *([(p.num_output,)] if p.bias_term else [])]

    def shapes(self, x):
        return [(*x, self.spec.embed_param.num_output)]

    def values(self, x, weights, *bias):
        y = weights[x.astype(int)]
        return [y + bias[0] if bias else y]

    def slopes(self, diffs, x, weights, *bias):
        by_weights = np.zeros(weights.shape)
        np.add.at(by_weights, x.astype(int), diffs[0])
        return [None, by_weights, diffs[0].reshape(-1, weights.shape[1]).sum(0)]


def _spread(operand, axis, x):
    """`operand` with axes of size 1, so that it meets those of x from `axis` on."""
    begin = axis_of(axis, x.shape) if operand.ndim else 0
    behind = x.ndim - begin - operand.ndim
    return operand.reshape(*[1] * begin, *operand.shape, *[1] * behind)


def _operand_shape(p, x):
    begin = axis_of(p.axis, x)
    return x[begin:] if p.num_axes == -1 else x[begin:begin + p.num_axes]


@register("Scale")
class Scale(Layer):
    """x times a scale, plus a bias. The scale is the second bottom, or learned.

    The product of x and the gradient lies where there is room for it: in the gradient of the
    bottom, or in place where x was kept. The gradient of a learned scale replaces what was there
    unless it is added up over axes before its own.
    """

    def read_settings(self):
        self.p = self.spec.scale_param

    def setup(self, x, *scale):
        shape = scale[0] if scale else _operand_shape(self.p, x)
        return [shape] * ((not scale) + self.p.bias_term)

    def _scale(self, bottom):
        return bottom[1] if len(bottom) > 1 else self.params[0]

    def forward(self, bottom, top):
        x = bottom[0].data.copy()
        self.kept = x if bottom[0] is top[0] else None
        y = x * _spread(self._scale(bottom).data, self.p.axis, x)
        if self.p.bias_term:
            y = y + _spread(self.params[-1].data, self.p.axis, x)
        top[0].data[...] = y

    def backward(self, top, down, bottom):
        x = self.needs(self.kept) if bottom[0] is top[0] else bottom[0].data
        dy, scale = top[0].diff.copy(), self._scale(bottom)
        spread = _spread(scale.data, self.p.axis, x)
        if self.p.bias_term and self.params_down[-1]:
            self.params[-1].diff[...] += sum_to(dy, spread.shape).reshape(scale.shape)
        if down[1] if len(bottom) > 1 else self.params_down[0]:
            product = dy * x
            slope = sum_to(product, spread.shape).reshape(scale.shape)
            if scale.count < x.size and bottom[0] is top[0]:
                self.kept = product
            elif scale.count < x.size:
                bottom[0].diff[...] = product
            if len(bottom) > 1 or self._replaces(scale, x):
                scale.diff[...] = slope
            else:
                scale.diff[...] += slope
        if down[0]:
            bottom[0].diff[...] = dy * spread

    def _replaces(self, scale, x):
        begin = axis_of(self.p.axis, x.shape) if scale.shape else 0
        return math.prod(x.shape[:begin]) == 1 and (scale.count > 1 or x.size == 1)


@register("Bias")
class Bias(Layer):
    """x plus a bias, the second bottom or learned."""

    def read_settings(self):
        self.p = self.spec.bias_param

    def setup(self, x, *bias):
        return [] if bias else [_operand_shape(self.p, x)]

    def values(self, x, bias):
        return [x + _spread(bias, self.p.axis, x)]

    def slopes(self, diffs, x, bias):
        spread = _spread(bias, self.p.axis, x)
        return [diffs[0], sum_to(diffs[0], spread.shape).reshape(bias.shape)]


@register("Eltwise")
class Eltwise(Layer):
    """Product, weighted sum or maximum. Of equals the second of the first two is the largest, and
    the earliest later. The gradient of a product is written first, and then multiplied."""

    def read_settings(self):
        self.p = self.spec.eltwise_param

    def forward(self, bottom, top):
        arrays = [blob.data.copy() for blob in bottom]
        if self.p.operation == self.p.PROD:
            top[0].data[...] = math.prod(arrays)
        elif self.p.operation == self.p.SUM:
            top[0].data[...] = sum(c * x for c, x in zip(self._coefficients, arrays))
        else:
            y, self.kept = arrays[1], np.ones(arrays[0].shape, int)
            for i, x in ((0, arrays[0]), *enumerate(arrays[2:], 2)):
                larger = x > y
                y, self.kept = np.where(larger, x, y), np.where(larger, i, self.kept)
            top[0].data[...] = y

    @property
    def _coefficients(self):
        return list(self.p.coeff) or [1] * len(self.spec.bottom)

    def backward(self, top, down, bottom):
        for i in np.flatnonzero(down):
            blob = bottom[i]
            if self.p.operation == self.p.SUM:
                blob.diff[...] = self._coefficients[i] * top[0].diff
            elif self.p.operation == self.p.MAX:
                blob.diff[...] = np.where(self.needs(self.kept) == i, top[0].diff, 0)
            else:
                blob.diff[...] = (
                    math.prod(other.data for j, other in enumerate(bottom) if j != i)
                    if self.p.stable_prod_grad else top[0].data / blob.data)
                blob.diff[...] *= top[0].diff


@register("Reduction")
class Reduction(Layer):
    """coeff times a sum over everything from `axis` on."""

    def read_settings(self):
        self.p = self.spec.reduction_param

    def shapes(self, x):
        return [x[:axis_of(self.p.axis, x)]]

    def _rows(self, x):
        return x.reshape(*x.shape[:axis_of(self.p.axis, x.shape)], -1)

    def values(self, x):
        rows = self._rows(x)
        terms = {self.p.SUM: rows, self.p.ASUM: abs(rows), self.p.SUMSQ: rows * rows,
                 self.p.MEAN: rows / rows.shape[-1]}[self.p.operation]
        return [self.p.coeff * terms.sum(-1)]

    def slopes(self, diffs, x):
        rows = self._rows(x)
        slope = {self.p.SUM: 1, self.p.ASUM: np.sign(rows), self.p.SUMSQ: 2 * rows,
                 self.p.MEAN: 1 / rows.shape[-1]}[self.p.operation]
        return [(self.p.coeff * slope * diffs[0][..., None] * np.ones_like(rows)).reshape(x.shape)]


@register("ArgMax")
class ArgMax(Layer):
    """Along `axis` the index of the largest value, of equals the last, or that value."""

    no_gradient = (0,)

    def shapes(self, x):
        axis = axis_of(self.spec.argmax_param.axis, x)
        return [(*x[:axis], 1, *x[axis + 1:])]

    def values(self, x):
        axis = axis_of(self.spec.argmax_param.axis, x.shape)
        if self.spec.argmax_param.out_max_val:
            return [x.max(axis, keepdims=True)]
        return [x.shape[axis] - 1 - np.flip(x, axis).argmax(axis, keepdims=True)]
