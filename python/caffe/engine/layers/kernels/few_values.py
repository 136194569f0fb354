"""The gradient of a convolution by its kernel, where that has few values for each output: in first
layers, whose images have one or three channels. There oneDNN's way is slow, because it computes
with channels in groups of eight or sixteen."""

import math

import torch.nn.functional as F
from torch import Tensor

MOST = 64               # values of a kernel for each output; with more, oneDNN's is as fast
STRIP = 1 << 19         # values of windows that are laid out at a time, to stay in the cache


def gradient_by_weights(x: Tensor, gradient: Tensor, weight: Tensor, stride: tuple[int, ...],
                        padding: tuple[int, ...], dilation: tuple[int, ...]) -> Tensor:
    """The gradient by `weight` (O, C, h, w), from the images x (N, C, H, W) and the gradient by the
    top (N, O, rows, columns): a product of that and the windows of the images, which are laid out
    for some rows of the top at a time."""
    outputs, channels, *kernel = weight.shape
    values = channels * math.prod(kernel)
    images, _, rows, columns = gradient.shape
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0])).contiguous()
    image, plane, row, _ = x.stride()
    windows = x.as_strided(
        (channels, *kernel, images, rows, columns),
        (plane, dilation[0] * row, dilation[1], image, stride[0] * row, stride[1]))
    by_output = gradient.transpose(0, 1)
    total = gradient.new_zeros(outputs, values)
    at_a_time = max(1, STRIP // (values * images * columns))
    for first in range(0, rows, at_a_time):
        strip = slice(first, first + at_a_time)
        laid_out = windows[..., strip, :].reshape(values, -1)
        total.addmm_(by_output[:, :, strip].reshape(outputs, -1), laid_out.t())
    return total.view_as(weight)
