"""ArgMax and Reduction: many values become few."""

import math

import torch
from torch import Tensor

from ...proto.caffe_pb2 import ReductionParameter
from .axes import canonical_axis
from .base import TensorLayer
from .registry import register
from .types import Shapes


@register("ArgMax")
class ArgMax(TensorLayer):
    """The indices of the top_k largest values, largest first; of equals, the later comes first.

    With `axis`, along it: the top has top_k there, and holds the values themselves with
    out_max_val. Without, over all but axis 0: the top is (batch, 1, top_k), with out_max_val
    (batch, 2, top_k), indices and then values; further axes of the bottom are kept as ones.
    """

    no_gradient = (0,)

    def shapes(self, bottom: Shapes) -> Shapes:
        p, shape = self.layer_param.argmax_param, bottom[0]
        self.axis = canonical_axis(self, p.axis, shape) if p.HasField("axis") else None
        canonical_axis(self, 0, shape)
        size = math.prod(shape[1:]) if self.axis is None else shape[self.axis]
        if not 1 <= p.top_k <= size:
            raise self.error(f"expected top_k between 1 and {size}, got {p.top_k}")
        if self.axis is not None:
            return [shape[:self.axis] + (p.top_k,) + shape[self.axis + 1:]]
        return [(shape[0], 2 if p.out_max_val else 1, p.top_k) + (1,) * (len(shape) - 3)]

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.argmax_param
        if self.axis is not None:
            index, values = self._largest(x, self.axis)
            return values if p.out_max_val else index
        index, values = self._largest(x.reshape(x.shape[0], math.prod(x.shape[1:])), 1)
        y = torch.stack([index, values], 1) if p.out_max_val else index[:, None]
        return y.reshape(y.shape + (1,) * (x.dim() - 3))

    def _largest(self, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        # a stable sort from the end, so that of equals the later comes first
        values, index = x.flip(axis).sort(dim=axis, descending=True, stable=True)
        count = self.layer_param.argmax_param.top_k
        index = x.shape[axis] - 1 - index.narrow(axis, 0, count)
        return index.to(x.dtype), values.narrow(axis, 0, count)


@register("Reduction")
class Reduction(TensorLayer):
    """coeff times the sum, the sum of magnitudes (ASUM; gradient 0 at 0), the sum of squares or
    the mean of everything from `axis` on (default 0: a scalar)."""

    OPERATIONS = {
        ReductionParameter.SUM: lambda x: x.sum(-1),
        ReductionParameter.ASUM: lambda x: x.abs().sum(-1),
        ReductionParameter.SUMSQ: lambda x: x.square().sum(-1),
        ReductionParameter.MEAN: lambda x: x.mean(-1),
    }

    def shapes(self, bottom: Shapes) -> Shapes:
        self.axis = canonical_axis(self, self.layer_param.reduction_param.axis, bottom[0])
        return [bottom[0][:self.axis]]

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.reduction_param
        return self.OPERATIONS[p.operation](x.flatten(self.axis)) * p.coeff
