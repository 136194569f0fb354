"""The product of rows with a matrix of weights, as fast as the processor does it."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .fastest import fastest

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
LEAST = 1 << 22         # multiplications; below, what Python does takes longer than it saves
MEASURED = 1 << 28      # multiplications; below, oneDNN's without measuring
LARGE = 1 << 26         # weights whose gradient is to have a place in memory of its own
ROWS = 256              # of it that are computed at a time, and copied there


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None,
           gradient_place: Callable[[], Tensor | None] = lambda: None) -> Tensor:
    """x (..., inputs) times weight (outputs, inputs), plus bias (outputs): (..., outputs).

    `gradient_place` is asked for memory of as many values as `weight` has, for its gradient if
    that is large; None if there is none. Freed and taken again, 411 MB (fc6) may not find the gap
    that they left.

    On a CPU large ones are oneDNN's or MKL's, whichever is faster there (`fastest`): MKL, to which
    torch leaves them, keeps some processors that are not Intel's to half their rate. One row is a
    matter of memory, and small ones of what Python does besides.
    """
    shape = x.shape
    own = (x.numel() * len(weight) >= LEAST and x.numel() > shape[-1] and HAS_ONEDNN
           and x.device.type == "cpu" and x.dtype == torch.float32
           and not torch.is_autocast_enabled("cpu"))
    if not own:
        return F.linear(x, weight, bias)
    y = _Product.apply(x.reshape(-1, shape[-1]), weight, bias, gradient_place)
    return y.view(*shape[:-1], len(weight))


def multiply(task: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (rows, inputs) times weight (outputs, inputs), plus bias; `task` names the use
    under which `fastest` keeps its choice."""
    ways: dict[str, Callable[[], Tensor]] = {
        "oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""),
        "MKL": lambda: F.linear(x, weight, bias)}
    return ways[_library(task, x, weight, ways)]()


def _library(task: str, x: Tensor, weight: Tensor, ways: dict[str, Callable[[], Tensor]]) -> str:
    """The name of the library that multiplies. Sizes of images vary, and with them one size of
    three: it counts as the next power of two."""
    if x.numel() * len(weight) < MEASURED:
        return "oneDNN"
    sizes = (1 << (size - 1).bit_length() for size in (len(x), x.shape[1], len(weight)))
    return fastest(f"{task} {' x '.join(map(str, sizes))}", ways)


class _Product(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None,
                gradient_place: Callable[[], Tensor | None]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.gradient_place = gradient_place
        return multiply("product", x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias, _ = ctx.needs_input_grad
        place = ctx.gradient_place() if by_weight and weight.numel() >= LARGE else None
        return (multiply("gradient by rows", gradient, weight.t()) if by_x else None,
                _by_weight(place, gradient.t(), x.t()) if by_weight else None,
                gradient.sum(0) if by_bias else None, None)


def _by_weight(place: Tensor | None, x: Tensor, weight: Tensor) -> Tensor:
    """The product, in `place` if there is one."""
    task = "gradient by weights"
    if place is None:
        return multiply(task, x, weight)
    place = place.view(len(x), len(weight))

    def by_onednn() -> Tensor:
        for part, rows in zip(place.split(ROWS), x.split(ROWS)):
            part.copy_(torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], ""))
        return place

    ways = {"oneDNN": by_onednn, "MKL": lambda: torch.mm(x, weight.t(), out=place)}
    return ways[_library(f"{task}, in place", x, weight, ways)]()
