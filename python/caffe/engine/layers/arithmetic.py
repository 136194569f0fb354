"""Eltwise, Scale, Bias, Power, Exp and Log: arithmetic on whole blobs."""

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ...proto.caffe_pb2 import EltwiseParameter, FillerParameter
from ..blob import Blob
from .axes import canonical_axis
from .base import TensorLayer
from .formulas import FormulaLayer, KeepingLayer
from .registry import register
from .types import Blobs, Flags, Gradients, Shape, Shapes, Tensors, Tops


def passed_down(layer: TensorLayer, slope: Tensor, dy: Tensor) -> Tensor:
    """The gradient by a bottom, given the slope there and `dy`, the gradient by the top.

    Caffe writes the slope to the bottom's gradient first. In place that is the top's as well, so
    that the slope is multiplied with itself: the result does not depend on `dy`.
    """
    return slope * (slope if layer.is_in_place else dy)


@register("Eltwise")
class Eltwise(TensorLayer):
    """Product, weighted sum or maximum of bottoms of one shape."""

    bottoms = (2, None)

    @property
    def keeps_state(self) -> bool:
        """The maximum keeps which bottom it came from."""
        return self.layer_param.eltwise_param.operation == EltwiseParameter.MAX

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.eltwise_param
        if p.coeff and p.operation == EltwiseParameter.PROD:
            raise self.error("coeff is for operation: SUM, not for PROD")
        if len(p.coeff) not in (0, len(bottom)):
            raise self.error(f"expected one coeff for each of {len(bottom)} bottoms, "
                             f"got {len(p.coeff)}")
        self.coefficients = list(p.coeff) or [1] * len(bottom)

    def shapes(self, bottom: Shapes) -> Shapes:
        if any(shape != bottom[0] for shape in bottom):
            raise self.error("Check failed: bottom[0]->shape() == bottom[i]->shape(): expected "
                             f"bottoms of one shape, got {' and '.join(map(str, bottom))}; crop "
                             "the larger one")
        return bottom[:1]

    def compute(self, *bottoms: Tensor) -> Tensor:
        operation = self.layer_param.eltwise_param.operation
        if operation == EltwiseParameter.PROD:
            return reduce(torch.mul, bottoms)
        if operation == EltwiseParameter.MAX:
            return self._maximum(*bottoms)
        first, *others = self.coefficients
        total = bottoms[0] if first == 1 else bottoms[0] * first
        for x, coefficient in zip(bottoms[1:], others):
            total = torch.add(total, x, alpha=coefficient)
        return total

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        p = self.layer_param.eltwise_param
        if self.is_in_place:        # a product
            self._backward_in_place(top[0], propagate_down, bottom)
        elif p.operation != EltwiseParameter.PROD or p.stable_prod_grad:
            super().backward(top, propagate_down, bottom)
        else:
            y, dy = top[0].data_to_read, top[0].diff_tensor
            for blob, wants in zip(bottom, propagate_down):
                if wants:
                    blob.set_diff(y / blob.data_to_read * dy)

    def _backward_in_place(self, top: Blob, propagate_down: Flags, bottom: Blobs) -> None:
        """As in Caffe, with the values that are there now; the first bottom's gradient takes the
        place of the top's (see `passed_down`) before the others' are computed."""
        stable = self.layer_param.eltwise_param.stable_prod_grad
        values = [blob.data_to_read for blob in bottom]
        with torch.no_grad():
            for i, blob in enumerate(bottom):
                if not propagate_down[i]:
                    continue
                slope = (reduce(torch.mul, values[:i] + values[i + 1:]) if stable
                         else top.data_to_read / values[i])
                blob.set_diff(slope * (slope if blob is top else top.diff_tensor))

    @staticmethod
    def _maximum(first: Tensor, second: Tensor, *others: Tensor) -> Tensor:
        """The gradient goes to one bottom alone: of equals, Caffe takes the second of the first
        two, and the earliest later."""
        top = torch.where(first > second, first, second)
        for x in others:
            top = torch.where(x > top, x, top)
        return top


class Broadcast(TensorLayer):
    """Bottom 0 with an operand repeated over the axes that it lacks.

    The operand is bottom 1, or else a parameter with the shape of `num_axes` axes of bottom 0
    from `axis` on (-1: all to the end).
    """

    bottoms = (1, 2)
    needs_overwritten = False
    axis: int

    def operand_shape(self, bottom: Blobs, p: Any) -> Shape:
        """The shape of the operand, for the shape of bottom 0 and a Scale- or BiasParameter."""
        if len(bottom) == 2:
            return bottom[1].shape
        shape = bottom[0].shape
        start = canonical_axis(self, p.axis, shape)
        end = len(shape) if p.num_axes == -1 else start + p.num_axes
        if not start <= end <= len(shape):
            raise self.error(f"num_axes {p.num_axes} from axis {start} on do not exist "
                             f"in shape {shape}")
        return shape[start:end]

    def shapes(self, bottom: Shapes) -> Shapes:
        for shape in [*bottom[1:], *(blob.shape for blob in self.blobs)]:
            start = self._start(bottom[0], shape)
            if bottom[0][start:start + len(shape)] != shape:
                raise self.error(f"an operand of shape {shape} does not fit from axis {start} on "
                                 f"into {bottom[0]}")
        return bottom[:1]

    def _start(self, shape: Shape, operand: Shape) -> int:
        return canonical_axis(self, self.axis, shape) if operand else 0

    def spread(self, operand: Tensor, x: Tensor) -> Tensor:
        """`operand` with axes of size 1 behind, so that it broadcasts against `x`."""
        start = self._start(x.shape, operand.shape)
        return operand.reshape(operand.shape + (1,) * (x.dim() - start - operand.dim()))


