"""The maximum or sum of each window, of many values at a time, where torch's own pooling goes value
by value: from slices of the image, or with its channels side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .windows import Windows

LARGEST_KERNEL = 3      # slices are read once for each place in the window
LEAST = 1 << 16         # values; below, what Python does takes longer than it saves


def suits(x: Tensor, windows: Windows) -> bool:
    """Whether `largest` and, where no gradient is needed, `total` can compute, and are faster than
    torch: on a CPU, and not where the channels lie side by side already."""
    return (x.numel() >= LEAST and x.device.type == "cpu" and x.is_contiguous()
            and windows.torch_agrees(x.shape[2:])
            and (_halves(windows) or _overlap(x, windows) if x.requires_grad
                 else max(windows.kernel) <= LARGEST_KERNEL))


def _halves(windows: Windows) -> bool:
    return windows.up and not any(windows.pad) and windows.kernel == windows.stride == (2, 2)


def _overlap(x: Tensor, windows: Windows) -> bool:
    """Whether the windows overlap so much that torch reads each value at least twice, and there are
    enough channels for a processor's vector of them."""
    return x.shape[1] >= 8 and math.prod(windows.kernel) >= 2 * math.prod(windows.stride)


def largest(x: Tensor, windows: Windows) -> Tensor:
    """The maximum of each of `windows` on x (N, C, H, W); its gradient goes to the first of
    equals. See `suits`."""
    if not x.requires_grad:
        return _combined(x, windows, torch.maximum, -torch.inf)
    return _Halved.apply(x) if _halves(windows) else _ChannelsLast.apply(x, windows)


def total(x: Tensor, windows: Windows) -> Tensor:
    """The sum over each of `windows` on x (N, C, H, W). See `suits`; x needs no gradient."""
    return _combined(x, windows, torch.add, 0.0)


def _combined(x: Tensor, windows: Windows, operation: Callable[..., Tensor],
              identity: float) -> Tensor:
    counts = [count for count, _ in windows.spans(x.shape[2:])]
    for axis in (2, 3):     # whole rows first, which are many values at a time
        x = _along(x, axis, counts[axis - 2], operation, identity,
                   *(sizes[axis - 2] for sizes in (windows.kernel, windows.stride, windows.pad)))
    return x


def _along(x: Tensor, axis: int, count: int, operation: Callable[..., Tensor], identity: float,
           kernel: int, stride: int, pad: int) -> Tensor:
    """Along one axis, where the first and the last windows may reach beyond the image; the
    operation of `identity` and a value is that value."""
    shape = list(x.shape)
    shape[axis] = count
    y = x.new_empty(shape)
    # the place that lies inside in all windows but perhaps the last goes first
    for place in sorted(range(kernel), key=lambda place: place != pad):
        first = max(0, -((place - pad) // stride))      # of the windows where it lies inside
        inside = min(count, (x.shape[axis] - 1 + pad - place) // stride + 1) - first
        if inside <= 0:
            continue
        start = first * stride + place - pad
        values = x[(slice(None),) * axis + (slice(start, start + inside * stride, stride),)]
        part = y.narrow(axis, first, inside)
        if place == pad:
            part.copy_(values)
            y.narrow(axis, inside, count - inside).fill_(identity)
        else:
            operation(part, values, out=part)
    return y


class _ChannelsLast(torch.autograd.Function):
    """torch's own, but that it reads an image whose channels are side by side: two copies take less
    time than that saves. Its backward is as fast in either order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows) -> Tensor:
        y, index = F.max_pool2d(
            x.contiguous(memory_format=torch.channels_last), windows.kernel, windows.stride,
            windows.pad, ceil_mode=windows.up, return_indices=True)
        ctx.save_for_backward(x, index.contiguous())
        ctx.windows = windows
        return y.contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x, index), windows = ctx.saved_tensors, ctx.windows
        return torch.ops.aten.max_pool2d_with_indices_backward(
            gradient.contiguous(), x, windows.kernel, windows.stride, windows.pad, [1, 1],
            windows.up, index), None


class _Halved(torch.autograd.Function):
    """Windows of 2 x 2 that touch. The indices of the maxima, for torch's backward, are made
    there: until then a byte or two for each do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        odd = height % 2 or width % 2
        even = F.pad(x, (0, width % 2, 0, height % 2), value=-torch.inf) if odd else x
        left, right = even[..., ::2], even[..., 1::2]
        rows = torch.maximum(left, right)
        upper, lower = rows[:, :, ::2], rows[:, :, 1::2]
        is_right, is_lower = right > left, lower > upper
        # whether it is right in the row where the maximum is
        of_upper, of_lower = is_right[:, :, ::2], is_right[:, :, 1::2]
        is_right = (of_upper ^ of_lower).bitwise_and_(is_lower).bitwise_xor_(of_upper)
        ctx.save_for_backward(x, is_lower, is_right)
        return torch.maximum(upper, lower)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, is_lower, is_right = ctx.saved_tensors
        height, width = x.shape[2:]
        first = torch.arange(0, height, 2)[:, None] * width + torch.arange(0, width, 2)
        index = torch.add(first, is_lower.int().mul_(width).add_(is_right))
        return torch.ops.aten.max_pool2d_with_indices_backward(
            gradient.contiguous(), x, [2, 2], [2, 2], [0, 0], [1, 1], True, index)
