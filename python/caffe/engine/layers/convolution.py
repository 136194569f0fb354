"""Convolution and Deconvolution, over one, two or three spatial axes."""

import math

import torch.nn.functional as F

from .axes import canonical_axis
from .base import TensorLayer, register


class Sliding(TensorLayer):
    """A kernel that slides over the axes after the channels; N bottoms give N tops, each with
    the same weights.

    `weights` are the kernel and, with bias_term, one bias for each output.
    """

    bottoms, tops = (1, None), (1, None)

    def setup(self, bottom, top):
        p = self.layer_param.convolution_param
        if len(top) != len(bottom):
            raise self.error(f"expected as many tops as bottoms, got {len(top)} tops")
        shape = bottom[0].shape
        self.axis = canonical_axis(self, p.axis, shape)
        axes = len(shape) - self.axis - 1
        if axes not in self.operations:
            raise self.error(f"expected 1 to 3 spatial axes after axis {self.axis}, got {axes}")
        self.kernel = self._geometry(axes, "kernel_size", "kernel_h", "kernel_w", least=1)
        self.stride = self._geometry(axes, "stride", "stride_h", "stride_w", 1, least=1)
        self.pad = self._geometry(axes, "pad", "pad_h", "pad_w", 0)
        self.dilation = self._geometry(axes, "dilation", default=1, least=1)
        self.channels, self.outputs, self.group = shape[self.axis], p.num_output, p.group
        if not self.outputs or not self.group or math.gcd(
                self.group, self.outputs, self.channels) != self.group:
            raise self.error(f"num_output {self.outputs} and the {self.channels} channels of the "
                             f"bottom must be positive multiples of group {self.group}")
        self.add_param(self.kernel_planes() + self.kernel, p.weight_filler)
        if p.bias_term:
            self.add_param((self.outputs,), p.bias_filler)

    def _geometry(self, axes, field, height=None, width=None, default=None, least=0):
        """One value for each spatial axis: given once for all, once each, or as _h and _w."""
        p = self.layer_param.convolution_param
        values = tuple(getattr(p, field))
        if height and (p.HasField(height) or p.HasField(width)):
            if values or axes != 2:
                raise self.error(f"{height} and {width} go with 2 spatial axes (here {axes}), "
                                 f"and not together with {field}")
            values = getattr(p, height), getattr(p, width)
        elif not values and default is not None:
            values = (default,)
        if len(values) not in (1, axes) or min(values) < least:
            raise self.error(f"expected {field} once or {axes} times, at least {least}, "
                             f"got {list(values)}")
        return values if len(values) == axes else values * axes

    def shapes(self, bottom):
        shape = bottom[0]
        if len(shape) != self.axis + 1 + len(self.kernel) or shape[self.axis] != self.channels:
            raise self.error(f"expected {self.channels} channels on axis {self.axis} and "
                             f"{len(self.kernel)} axes after it, got {shape}")
        if any(other != shape for other in bottom):
            raise self.error(f"expected bottoms of one shape, got {' and '.join(map(str, bottom))}")
        sizes = tuple(map(self.size, shape[self.axis + 1:], self.kernel, self.stride, self.pad,
                          self.dilation))
        if min(sizes) < 1:
            raise self.error(f"kernel {self.kernel} with pad {self.pad} and dilation "
                             f"{self.dilation} does not fit into {shape}: top would be {sizes}")
        return [shape[:self.axis] + (self.outputs,) + sizes] * len(bottom)

    def compute(self, *bottoms):
        operation = self.operations[len(self.kernel)]
        weight, bias = (*self.weights, None)[:2]
        tops = []
        for x in bottoms:
            y = operation(x.flatten(0, self.axis - 1) if self.axis else x[None], weight, bias,
                          stride=self.stride, padding=self.pad, dilation=self.dilation,
                          groups=self.group)
            tops.append(y.reshape(x.shape[:self.axis] + y.shape[1:]))
        return tuple(tops)


@register("Convolution")
class Convolution(Sliding):
    """Cross-correlation; an axis of n becomes (n + 2 pad - dilation (k - 1) - 1) // stride + 1."""

    operations = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}

    def kernel_planes(self):
        return self.outputs, self.channels // self.group

    @staticmethod
    def size(n, kernel, stride, pad, dilation):
        return (n + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1


@register("Deconvolution")
class Deconvolution(Sliding):
    """The adjoint of Convolution; n becomes stride (n - 1) + dilation (k - 1) + 1 - 2 pad."""

    operations = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

    def kernel_planes(self):
        return self.channels, self.outputs // self.group

    @staticmethod
    def size(n, kernel, stride, pad, dilation):
        return stride * (n - 1) + dilation * (kernel - 1) + 1 - 2 * pad
