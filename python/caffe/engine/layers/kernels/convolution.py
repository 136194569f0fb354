"""Convolution of images and its gradients, in the way that is the fastest on this processor."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from ...precision import chosen
from . import winograd
from .fastest import fastest
from .product import HAS_ONEDNN, multiply

PLAIN = "plain"         # torch's own
MEASURED = 1 << 26      # multiplications; below, what measuring takes is not worth it


class _Geometry(NamedTuple):
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def of_stride_1(self) -> tuple:
        """All but the stride."""
        return self.padding, self.dilation, self.groups


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...],
           padding: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> Tensor:
    """torch's, contiguous if x is.

    Large ones on a CPU are done in the way that measuring finds (`fastest`). Winograd's is for
    kernels of 3x3 with stride 1, unless the precision is 'fp32': equal windows may give results
    that differ in the last bits, and then max pooling takes another of two equal maxima. A kernel
    of one pixel on one image is a product of two matrices, as both lie in memory: oneDNN's
    convolution orders them anew. For dilated kernels it may be faster with images whose channels
    come last, even with a copy there and one back; its gradients are not.
    """
    geometry = _Geometry(stride, padding, dilation, groups)
    learns = x.requires_grad or weight.requires_grad
    if (x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous()
            and not torch.is_autocast_enabled("cpu")
            and weight.numel() * x[:, 0].numel() >= MEASURED):
        if _suits_winograd(weight, geometry) or _is_product(x, weight, geometry):
            return _Convolution.apply(x, weight, bias, geometry)
        if max(dilation) > 1 and not learns:
            return _convolution(x, weight, bias, geometry, learns)
    return F.conv2d(x, weight, bias, *geometry)


def _suits_winograd(weight: Tensor, geometry: _Geometry) -> bool:
    return (chosen() != "fp32" and tuple(weight.shape[2:]) == (winograd.KERNEL,) * 2
            and set(geometry.stride) == {1})


def _is_product(x: Tensor, weight: Tensor, geometry: _Geometry) -> bool:
    return (HAS_ONEDNN and len(x) == 1 and tuple(weight.shape[2:]) == (1, 1)
            and set(geometry.stride) == {1} and not any(geometry.padding) and geometry.groups == 1)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry,
                 learns: bool) -> Tensor:
    ways = {PLAIN: lambda: F.conv2d(x, weight, bias, *geometry)}
    if _suits_winograd(weight, geometry):
        ways["Winograd"] = lambda: winograd.correlation(x, weight, bias, *geometry.of_stride_1)
    elif _is_product(x, weight, geometry):
        ways["product"] = lambda: _product(weight[:, :, 0, 0], x, bias)
    if max(geometry.dilation) > 1 and not learns:
        ways["channels last"] = lambda: _channels_last(x, weight, bias, geometry)
    return ways[_fastest("convolution", x, weight, geometry, ways)]()


class _Convolution(torch.autograd.Function):
    """With a kernel that Winograd's method is for, or of one pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None,
                geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _convolution(x, weight, bias, geometry, any(ctx.needs_input_grad))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        (x, weight), geometry = ctx.saved_tensors, ctx.geometry
        by_image: dict[str, Callable[[], Tensor]] = {
            PLAIN: lambda: conv2d_input(x.shape, weight, gradient, *geometry)}
        by_kernel: dict[str, Callable[[], Tensor]] = {
            PLAIN: lambda: conv2d_weight(x, weight.shape, gradient, *geometry)}
        if _suits_winograd(weight, geometry):
            own = gradient, *geometry.of_stride_1
            by_image["Winograd"] = lambda: winograd.gradient_by_image(weight, *own)
            by_kernel["Winograd"] = lambda: winograd.gradient_by_weights(x, *own)
        else:
            by_image["product"] = lambda: _product(weight[:, :, 0, 0].t(), gradient, None)
            by_kernel["product"] = lambda: multiply(
                "gradient by kernel", gradient.flatten(2)[0], x.flatten(2)[0]).view_as(weight)
        wants_image, wants_kernel, wants_bias, _ = ctx.needs_input_grad
        given = x, weight, geometry
        best = [_fastest("gradient by image", *given, by_image) if wants_image else None,
                _fastest("gradient by kernel", *given, by_kernel) if wants_kernel else None]
        # what is plain in one operation, which takes less time than several
        found = [*torch.ops.aten.convolution_backward(
            gradient, *given[:2], [len(weight)], *geometry[:3], False, [0, 0], geometry.groups,
            [*(name == PLAIN for name in best), wants_bias])]
        for place, (name, ways) in enumerate(zip(best, (by_image, by_kernel))):
            if name and name != PLAIN:
                found[place] = ways[name]()
        return (*found, None)


def _product(matrix: Tensor, image: Tensor, bias: Tensor | None) -> Tensor:
    """A matrix (outputs, inputs) times each pixel of an image (1, inputs, H, W), plus bias."""
    planes = multiply("pixels", matrix, image.flatten(2)[0].t())
    if bias is not None:
        planes += bias[:, None]
    return planes.view(1, -1, *image.shape[2:])


def _channels_last(x: Tensor, weight: Tensor, bias: Tensor | None,
                   geometry: _Geometry) -> Tensor:
    laid = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(laid, weight, bias, *geometry).contiguous()


def _fastest(task: str, x: Tensor, weight: Tensor, geometry: _Geometry,
             ways: dict[str, Callable[[], Tensor]]) -> str:
    """The name of the fastest of the ways."""
    sizes = [*weight.shape, *geometry.stride, *geometry.padding, *geometry.dilation,
             geometry.groups]
    places = 1 << (len(x) * math.prod(x.shape[2:]) - 1).bit_length()     # sizes of images vary
    return fastest(f"{task} {' '.join(map(str, sizes))} on {places}", ways)