@register("Scale")
class Scale(Broadcast, KeepingLayer):
    """x * scale, plus a learned bias with bias_term. A learned scale starts at 1."""

    @property
    def keeps_state(self) -> bool:
        return self.is_in_place     # the scale's gradient needs the values that it has overwritten

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.scale_param
        self.axis, shape = p.axis, self.operand_shape(bottom, p)
        if len(bottom) == 1:
            one = FillerParameter(type="constant", value=1)
            self.add_param(shape, p.filler if p.HasField("filler") else one)
        if p.bias_term:
            self.add_param(shape, p.bias_filler)

    def compute(self, x: Tensor, *given: Tensor) -> Tensor:
        scale, *bias = list(given) + list(self.weights)
        y = x * self.spread(scale, x)
        return y + self.spread(bias[0], x) if bias else y

    def run(self, x: Tensor, *given: Tensor) -> tuple[Tops, object]:
        return (self.compute(x, *given),), x if self.is_in_place else None

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        x, (dy,) = self.kept if self.is_in_place else bottom[0], diffs
        scale, *bias = list(bottom[1:]) + list(self.weights)
        spread = self.spread(scale, x)
        by_x = by_scale = by_bias = None
        if wanted[1]:
            product = dy * x
            by_scale = product.sum_to_size(spread.shape).reshape(scale.shape)
            # as in Caffe, the product is left where there was room for it
            if self.is_in_place and scale.numel() < x.numel():
                self.kept = product
            elif scale.numel() < x.numel():
                by_x = product
        if bias and wanted[-1]:
            by_bias = dy.sum_to_size(spread.shape).reshape(scale.shape)
        if wanted[0]:
            by_x = dy * spread
        return [by_x, by_scale, by_bias]

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        for blob in self.replaced_gradients(bottom):
            blob.clear_diff()
        super().backward(top, propagate_down, bottom)

    def replaced_gradients(self, bottom: Blobs) -> Blobs:
        """As in Caffe, the gradient of a scale is that of the last backward pass alone where
        nothing is before its axes, be it a batch of 1; elsewhere it adds up."""
        if len(bottom) == 2 or not any(self.param_propagate_down[:1]):
            return []
        x, scale = bottom[0].shape, self.blobs[0]
        before = math.prod(x[:self._start(x, scale.shape)])
        return [scale] if before == 1 and (scale.count > 1 or bottom[0].count == 1) else []


@register("Bias")
class Bias(Broadcast):
    """x + bias."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.bias_param
        self.axis, shape = p.axis, self.operand_shape(bottom, p)
        if len(bottom) == 1:
            self.add_param(shape, p.filler)

    def compute(self, x: Tensor, *given: Tensor) -> Tensor:
        bias, = given or self.weights
        return x + self.spread(bias, x)


@register("Power")
class Power(FormulaLayer):
    """(shift + scale * x) ** power; constant, with no gradient, where scale or power is 0.

    The gradient is scale * power * y / (shift + scale * x), as in Caffe, but not its 0/0 where
    that base is 0: there it is the mathematical one. In place it is Caffe's, too, see
    `passed_down`.
    """

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.power_param
        if p.scale * p.power == 0:
            return torch.full_like(x, torch.tensor(p.shift).pow(p.power).item())
        y = p.shift + p.scale * x
        return y if p.power == 1 else y.pow(p.power)

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        p = self.layer_param.power_param
        factor = p.scale * p.power
        if factor == 0:
            return torch.zeros_like(dy)
        if p.power == 1:
            return passed_down(self, torch.full_like(dy, factor), dy)
        base = p.shift + p.scale * x
        if p.power == 2:
            return passed_down(self, factor * base, dy)
        slope = factor * torch.where(base == 0, base.pow(p.power - 1), y / base)
        return passed_down(self, slope, dy)


class Exponential(FormulaLayer):
    """What Exp and Log share: a base, e where it is -1, and scale and shift of the exponent or
    the argument."""

    def natural_log(self, p: Any) -> float:
        """The natural logarithm of the base."""
        if p.base == -1:
            return 1.0
        if p.base <= 0:
            raise self.error(f"expected a positive base, or -1 for e, got {p.base}")
        return math.log(p.base)


@register("Exp")
class Exp(Exponential):
    """base ** (shift + scale * x)."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.log_base = self.natural_log(self.layer_param.exp_param)

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.exp_param
        y = torch.exp(self.log_base * p.scale * x)
        return y * torch.exp(torch.tensor(self.log_base * p.shift)).item() if p.shift else y

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        return dy * y * (self.log_base * self.layer_param.exp_param.scale)


@register("Log")
class Log(Exponential):
    """The logarithm to the base of shift + scale * x."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.log_base = self.natural_log(self.layer_param.log_param)
        if not self.log_base:
            raise self.error("there is no logarithm to base 1")

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.log_param
        return torch.log(p.shift + p.scale * x) / self.log_base

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        p = self.layer_param.log_param
        return passed_down(self, (p.scale / self.log_base) / (p.shift + p.scale * x), dy)
