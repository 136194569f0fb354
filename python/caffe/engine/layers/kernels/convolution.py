"""Convolution of images, in the order of axes in which oneDNN is faster at it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .fastest import fastest

MEASURED = 1 << 28      # multiplications; below, what measuring takes is not worth it


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...],
           padding: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> Tensor:
    """torch's, contiguous if x is.

    For kernels of one pixel, and for dilated ones, oneDNN has a method that reads images with their
    channels last, and that can be so much faster that two copies cost less than it saves. Backward
    it is not, and where it is not for one of these kernels, other ones are slower as well.
    """
    def plain() -> Tensor:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def channels_last() -> Tensor:
        laid = x.contiguous(memory_format=torch.channels_last)
        return F.conv2d(laid, weight, bias, stride, padding, dilation, groups).contiguous()

    if not _can_gain(x, weight, dilation):
        return plain()
    sizes = [len(weight), *weight.shape[1:], *stride, *padding, *dilation, groups]
    places = 1 << (len(x) * math.prod(x.shape[2:]) - 1).bit_length()     # sizes of images vary
    ways = {"plain": plain, "channels last": channels_last}
    return ways[fastest(f"convolution {' '.join(map(str, sizes))} on {places}", ways)]()


def _can_gain(x: Tensor, weight: Tensor, dilation: tuple[int, ...]) -> bool:
    return (x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous()
            and not torch.is_autocast_enabled("cpu")
            and not (x.requires_grad or weight.requires_grad)
            and (max(dilation) > 1 or max(weight.shape[2:]) == 1)
            and weight.numel() * x[:, 0].numel() >= MEASURED)
