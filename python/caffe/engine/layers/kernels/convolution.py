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

MEASURED = 1 << 28      # multiplications; below, what measuring takes is not worth it


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
    that differ in the last bits, and then max pooling takes another of two equal maxima. For
    kernels of one pixel and for dilated ones, oneDNN may be faster with images whose channels come
    last, even with a copy there and one back; its gradients are not.
    """
    geometry = _Geometry(stride, padding, dilation, groups)
    learns = x.requires_grad or weight.requires_grad
    if (x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous()
            and not torch.is_autocast_enabled("cpu")
            and weight.numel() * x[:, 0].numel() >= MEASURED):
        if _suits_winograd(weight, geometry):
            return _Convolution.apply(x, weight, bias, geometry)
        if _suits_channels_last(weight, geometry) and not learns:
            return _convolution(x, weight, bias, geometry, learns)
    return F.conv2d(x, weight, bias, *geometry)


def _suits_winograd(weight: Tensor, geometry: _Geometry) -> bool:
    return (chosen() != "fp32" and tuple(weight.shape[2:]) == (winograd.KERNEL,) * 2
            and set(geometry.stride) == {1})


def _suits_channels_last(weight: Tensor, geometry: _Geometry) -> bool:
    return max(geometry.dilation) > 1 or max(weight.shape[2:]) == 1


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry,
                 learns: bool) -> Tensor:
    ways = {"plain": lambda: F.conv2d(x, weight, bias, *geometry)}
    if _suits_winograd(weight, geometry):
        ways["Winograd"] = lambda: winograd.correlation(x, weight, bias, *geometry.of_stride_1)
    if _suits_channels_last(weight, geometry) and not learns:
        ways["channels last"] = lambda: _channels_last(x, weight, bias, geometry)
    return _fastest("convolution", x, weight, geometry, ways)


class _Convolution(torch.autograd.Function):
    """With a kernel that Winograd's method is for."""

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
        by_image, by_weights, by_bias, _ = ctx.needs_input_grad
        own = gradient, *geometry.of_stride_1
        return (_fastest("gradient by image", x, weight, geometry, {
                    "plain": lambda: conv2d_input(x.shape, weight, gradient, *geometry),
                    "Winograd": lambda: winograd.gradient_by_image(weight, *own)})
                if by_image else None,
                _fastest("gradient by kernel", x, weight, geometry, {
                    "plain": lambda: conv2d_weight(x, weight.shape, gradient, *geometry),
                    "Winograd": lambda: winograd.gradient_by_weights(x, *own)})
                if by_weights else None,
                gradient.sum((0, 2, 3)) if by_bias else None, None)


def _channels_last(x: Tensor, weight: Tensor, bias: Tensor | None,
                   geometry: _Geometry) -> Tensor:
    laid = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(laid, weight, bias, *geometry).contiguous()


def _fastest(task: str, x: Tensor, weight: Tensor, geometry: _Geometry,
             ways: dict[str, Callable[[], Tensor]]) -> Tensor:
    """What the fastest of the ways gives."""
    sizes = [*weight.shape, *geometry.stride, *geometry.padding, *geometry.dilation,
             geometry.groups]
    places = 1 << (len(x) * math.prod(x.shape[2:]) - 1).bit_length()     # sizes of images vary
    return ways[fastest(f"{task} {' '.join(map(str, sizes))} on {places}", ways)]()
