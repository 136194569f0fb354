"""The product of rows with a matrix of weights, as fast as the processor does it."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
LEAST = 1 << 22         # multiplications; below, what Python does takes longer than it saves
LARGE = 1 << 26         # weights whose gradient is to have a place in memory of its own
ROWS = 256              # of it that are computed at a time, and copied there


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None,
           gradient_place: Callable[[], Tensor | None] = lambda: None) -> Tensor:
    """x (..., inputs) times weight (outputs, inputs), plus bias (outputs): (..., outputs).

    `gradient_place` is asked for memory of as many values as `weight` has, for its gradient if
    that is large; None if there is none. Freed and taken again, 411 MB (fc6) may not find the gap
    that they left.

    On a CPU large ones by oneDNN: torch's own comes from MKL, which keeps processors that are not
    Intel's to half their rate. One row is a matter of memory, and MKL's gradients are faster.
    """
    shape = x.shape
    own = (x.numel() * len(weight) >= LEAST and x.numel() > shape[-1] and _ONEDNN
           and x.device.type == "cpu" and x.dtype == torch.float32
           and not torch.is_autocast_enabled("cpu"))
    if not own:
        return F.linear(x, weight, bias)
    y = _Product.apply(x.reshape(-1, shape[-1]), weight, bias, gradient_place)
    return y.view(*shape[:-1], len(weight))


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None,
                gradient_place: Callable[[], Tensor | None]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.gradient_place = gradient_place
        return _multiply(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        place = ctx.gradient_place() if by_weight and weight.numel() >= LARGE else None
        return (_multiply(gradient, weight.t()) if by_x else None,
                _multiply_into(place, gradient.t(), x.t()) if by_weight else None,
                gradient.sum(0) if by_bias else None, None)


def _multiply_into(place: Tensor | None, x: Tensor, weight: Tensor) -> Tensor:
    if place is None:
        return _multiply(x, weight)
    place = place.view(len(x), len(weight))
    for part, rows in zip(place.split(ROWS), x.split(ROWS)):
        part.copy_(_multiply(rows, weight))
    return place
