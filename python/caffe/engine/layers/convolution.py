"""Convolution, Deconvolution and Im2col: windows that slide over the spatial axes."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .axes import canonical_axis
from .base import TensorLayer
from .kernels.convolution import conv2d
from .kernels.interpolation import interpolate
from .kernels.product import LEAST, linear
from .registry import register
from .types import Blobs, Shape, Shapes, Tops


class Window(TensorLayer):
    """A window that slides over the axes after `axis`, that of the channels."""

    least_places = 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        shape = bottom[0].shape
        self.axis = canonical_axis(self, self.layer_param.convolution_param.axis, shape)
        self.channels, axes = shape[self.axis], len(shape) - self.axis - 1
        self.kernel = self._geometry(axes, "kernel_size", "kernel_h", "kernel_w", least=1)
        self.stride = self._geometry(axes, "stride", "stride_h", "stride_w", 1, least=1)
        self.pad = self._geometry(axes, "pad", "pad_h", "pad_w", 0)
        p = self.layer_param.convolution_param
        if p.hole or p.HasField("hole_h") or p.HasField("hole_w"):      # DeepLab's name of it
            if p.dilation:
                raise self.error("expected either dilation or hole, its older name, got both")
            self.dilation = self._geometry(axes, "hole", "hole_h", "hole_w", least=1)
        else:
            self.dilation = self._geometry(axes, "dilation", default=1, least=1)

    def _geometry(self, axes: int, field: str, height: str | None = None, width: str | None = None,
                  default: int | None = None, least: int = 0) -> tuple[int, ...]:
        """One value for each spatial axis: given once for all, once each, or as _h and _w."""
        p = self.layer_param.convolution_param
        values = tuple(getattr(p, field))
        if height and (p.HasField(height) or p.HasField(width)):
            if values or axes != 2:
                raise self.error(f"{height} and {width} go with 2 spatial axes (here {axes}), "
                                 f"and not together with {field}")
            values = getattr(p, height), getattr(p, str(width))
        elif not values and default is not None:
            values = (default,)
        if len(values) not in (1, axes) or min(values, default=least) < least:
            raise self.error(f"expected {field} once or {axes} times, at least {least}, "
                             f"got {list(values)}")
        return values if len(values) == axes else values * axes

    def places(self, shape: Shape) -> tuple[int, ...]:
        """The number of places of the window on each spatial axis of a bottom of `shape`."""
        if len(shape) != self.axis + 1 + len(self.kernel) or shape[self.axis] != self.channels:
            raise self.error("Input size incompatible with convolution kernel: expected "
                             f"{self.channels} channels on axis {self.axis} and "
                             f"{len(self.kernel)} axes after it, got {shape}; a net's channels "
                             "cannot change once it is built")
        sizes = tuple(map(self.size, shape[self.axis + 1:], self.kernel, self.stride, self.pad,
                          self.dilation))
        if any(size < self.least_places for size in sizes):
            raise self.error(f"kernel {self.kernel} with pad {self.pad} and dilation "
                             f"{self.dilation} does not fit into {shape}: top would be {sizes}; "
                             "take a larger image, or more pad")
        return sizes

    @staticmethod
    def size(n: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
        """As in Caffe, whose division rounds to zero: a window too large by less than the stride
        has one place still, and finds zeros beyond the image."""
        room = n + 2 * pad - dilation * (kernel - 1) - 1
        return (room // stride if room >= 0 else -(-room // stride)) + 1

    def filled(self, x: Tensor) -> Tensor:
        """`x` with zeros behind, where a window is larger than it."""
        if torch.compiler.is_compiling():       # then sizes are free
            return x
        sizes = x.shape[self.axis + 1:]
        missing = [max(0, d * (k - 1) + 1 - n - 2 * pad)
                   for n, k, pad, d in zip(sizes, self.kernel, self.pad, self.dilation)]
        if not any(missing):
            return x
        return F.pad(x, [side for more in reversed(missing) for side in (0, more)])


class Sliding(Window):
    """A kernel that slides over the axes after the channels, up to 3, also none; N bottoms give
    N tops, each with the same weights.

    `weights` are the kernel and, with bias_term, one bias for each output.
    """

    bottoms, tops = (1, None), (1, None)
    needs_overwritten = False
    autocast_products = True
    operations: dict[int, Callable[..., Tensor]] = {}       # by the number of spatial axes

    def kernel_planes(self) -> tuple[int, int]:
        """The first two axes of the weights."""
        raise self.error(f"layer type '{self.type}' defines no kernel_planes()")

    def times(self, shape: Shape) -> int:
        """How often the kernel is applied to each plane of a bottom of `shape`."""
        raise self.error(f"layer type '{self.type}' defines no times()")

    def operation(self, axes: int) -> Callable[..., Tensor]:
        """What slides over so many spatial axes."""
        return self.operations[axes]

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        p = self.layer_param.convolution_param
        if len(top) != len(bottom):
            raise self.error(f"expected as many tops as bottoms, got {len(top)} tops")
        if len(self.kernel) > len(self.operations):
            raise self.error(f"expected up to {len(self.operations)} spatial axes after axis "
                             f"{self.axis}, got {len(self.kernel)}")
        self.outputs, self.group = p.num_output, self.groups()
        if not self.outputs or not self.group or math.gcd(
                self.group, self.outputs, self.channels) != self.group:
            raise self.error(f"num_output {self.outputs} and the {self.channels} channels of the "
                             f"bottom must be positive multiples of group {self.group}")
        self.add_param(self.kernel_planes() + self.kernel, p.weight_filler)
        if p.bias_term:
            self.add_param((self.outputs,), p.bias_filler)

    def groups(self) -> int:
        """The number of groups of channels."""
        return self.layer_param.convolution_param.group

    def shapes(self, bottom: Shapes) -> Shapes:
        shape = bottom[0]
        if any(other != shape for other in bottom):
            raise self.error(f"expected bottoms of one shape, got {' and '.join(map(str, bottom))}")
        if not torch.compiler.is_compiling():
            self.check_work(self.kernel, math.prod(self.blobs[0].shape[:2])
                            * math.prod(shape[:self.axis]) * self.times(shape))
        return [shape[:self.axis] + (self.outputs,) + self.places(shape)] * len(bottom)

    def compute(self, *bottoms: Tensor) -> Tops:
        return tuple(map(self._slide, bottoms))

    def _slide(self, x: Tensor) -> Tensor:
        return self._apply(x, self.weights[0], self.group)

    def _apply(self, x: Tensor, weight: Tensor, group: int) -> Tensor:
        bias = (*self.weights, None)[1]
        batch, spatial = x.shape[:self.axis], x.shape[self.axis + 1:]
        planes = x.reshape(math.prod(batch), self.channels, *(spatial or (1,)))
        y = self.operation(planes.dim() - 2)(
            planes, weight if spatial else weight[..., None], bias, stride=self.stride or 1,
            padding=self.pad or 0, dilation=self.dilation or 1, groups=group)
        return y.reshape(batch + y.shape[1:2] + (y.shape[2:] if spatial else ()))


@register("Convolution")
class Convolution(Sliding):
    """Cross-correlation; an axis of n becomes (n + 2 pad - dilation (k - 1) - 1) // stride + 1."""

    operations = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}

    def kernel_planes(self) -> tuple[int, int]:
        return self.outputs, self.channels // self.group

    def operation(self, axes: int) -> Callable[..., Tensor]:
        own = axes == 2 and not self.use_plain_torch_ops and not torch.compiler.is_compiling()
        return conv2d if own else super().operation(axes)

    def times(self, shape: Shape) -> int:
        return math.prod(self.places(shape))

    def _slide(self, x: Tensor) -> Tensor:
        x = self.filled(x)
        return self._multiply(x) if self._few_places(x) else super()._slide(x)

    def _few_places(self, x: Tensor) -> bool:
        """Whether the windows of `x`, laid out, are less than the kernel: fc6 and fc7 on a CPU.

        oneDNN would bring the kernel into a form of its own in every pass, a second copy.
        """
        if torch.compiler.is_compiling():       # then sizes are free
            return False
        places = math.prod(self.places(tuple(x.shape)))
        return (x.device.type == "cpu" and len(self.kernel) == 2 and self.axis == 1
                and self.group == 1 and 0 < len(x) * places < self.outputs)

    def _multiply(self, x: Tensor) -> Tensor:
        """Convolution as one matrix product of the kernel and the windows of `x`."""
        weight, bias = self.weights[0].flatten(1), (*self.weights, None)[1]
        if x.requires_grad:
            # torch makes the gradient in memory as large as all windows, which a copy lets go of
            x.register_hook(Tensor.clone)
        windows = F.unfold(x, self.kernel, self.dilation, self.pad, self.stride)
        batch, values, places = windows.shape
        rows = windows.movedim(0, 1).reshape(values, batch * places).t()
        y = (F.linear(rows, weight, bias) if self.use_plain_torch_ops
             else linear(rows, weight, bias, self.gradient_place)).t()
        return y.reshape(-1, batch, *self.places(tuple(x.shape))).movedim(1, 0).contiguous()


