"""ReLU6, Axpy, Permute, Normalize and SmoothL1Loss: small layers of several forks."""

from __future__ import annotations

import torch
from torch import Tensor

from ....proto.caffe_pb2 import FillerParameter
from ..base import TensorLayer
from ..formulas import FormulaLayer
from ..registry import register
from ..types import Blobs, Shapes


@register("ReLU6")
class ReLU6(FormulaLayer):
    """x between 0 and 6; the gradient at both ends is 0."""

    def compute(self, x: Tensor) -> Tensor:
        return x.clamp(0, 6)

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        return dy.masked_fill((x <= 0) | (x >= 6), 0)


@register("Axpy")
class Axpy(TensorLayer):
    """Bottom 0, a factor for each channel, (N, C) or (N, C, 1, 1), times bottom 1, plus bottom 2
    (SENet's fork)."""

    bottoms = (3, 3)

    def shapes(self, bottom: Shapes) -> Shapes:
        factor, x, y = bottom
        if x != y or len(x) < 2 or factor not in (x[:2], x[:2] + (1,) * (len(x) - 2)):
            raise self.error("expected a factor for each channel, (N, C) or (N, C, 1, 1), and two "
                             f"bottoms of one shape (N, C, ...), got {factor}, {x} and {y}")
        return [x]

    def compute(self, factor: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return factor.reshape(*x.shape[:2], *(1,) * (x.dim() - 2)) * x + y


@register("Permute")
class Permute(TensorLayer):
    """The bottom with its axes in the given `order`; axes that it does not name follow (SSD)."""

    def order(self, axes: int) -> list[int]:
        """The axes of the bottom in the order that they have in the top."""
        given = list(self.layer_param.permute_param.order)
        if len(set(given)) < len(given) or max(given, default=0) >= axes:
            raise self.error(f"expected an order of different axes below {axes}, got {given}")
        return given + [axis for axis in range(axes) if axis not in given]

    def shapes(self, bottom: Shapes) -> Shapes:
        return [tuple(bottom[0][axis] for axis in self.order(len(bottom[0])))]

    def compute(self, x: Tensor) -> Tensor:
        return x.permute(self.order(x.dim())).contiguous()


@register("Normalize")
class Normalize(TensorLayer):
    """x / sqrt(sum of squares + eps) * scale (SSD, ParseNet). The sum is over each image, or
    without across_spatial over the channels of each place; the scale, a parameter that starts at
    1, is one for all channels, of shape (), or without channel_shared one for each."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p, shape = self.layer_param.norm_param, bottom[0].shape
        if len(shape) < 2:
            raise self.error(f"expected a bottom of at least 2 axes, got {shape}")
        one = FillerParameter(value=1)
        self.add_param(() if p.channel_shared else shape[1:2],
                       p.scale_filler if p.HasField("scale_filler") else one)

    def shapes(self, bottom: Shapes) -> Shapes:
        scale = self.blobs[0].shape
        if scale and scale != bottom[0][1:2]:
            raise self.error(f"{scale[0]} scales do not fit the channels of {bottom[0]}")
        return bottom

    def compute(self, x: Tensor) -> Tensor:
        p, (scale,) = self.layer_param.norm_param, self.weights
        axes = tuple(range(1, x.dim())) if p.across_spatial else (1,)
        norm = (x.square().sum(axes, keepdim=True) + p.eps).sqrt()
        return x / norm * scale.reshape(scale.shape + (1,) * (x.dim() - 2) * scale.dim())


@register("SmoothL1Loss")
class SmoothL1Loss(TensorLayer):
    """The sum of f(bottom 2 * (bottom 0 - bottom 1)) * bottom 3 over the number of items, where
    f(d) is (sigma d)**2 / 2 for |d| below 1 / sigma**2 and |d| - 0.5 / sigma**2 elsewhere (Fast
    R-CNN). Bottoms 2 and 3, weights, may be left out; their gradient is 0."""

    bottoms = (2, 4)
    loss = True

    def shapes(self, bottom: Shapes) -> Shapes:
        if any(shape != bottom[0] for shape in bottom) or not bottom[0]:
            raise self.error("expected bottoms of one shape (N, ...), got "
                             + " and ".join(map(str, bottom)))
        return [()]

    def compute(self, x: Tensor, target: Tensor, *weights: Tensor) -> Tensor:
        inside, outside = (*(weight.detach() for weight in weights), None, None)[:2]
        squared = self.layer_param.smooth_l1_loss_param.sigma ** 2
        d = x - target if inside is None else (x - target) * inside
        losses = torch.where(d.abs() < 1 / squared, 0.5 * squared * d.square(),
                             d.abs() - 0.5 / squared)
        total = (losses if outside is None else losses * outside).sum()
        return total / torch.sym_max(1, x.shape[0])
