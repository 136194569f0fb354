"""Interpolation of each channel for itself: a deconvolution with one fixed kernel for all, which is
the product of a column and a row, as bilinear kernels are.

Such a deconvolution can be done along one axis after the other. Where windows are m strides long, a
stretch of `stride` values on the top then is a product of a (stride, m) matrix and m values of the
bottom. Windows of other lengths are left to torch: with zeros behind their taps, a value that is
not finite would reach further than its window.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .fastest import fastest

MEASURED = 1 << 22      # multiplications; below, what measuring takes is not worth it
ROUNDING = 3e-7         # of the largest value of a kernel: how far from a product it may be


def interpolate(x: Tensor, kernels: Tensor, stride: tuple[int, ...],
                padding: tuple[int, ...]) -> Tensor:
    """What F.conv_transpose2d gives of x (N, C, H, W) and kernels (C, 1, h, w) that learn nothing,
    with C groups, in the faster of two ways."""
    fits = not any(k % s for k, s in zip(kernels.shape[2:], stride))
    if fits and x.numel() * kernels[0].numel() >= MEASURED and (factors := _factors(kernels)):
        return _Interpolation.apply(x, kernels, factors, stride, padding)
    return F.conv_transpose2d(x, kernels, None, stride, padding, groups=len(kernels))


def _factors(kernels: Tensor) -> tuple[Tensor, Tensor] | None:
    """The column (h) and the row (w) of which all kernels are the product; None if there are none.
    """
    kernel = kernels[0, 0]
    place = int(kernel.abs().argmax())
    row, column = divmod(place, kernel.shape[1])
    largest = kernel[row, column]
    factors = kernel[:, column] / largest, kernel[row]
    difference = (kernels - torch.outer(*factors)).abs().max()
    return factors if difference <= ROUNDING * largest.abs() else None      # False if it is NaN


class _Interpolation(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, factors: tuple[Tensor, Tensor],
                stride: tuple[int, ...], padding: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(kernels, *factors)
        ctx.size, ctx.stride, ctx.padding = x.shape, stride, padding
        return _fastest("interpolation", x.shape, kernels, stride, padding, {
            "deconvolution": lambda: F.conv_transpose2d(
                x, kernels, None, stride, padding, groups=len(kernels)),
            "factors": lambda: _by_factors(x, factors, stride, padding)})

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        kernels, *factors = ctx.saved_tensors
        found = _fastest("gradient of interpolation", ctx.size, kernels, ctx.stride, ctx.padding, {
            "deconvolution": lambda: F.conv2d(
                gradient, kernels, None, ctx.stride, ctx.padding, groups=len(kernels)),
            "factors": lambda: _gradient_by_factors(gradient, factors, ctx.stride, ctx.padding)})
        return found, None, None, None, None


def _fastest(task: str, size: torch.Size, kernels: Tensor, stride: tuple[int, ...],
             padding: tuple[int, ...], ways: dict[str, Callable[[], Tensor]]) -> Tensor:
    places = 1 << (size[0] * math.prod(size[2:]) - 1).bit_length()      # sizes of images vary
    sizes = ' '.join(map(str, (*kernels.shape, *stride, *padding)))
    return ways[fastest(f"{task} {sizes} on {places}", ways)]()


def _by_factors(x: Tensor, factors: tuple[Tensor, Tensor], stride: tuple[int, ...],
                padding: tuple[int, ...]) -> Tensor:
    column, row = factors
    wide = _spread(x.flatten(0, 1).transpose(1, 2), row, stride[1], padding[1]).transpose(1, 2)
    return _spread(wide, column, stride[0], padding[0]).unflatten(0, x.shape[:2])


def _gradient_by_factors(gradient: Tensor, factors: list[Tensor], stride: tuple[int, ...],
                         padding: tuple[int, ...]) -> Tensor:
    column, row = factors
    low = _gathered(gradient.flatten(0, 1), column, stride[0], padding[0]).transpose(1, 2)
    return _gathered(low, row, stride[1], padding[1]).transpose(1, 2).unflatten(
        0, gradient.shape[:2]).contiguous()


def _spread(planes: Tensor, taps: Tensor, stride: int, padding: int) -> Tensor:
    """The deconvolution of planes (P, n, W) along their rows with taps (k)."""
    table = taps.view(-1, stride)
    beyond = len(table) - 1
    windows = F.pad(planes, (0, 0, beyond, beyond)).unfold(1, len(table), 1).transpose(2, 3)
    rows = torch.matmul(table.flip(0).t(), windows).flatten(1, 2)
    end = stride * (planes.shape[1] - 1) + len(taps) - padding
    return rows[:, padding:end].contiguous()


def _gathered(planes: Tensor, taps: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient by what `_spread` was given, from that by what it gave: (P, n, W)."""
    table = taps.view(-1, stride)
    whole = F.pad(planes, (0, 0, padding, padding)) if padding else planes
    parts = torch.matmul(table, whole.unflatten(1, (-1, stride)))       # (P, stretches, m, W)
    count = parts.shape[1] - len(table) + 1
    gradient = parts[:, :count, 0].clone()
    for tap in range(1, len(table)):
        gradient += parts[:, tap:tap + count, tap]
    return gradient
