"""What happens to each value alone: rectifiers, squashing functions, Threshold, Dropout."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...context import TRAIN
from ...proto.caffe_pb2 import FillerParameter
from .axes import check_legacy_axes
from .base import TensorLayer
from .formulas import FormulaLayer, KeepingLayer
from .registry import register
from .types import Blobs, Flags, Gradients, Shapes, Tensors, Tops


@register("ReLU")
class ReLU(FormulaLayer):
    """max(x, 0) + negative_slope * min(x, 0); the gradient at 0 is that of the negative side."""

    def compute(self, x: Tensor) -> Tensor:
        slope = self.layer_param.relu_param.negative_slope
        return F.leaky_relu(x, slope) if slope else F.relu(x)

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        slope = self.layer_param.relu_param.negative_slope
        if slope:
            return torch.where(x > 0, dy, slope * dy)
        return torch.ops.aten.threshold_backward(dy, x, 0)


@register("PReLU")
class PReLU(KeepingLayer):
    """max(x, 0) + slope * min(x, 0), with a learned slope for each channel, or with
    channel_shared a single one of shape (); the gradient at 0 is that of the negative side.

    Slopes start at 0.25 where no filler is given.
    """

    @property
    def keeps_state(self) -> bool:
        return self.is_in_place     # its gradient needs the values that it has overwritten

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p, shape = self.layer_param.prelu_param, bottom[0].shape
        if len(shape) < 2:
            raise self.error(f"expected a bottom of at least 2 axes, got {shape}")
        check_legacy_axes(self, shape)
        quarter = FillerParameter(type="constant", value=0.25)
        self.add_param(() if p.channel_shared else shape[1:2],
                       p.filler if p.HasField("filler") else quarter)

    def shapes(self, bottom: Shapes) -> Shapes:
        slope = self.blobs[0].shape
        check_legacy_axes(self, bottom[0])
        if slope and slope != bottom[0][1:2]:
            raise self.error(f"{slope[0]} slopes do not fit the channels of {bottom[0]}")
        return bottom

    def compute(self, x: Tensor) -> Tensor:
        slope, = self.weights
        return F.prelu(x, slope)

    def run(self, x: Tensor) -> tuple[Tops, object]:
        return (self.compute(x),), x if self.is_in_place else None

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        x, (dy,), (slope,) = self.kept if self.is_in_place else bottom[0], diffs, self.weights
        spread = slope.reshape(slope.shape + (1,) * (x.dim() - 2)) if slope.dim() else slope
        by_slope = None
        if wanted[1]:
            by_slope = (dy * x.clamp(max=0)).sum_to_size(spread.shape).reshape(slope.shape)
        return [torch.where(x > 0, dy, spread * dy) if wanted[0] else None, by_slope]


@register("ELU")
class ELU(FormulaLayer):
    """x above 0, alpha * (exp(x) - 1) elsewhere; the gradient at 0 is alpha."""

    def compute(self, x: Tensor) -> Tensor:
        return F.elu(x, self.layer_param.elu_param.alpha)

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        return torch.where(x > 0, dy, dy * (self.layer_param.elu_param.alpha + y))


@register("AbsVal")
class AbsVal(TensorLayer):
    """|x|; the gradient at 0 is 0."""

    def compute(self, x: Tensor) -> Tensor:
        return x.abs()


@register("BNLL")
class BNLL(TensorLayer):
    """Binomial normal log likelihood, log(1 + exp(x)), for any x."""

    needs_overwritten = False

    def compute(self, x: Tensor) -> Tensor:
        return F.softplus(x)


@register("Clip")
class Clip(TensorLayer):
    """x, but at most max and then at least min; the gradient at both ends is 1.

    With a min above max, as in Caffe, that is min everywhere, without a gradient.
    """

    needs_overwritten = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.clip_param
        missing = [name for name in ("min", "max") if not p.HasField(name)]
        if missing:
            raise self.error(f"expected clip_param with min and max, without {missing}")

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.clip_param
        return x.clamp(p.min, p.max) if p.min <= p.max else torch.full_like(x, p.min)


@register("Sigmoid")
class Sigmoid(FormulaLayer):
    """1 / (1 + exp(-x))."""

    def compute(self, x: Tensor) -> Tensor:
        return x.sigmoid()

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        return torch.ops.aten.sigmoid_backward(dy, y)


@register("Swish")
class Swish(KeepingLayer):
    """x / (1 + exp(-beta x)); it keeps the sigmoid."""

    def compute(self, x: Tensor) -> Tensor:
        return x * self._sigmoid(x)

    def _sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layer_param.swish_param.beta * x)

    def run(self, x: Tensor) -> tuple[Tops, object]:
        sigmoid = self._sigmoid(x)
        return (x * sigmoid,), sigmoid

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        y = self.layer_param.swish_param.beta * top[0]
        return [diffs[0] * (y + self.kept * (1 - y)) if wanted[0] else None]


@register("TanH")
class TanH(FormulaLayer):
    """tanh(x)."""

    def compute(self, x: Tensor) -> Tensor:
        return x.tanh()

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        return torch.ops.aten.tanh_backward(dy, y)


@register("Threshold")
class Threshold(TensorLayer):
    """1 above the threshold, 0 up to it; without a gradient."""

    no_gradient = (0,)
    needs_overwritten = False

    def compute(self, x: Tensor) -> Tensor:
        return (x > self.layer_param.threshold_param.threshold).to(x.dtype)


@register("Dropout")
class Dropout(TensorLayer):
    """In training, zero each value with probability dropout_ratio and divide the others by
    1 - dropout_ratio, so that testing passes values on as they are. With Faster R-CNN's field
    scale_train false, both are multiplied by 1 - dropout_ratio: only testing scales."""

    @property
    def drops(self) -> bool:
        """Whether it zeroes values: in training, or always (Bayesian SegNet's field)."""
        return self.phase == TRAIN or self.layer_param.dropout_param.sample_weights_test

    @property
    def keeps_state(self) -> bool:
        return self.drops       # which values it has zeroed

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        if not 0 <= self.ratio <= 1 or self.ratio == 1 and self.drops:
            raise self.error(f"expected dropout_ratio in [0, 1), got {self.ratio}")

    def compute(self, x: Tensor) -> Tensor:
        y = F.dropout(x, self.ratio, training=self.drops)
        return y if self.layer_param.dropout_param.scale_train else y * (1 - self.ratio)
