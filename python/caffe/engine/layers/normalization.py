"""LRN, Softmax, BatchNorm and MVN: values set in proportion to their neighbours or their batch."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...context import TEST
from ...proto.caffe_pb2 import LRNParameter
from .axes import LEGACY_AXES, canonical_axis, check_legacy_axes
from .formulas import FormulaLayer, KeepingLayer
from .registry import register
from .types import Blobs, Flags, Gradients, Shapes, Tensors, Tops


@register("LRN")
class LRN(KeepingLayer):
    """Local response normalisation, x / (k + alpha * mean of the neighbours' squares) ** beta.

    The neighbours are local_size channels at the same place, or with WITHIN_CHANNEL a square of
    that side (zeros beyond the image count); there Caffe takes k as 1. It keeps k + alpha * mean.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        size = self.layer_param.lrn_param.local_size
        if size % 2 == 0:
            raise self.error(f"expected an odd local_size, got {size}")

    def shapes(self, bottom: Shapes) -> Shapes:
        if len(bottom[0]) != 4:
            raise self.error(f"expected a bottom of 4 axes, got {bottom[0]}")
        return bottom

    @property
    def always_passes_down(self) -> bool:
        return self._crosses_channels

    def compute(self, x: Tensor) -> Tensor:
        return self.run(x)[0][0]

    def run(self, x: Tensor) -> tuple[Tops, object]:
        p = self.layer_param.lrn_param
        k = p.k if self._crosses_channels else 1
        scale = self._mean(x.square()).mul_(p.alpha).add_(k)
        return (x * self._power(scale),), scale

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        if not wanted[0]:
            return [None]
        (x,), (y,), (dy,), p, scale = bottom, top, diffs, self.layer_param.lrn_param, self.kept
        power = self._power(scale)
        # Caffe takes the top across channels, and the bottom within one
        by_power = dy * y if self._crosses_channels else dy * x * power
        return [dy * power - 2 * p.alpha * p.beta * x * self._mean(by_power / scale)]

    @property
    def _crosses_channels(self) -> bool:
        return self.layer_param.lrn_param.norm_region == LRNParameter.ACROSS_CHANNELS

    def _mean(self, values: Tensor) -> Tensor:
        """The mean over the neighbours of each of these values."""
        size = self.layer_param.lrn_param.local_size
        if not self._crosses_channels:
            self.check_work((size, size), values.numel())
            return F.avg_pool2d(values, size, stride=1, padding=size // 2)
        total = values.clone()
        for distance in range(1, min(size // 2, values.shape[1] - 1) + 1):
            total[:, distance:].add_(values[:, :-distance])
            total[:, :-distance].add_(values[:, distance:])
        return total.div_(size)

    def _power(self, scale: Tensor) -> Tensor:
        """scale ** -beta; roots are several times as fast as powers."""
        beta = self.layer_param.lrn_param.beta
        if beta != 0.75:
            return scale.pow(-beta)
        root = scale.rsqrt()
        return root * root.sqrt()


@register("Softmax")
class Softmax(FormulaLayer):
    """exp(x) divided by its sum over `axis`."""

    def shapes(self, bottom: Shapes) -> Shapes:
        canonical_axis(self, self.layer_param.softmax_param.axis, bottom[0])
        return bottom

    @property
    def always_passes_down(self) -> bool:
        return True

    def compute(self, x: Tensor) -> Tensor:
        return x.softmax(self.layer_param.softmax_param.axis)

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        axis = self.layer_param.softmax_param.axis
        return y * (dy - (dy * y).sum(axis, keepdim=True))


@register("BatchNorm")
class BatchNorm(KeepingLayer):
    """(x - mean) / sqrt(variance + eps) for each channel (axis 1; a bottom of 1 axis is one).

    In training the statistics are those of the batch, over all other axes. With use_global_stats
    (the default in phase TEST) they are the stored ones. Stored are three parameters that no
    solver updates, the sums of means (channels,) and variances (channels,) and their weight (1,):
    a batch multiplies them by moving_average_fraction and adds its mean, its variance times
    m / (m - 1) (m values for each channel), and 1.
    """

    measured: Tensors = ()      # of the last batch

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        shape = bottom[0].shape
        self.channels = shape[1] if len(shape) > 1 else 1
        for size in (self.channels, self.channels, 1):
            self.blobs.add_blob(size)
        if any(spec.lr_mult for spec in self.layer_param.param):
            raise self.error("no solver may update statistics: expected lr_mult: 0 in each param, "
                             f"got {[spec.lr_mult for spec in self.layer_param.param]}")
        # those that it adds are not known when the net asks what learns, in the original
        self.given_params = len(self.layer_param.param)
        while len(self.layer_param.param) < len(self.blobs):
            self.layer_param.param.add(lr_mult=0)

    @property
    def always_passes_down(self) -> bool:
        return True

    @property
    def use_global_stats(self) -> bool:
        """Whether the stored statistics are used."""
        p = self.layer_param.batch_norm_param
        return p.use_global_stats if p.HasField("use_global_stats") else self.phase == TEST

    def shapes(self, bottom: Shapes) -> Shapes:
        channels = bottom[0][1] if len(bottom[0]) > 1 else 1
        if channels != self.channels:
            raise self.error(f"statistics of {self.channels} channels do not fit {bottom[0]}")
        return bottom

    def compute(self, x: Tensor) -> Tensor:
        return self.run(x)[0][0]

    def run(self, x: Tensor) -> tuple[Tops, object]:
        """Keeps the values less their mean, with stored statistics not even these, and the
        deviation."""
        if not x.numel():
            return (x,), (None, x.new_ones(()))     # there is nothing to remember
        planes = self._planes(x)
        mean, variance = self._stored() if self.use_global_stats else self._measured(planes)
        spread = self.channels, *(1,) * (planes.dim() - 2)
        deviation = (variance + self.layer_param.batch_norm_param.eps).sqrt().reshape(spread)
        centred = planes - mean.reshape(spread)
        y = (centred / deviation).reshape(x.shape)
        return (y,), (None if self.use_global_stats else centred, deviation)

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        (centred, deviation), dy = self.kept, self._planes(diffs[0])
        if centred is not None:
            y, axes = centred / deviation, [0, *range(2, dy.dim())]
            dy = dy - dy.mean(axes, keepdim=True) - y * (dy * y).mean(axes, keepdim=True)
        return [(dy / deviation).reshape(diffs[0].shape)]

    @staticmethod
    def _planes(x: Tensor) -> Tensor:
        return x if x.dim() > 1 else x.reshape(-1, 1)

    def _stored(self) -> tuple[Tensor, Tensor]:
        mean, variance, weight = (blob.data_tensor for blob in self.blobs)
        factor = torch.where(weight == 0, 0, 1 / weight)
        return mean * factor, variance * factor

    def _measured(self, x: Tensor) -> tuple[Tensor, Tensor]:
        variance, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
        m = x.numel() // self.channels
        unbiased = variance.detach() * (m / max(m - 1, 1))
        self.follow((mean.detach(), unbiased, torch.ones_like(unbiased[:1])))
        return mean, variance

    def follow(self, measured: Tensors) -> None:
        """Have the stored statistics follow those of a batch: mean, variance, and weight."""
        self.measured = measured
        fraction = self.layer_param.batch_norm_param.moving_average_fraction
        for blob, value in zip(self.blobs, measured):
            blob.data_tensor.mul_(fraction).add_(value)

    @property
    def followers(self) -> Blobs:
        """The parameters that follow the statistics of each batch."""
        return [] if self.use_global_stats else list(self.blobs)


@register("MVN")
class MVN(KeepingLayer):
    """x - mean, divided with normalize_variance by the standard deviation + eps.

    Both are those of one channel of one image, or with across_channels of one image. As in Caffe
    the top has four axes, of which those that the bottom lacks are 1.
    """

    def shapes(self, bottom: Shapes) -> Shapes:
        check_legacy_axes(self, bottom[0])
        return [bottom[0] + (1,) * (LEGACY_AXES - len(bottom[0]))]

    @property
    def always_passes_down(self) -> bool:
        return True

    @property
    def keeps_state(self) -> bool:
        return self.layer_param.mvn_param.normalize_variance        # the deviation

    def compute(self, x: Tensor) -> Tensor:
        if not self.keeps_state:
            return self.run(x)[0][0]
        rows = Standardize.apply(self._rows(x), self.layer_param.mvn_param.eps)
        return rows.reshape(self.shapes([x.shape])[0])

    def run(self, x: Tensor) -> tuple[Tops, object]:
        rows = self._rows(x)
        centred, divisor = rows - rows.mean(1, keepdim=True), None
        if self.keeps_state:
            divisor = centred.square().mean(1, keepdim=True).sqrt()
            divisor = divisor + self.layer_param.mvn_param.eps
            centred = centred / divisor
        return (centred.reshape(self.shapes([x.shape])[0]),), divisor

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        """As in Caffe, the deviation is taken for deviation + eps, which keeps the gradient finite
        for constant rows."""
        y, dy = self._rows(top[0]), self._rows(diffs[0])
        dx = dy - dy.mean(1, keepdim=True)
        if self.keeps_state:
            dx = (dx - y * (y * dy).mean(1, keepdim=True)) / self.kept
        return [dx.reshape(bottom[0].shape)]

    def _rows(self, x: Tensor) -> Tensor:
        kept = 1 if self.layer_param.mvn_param.across_channels else 2
        return x.reshape(math.prod(x.shape[:kept]), math.prod(x.shape[kept:]))


class Standardize(torch.autograd.Function):
    """Each row less its mean, over its deviation + eps, with the gradient of MVN."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, eps: float) -> Tensor:
        centred = rows - rows.mean(1, keepdim=True)
        divisor = centred.square().mean(1, keepdim=True).sqrt() + eps
        y = centred / divisor
        ctx.save_for_backward(y, divisor)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        y, divisor = ctx.saved_tensors
        along = y * (y * gradient).mean(1, keepdim=True)
        return (gradient - gradient.mean(1, keepdim=True) - along) / divisor, None
