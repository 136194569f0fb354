"""Convolution of images and its gradients, in the way that is the fastest on this processor."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from ...precision import chosen
from . import few_values, product, winograd
from .fastest import fastest

# ways; the plain one is torch's own
PLAIN, WINOGRAD, PRODUCT, CHANNELS_LAST = "plain", "Winograd", "product", "channels last"
FEW_VALUES = "few values"
MEASURED = 1 << 26      # multiplications; below, what measuring takes is not worth it
FEW_MEASURED = 1 << 24  # likewise, where only the gradient by a kernel of few values is measured


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
    that differ in the last bits, and then max pooling takes another of two equal maxima. A 1x1
    kernel on a single image is a product of two matrices that lie in memory as they are; oneDNN's
    convolution would first reorder both. For dilated kernels oneDNN may be faster with images
    whose channels come last, even with a copy there and one back; its gradients are not. The
    gradient by a kernel of few values has a way of its own (few_values.py).
    """
    geometry = _Geometry(stride, padding, dilation, groups)
    if (x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous()
            and not torch.is_autocast_enabled("cpu")):
        multiplications = weight.numel() * x[:, 0].numel()
        method = _method(x, weight, geometry) if multiplications >= MEASURED else PLAIN
        few = (multiplications >= FEW_MEASURED and weight.requires_grad
               and _has_few_values(weight, geometry))
        if few or method != PLAIN:
            return _Convolution.apply(x, weight, bias, geometry, method)
    return F.conv2d(x, weight, bias, *geometry)


def _has_few_values(weight: Tensor, geometry: _Geometry) -> bool:
    return geometry.groups == 1 and weight[0].numel() <= few_values.MOST


def _method(x: Tensor, weight: Tensor, geometry: _Geometry) -> str:
    """The way to try beside torch's own; PLAIN if there is none."""
    kernel, dense = tuple(weight.shape[2:]), set(geometry.stride) == {1}
    if chosen() != "fp32" and kernel == (winograd.KERNEL,) * 2 and dense:
        return WINOGRAD
    if kernel == (1, 1):
        fits = len(x) == 1 and dense and not any(geometry.padding) and geometry.groups == 1
        return PRODUCT if product.HAS_ONEDNN and fits else PLAIN
    learns = x.requires_grad or weight.requires_grad
    return CHANNELS_LAST if max(geometry.dilation) > 1 and not learns else PLAIN


class _Convolution(torch.autograd.Function):
    """A convolution for which there is another way than torch's own, and its gradients, each in the
    fastest way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None,
                geometry: _Geometry, method: str) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry, ctx.method = geometry, method
        ways: dict[str, Callable[[], Tensor]] = {
            PLAIN: lambda: F.conv2d(x, weight, bias, *geometry)}
        if method == WINOGRAD:
            ways[WINOGRAD] = lambda: winograd.correlation(x, weight, bias, *geometry.of_stride_1)
        if method == PRODUCT:
            ways[PRODUCT] = lambda: _times_pixels("pixels", weight[:, :, 0, 0], x, bias)
        if max(geometry.dilation) > 1 and not any(ctx.needs_input_grad):
            ways[CHANNELS_LAST] = lambda: _channels_last(x, weight, bias, geometry)
        return ways[_fastest("convolution", x, weight, geometry, ways)]()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        (x, weight), geometry = ctx.saved_tensors, ctx.geometry
        by_image: dict[str, Callable[[], Tensor]] = {
            PLAIN: lambda: conv2d_input(x.shape, weight, gradient, *geometry)}
        by_kernel: dict[str, Callable[[], Tensor]] = {
            PLAIN: lambda: conv2d_weight(x, weight.shape, gradient, *geometry)}
        if _has_few_values(weight, geometry):
            by_kernel[FEW_VALUES] = lambda: few_values.gradient_by_weights(
                x, gradient, weight, *geometry[:3])
        if ctx.method == WINOGRAD and chosen() != "fp32":       # chosen since the forward pass
            own = gradient, *geometry.of_stride_1
            by_image[WINOGRAD] = lambda: winograd.gradient_by_image(weight, *own)
            by_kernel[WINOGRAD] = lambda: winograd.gradient_by_weights(x, *own)
        if ctx.method == PRODUCT:
            by_image[PRODUCT] = lambda: _times_pixels(
                "gradient by pixels", weight[:, :, 0, 0].t(), gradient, None)
            by_kernel[PRODUCT] = lambda: product.multiply(
                "pixels, gradient by kernel", gradient.flatten(2)[0], x.flatten(2)[0]
            ).view_as(weight)
        wants_image, wants_kernel, wants_bias, *_ = ctx.needs_input_grad
        given = x, weight, geometry
        best = [_fastest("gradient by image", *given, by_image) if wants_image else None,
                _fastest("gradient by kernel", *given, by_kernel) if wants_kernel else None]
        # what is plain in one operation, which takes less time than several; there the gradient by
        # the bias comes with that by the kernel, and alone would take as long
        with_kernel = wants_bias and best[1] == PLAIN
        found = [*torch.ops.aten.convolution_backward(
            gradient, *given[:2], [len(weight)], *geometry[:3], False, [0, 0], geometry.groups,
            [*(name == PLAIN for name in best), with_kernel])]
        for place, (name, ways) in enumerate(zip(best, (by_image, by_kernel))):
            if name and name != PLAIN:
                found[place] = ways[name]()
        if wants_bias and not with_kernel:
            found[2] = gradient.sum((0, 2, 3))
        return (*found, None, None)


def _times_pixels(task: str, matrix: Tensor, image: Tensor, bias: Tensor | None) -> Tensor:
    """A matrix (outputs, inputs) times each pixel of an image (1, inputs, H, W), plus bias."""
    planes = product.multiply(task, matrix, image.flatten(2)[0].t())
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