@register("ConvolutionDepthwise")
@register("DepthwiseConvolution")
class DepthwiseConvolution(Convolution):
    """A Convolution with as many groups as channels, as forks for MobileNet call it."""

    def groups(self) -> int:
        p = self.layer_param.convolution_param
        if p.HasField("group") and p.group != self.channels:
            raise self.error(f"expected no group, or one for each of {self.channels} channels, got "
                             f"{p.group}")
        return self.channels


@register("Deconvolution")
class Deconvolution(Sliding):
    """The adjoint of Convolution; n becomes stride (n - 1) + dilation (k - 1) + 1 - 2 pad."""

    autocast_products = False   # what it interpolates, scores, would lose more than time
    operations = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

    def kernel_planes(self) -> tuple[int, int]:
        return self.channels, self.outputs // self.group

    def times(self, shape: Shape) -> int:
        return math.prod(shape[self.axis + 1:])

    def _slide(self, x: Tensor) -> Tensor:
        weight = self.weights[0]
        if self._is_diagonal(weight):
            own = weight.diagonal().movedim(-1, 0).unsqueeze(1)
            return self._apply(x, own, self.channels)
        return self._tiles(x) if self._touches(x) else super()._slide(x)

    def operation(self, axes: int) -> Callable[..., Tensor]:
        return self._deconvolve if axes == 2 else super().operation(axes)

    def _deconvolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...],
                    padding: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> Tensor:
        interpolates = (
            not self.use_plain_torch_ops and not torch.compiler.is_compiling()
            and x.device.type == "cpu" and bias is None and not weight.requires_grad
            and groups == self.channels == self.outputs and set(dilation) == {1})
        if interpolates:
            return interpolate(x, weight, stride, padding)
        return F.conv_transpose2d(x, weight, bias, stride, padding, 0, groups, dilation)

    def _touches(self, x: Tensor) -> bool:
        """Whether the windows on the top touch, and none overlap, as in U-Net, on a CPU: each place
        then is a product of its own, which oneDNN does faster than the adjoint."""
        return (not self.use_plain_torch_ops and not torch.compiler.is_compiling()
                and x.device.type == "cpu" and len(self.kernel) == 2 and self.axis == 1
                and self.kernel == self.stride and set(self.pad) == {0}
                and set(self.dilation) == {1} and self.group == 1
                and x.numel() * self.weights[0][0].numel() >= LEAST)

    def _tiles(self, x: Tensor) -> Tensor:
        """The windows of the top, by a convolution with a kernel of one pixel, in their places."""
        weight, bias = self.weights[0], (*self.weights, None)[1]
        (height, width), (rows, columns) = self.kernel, x.shape[2:]
        if bias is not None:
            bias = bias.repeat_interleave(height * width)
        tiles = conv2d(x, weight.flatten(1).t()[..., None, None], bias, (1, 1), (0, 0), (1, 1), 1)
        tiles = tiles.view(len(x), self.outputs, height, width, rows, columns)
        return tiles.permute(0, 1, 4, 2, 5, 3).reshape(
            len(x), self.outputs, rows * height, columns * width)

    def _is_diagonal(self, weight: Tensor) -> bool:
        """Whether a fixed kernel treats each channel for itself, as interpolation does; on a GPU
        asking would mean waiting."""
        return (not torch.compiler.is_compiling()
                and not weight.requires_grad and weight.device.type == "cpu" and self.group == 1
                and self.outputs == self.channels > 1
                and bool(torch.count_nonzero(weight) == torch.count_nonzero(weight.diagonal())))

    @staticmethod
    def size(n: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
        return stride * (n - 1) + dilation * (kernel - 1) + 1 - 2 * pad


@register("Im2col")
class Im2col(Window):
    """What Convolution multiplies its weights with: for each place of the window the values in
    it, (N, C, H, W) -> (N, C kh kw, places, places), and likewise over any number of axes. There
    may be no places."""

    least_places = 0

    @property
    def always_passes_down(self) -> bool:
        return True

    def shapes(self, bottom: Shapes) -> Shapes:
        shape = bottom[0]
        if not self.kernel:
            raise self.error(f"expected spatial axes after axis {self.axis}, got {shape}")
        values = self.channels * math.prod(self.kernel)
        return [shape[:self.axis] + (values,) + self.places(shape)]

    def compute(self, x: Tensor) -> Tensor:
        if not all(self.places(tuple(x.shape))):
            return x.new_zeros(self.shapes([tuple(x.shape)])[0])
        y = F.pad(self.filled(x), [side for pad in reversed(self.pad) for side in (pad, pad)])
        first, axes = self.axis + 1, len(self.kernel)
        for i, (k, s, d) in enumerate(zip(self.kernel, self.stride, self.dilation)):
            y = y.unfold(first + i, d * (k - 1) + 1, s)[..., ::d]
        # the windows' own axes, last by now, go before the places
        own = range(first + axes, first + 2 * axes)
        y = y.movedim(tuple(own), tuple(range(first, first + axes)))
        return y.flatten(self.axis, self.axis + axes)
