"""Upsample (SegNet, ENet) and Unpooling (DeconvNet): values back to where pooling found them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ....proto.caffe_pb2 import UnpoolingParameter
from ..axes import check_indices
from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Shape, Shapes


class ToIndices(torch.autograd.Function):
    """Each value of x (N, C, H, W) at its index y * width + x of a map of zeros; of several with
    the same index, the last. The gradient of each is that at its index, as in the originals."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, height: int, width: int) -> Tensor:
        index = index.flatten(2)
        ctx.save_for_backward(index)
        ctx.shape = x.shape
        places = torch.arange(index.shape[2], device=x.device).expand_as(index)
        last = index.new_full((*x.shape[:2], height * width), -1).scatter_reduce(
            2, index, places, "amax")
        if not x.numel():
            return x.new_zeros(*x.shape[:2], height, width)
        y = x.flatten(2).gather(2, last.clamp(min=0)).masked_fill(last < 0, 0)
        return y.view(*x.shape[:2], height, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        index, = ctx.saved_tensors
        return gradient.flatten(2).gather(2, index).view(ctx.shape), None, None, None


class ToMask(TensorLayer):
    """A layer whose bottom 1 is the indices that max pooling gives as its second top. Their
    gradient is 0."""

    validated_bottom: int | None = 1

    def size(self, image: Shape) -> Shape:
        """The height and width of the top, of those of the bottom."""
        raise self.error(f"layer type '{self.type}' defines no size()")

    def shapes(self, bottom: Shapes) -> Shapes:
        shape, *mask = bottom
        if len(shape) != 4 or mask and mask[0] != shape:
            raise self.error("expected a bottom of 4 axes, and a mask of the same shape, got "
                             + " and ".join(map(str, bottom)))
        size = self.size(shape[2:])
        if min(size) < 1:
            raise self.error(f"the top of {shape} would have no rows or columns: {size}")
        return [shape[:2] + size]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(bottom, top)
        plane = bottom[1].plane if len(bottom) > 1 else None
        size = top[0].shape[2:]
        if plane and (plane[1] != size[1] or plane[0] > size[0]):
            raise self.error(
                f"the mask '{bottom[1].name}' holds places in {plane[0]} x {plane[1]}, height x "
                f"width, which the pooling took, but the top is {size[0]} x {size[1]}, so that "
                f"values would get elsewhere. Give upsample_h: {plane[0]} and upsample_w: "
                f"{plane[1]} (of Unpooling unpool_h: {plane[0]} and unpool_w: {plane[1]}), or "
                f"images whose sides are multiples of 2 for each pooling, 32 with five of them")

    def validate(self, bottom: Blobs) -> None:
        height, width = self.size(bottom[0].shape[2:])
        check_indices(self, bottom[1], height * width, f"places of a top of {height} x {width}")

    def placed(self, x: Tensor, mask: Tensor) -> Tensor:
        """The values at the indices of the mask."""
        return ToIndices.apply(x, mask.long(), *self.size(tuple(x.shape[2:])))


@register("Upsample")
class Upsample(ToMask):
    """Zeros, with each value of bottom 0 at the index in bottom 1, the mask that MAX pooling gives
    as its second top. The size is upsample_h x upsample_w, or that of the bottom times scale (or
    scale_h and scale_w), less 1 with pad_out_h or pad_out_w."""

    bottoms = (2, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.upsample_param
        given = [p.HasField(name) for name in ("upsample_h", "upsample_w")]
        scales = [p.HasField(name) for name in ("scale_h", "scale_w")]
        if any(given) and not all(given) or any(scales) and not all(scales):
            raise self.error("expected both upsample_h and upsample_w, or both scale_h and scale_w")
        if not all(given) and all(scales) and p.HasField("scale"):
            raise self.error("expected either scale or both scale_h and scale_w")
        self.given = (p.upsample_h, p.upsample_w) if all(given) else None
        self.scales = (p.scale_h, p.scale_w) if all(scales) else (p.scale, p.scale)
        self.less = int(p.pad_out_h), int(p.pad_out_w)
        least = min(self.given or self.scales)
        if least < 2:
            raise self.error("expected a scale or size of at least 2, got "
                             f"{self.given or self.scales}")
        if not self.given and any(less and scale != 2
                                  for less, scale in zip(self.less, self.scales)):
            raise self.error(f"pad_out is for a scale of 2, got {self.scales}")

    def size(self, image: Shape) -> Shape:
        if self.given:
            return self.given
        return tuple(n * scale - less for n, scale, less in zip(image, self.scales, self.less))

    def compute(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.placed(x, mask)


@register("Unpooling")
class Unpooling(ToMask):
    """MAX puts each value at the index in bottom 1, the mask of MAX pooling, or without one into
    the upper left corner of its window; AVE spreads it evenly over its window, and TILE repeats it
    there, where windows overlap as a sum. The size is unpool_size, or unpool_h x unpool_w.

    The gradient of TILE is, as in the original, the mean over the window.
    """

    bottoms = (1, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.unpooling_param
        self.kernel = self._pair("kernel", "kernel_size")
        self.stride, self.pad = self._pair("stride"), self._pair("pad")
        self.given = self._pair("unpool", "unpool_size")
        if len(bottom) == 1:
            self.validated_bottom = None
        elif p.unpool != UnpoolingParameter.MAX:
            raise self.error("only unpool: MAX takes a mask as bottom 1")
        if any(self.pad):
            raise self.error(f"expected pad 0, which is all that this layer knows, got {self.pad}")
        if min(self.kernel + self.stride + self.given) < 1:
            raise self.error(f"expected kernel_size, stride and unpool_size of at least 1, got "
                             f"{self.kernel}, {self.stride} and {self.given}")

    def _pair(self, stem: str, field: str | None = None) -> tuple[int, int]:
        """(vertical, horizontal): given once for both, or as `stem`_h and `stem`_w."""
        p, field = self.layer_param.unpooling_param, field or stem
        both = [p.HasField(f"{stem}_{axis}") for axis in "hw"]
        if any(both) and (not all(both) or p.HasField(field)):
            raise self.error(f"expected either {field} or both {stem}_h and {stem}_w")
        if any(both):
            return tuple(getattr(p, f"{stem}_{axis}") for axis in "hw")
        return (getattr(p, field),) * 2

    def size(self, image: Shape) -> Shape:
        return self.given

    def compute(self, x: Tensor, *mask: Tensor) -> Tensor:
        if mask:
            return self.placed(x, *mask)
        if self.layer_param.unpooling_param.unpool == UnpoolingParameter.MAX:
            return self.placed(x, self._corners(x))
        windows = self._areas(x)
        if self.layer_param.unpooling_param.unpool == UnpoolingParameter.AVE:
            return self._spread(x / windows)
        y = self._spread(x)
        if not y.requires_grad:
            return y
        mean = self._spread(x / windows)
        return y.detach() + (mean - mean.detach())      # the value of the one, the other's gradient

    def _corners(self, x: Tensor) -> Tensor:
        """The index of the upper left corner of each window."""
        rows, columns = (torch.arange(n, device=x.device).mul(s).clamp(max=size - 1)
                         for n, s, size in zip(x.shape[2:], self.stride, self.given))
        return (rows[:, None] * self.given[1] + columns).expand(x.shape)

    def _areas(self, x: Tensor) -> Tensor:
        """The number of values of each window within the top, at least 1."""
        lengths = [(size - torch.arange(n, device=x.device).mul(s)).clamp(max=k)
                   for n, s, k, size in zip(x.shape[2:], self.stride, self.kernel, self.given)]
        return torch.outer(*lengths).clamp(min=1).to(x.dtype)

    def _spread(self, x: Tensor) -> Tensor:
        """Each value all over its window, within the top."""
        planes = x.reshape(-1, 1, *x.shape[2:])
        y = F.conv_transpose2d(planes, x.new_ones(1, 1, *self.kernel), stride=self.stride)
        missing = [max(0, size - n) for size, n in zip(self.given, y.shape[2:])]
        y = F.pad(y, (0, missing[1], 0, missing[0]))[..., :self.given[0], :self.given[1]]
        return y.reshape(*x.shape[:2], *self.given)
