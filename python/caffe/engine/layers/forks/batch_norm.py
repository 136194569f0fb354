"""The two layers of forks that are called BN: that of PSPNet and ICNet, and that of SegNet, ENet
and DeconvNet. They are told apart by their fields and their number of parameters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ....context import TRAIN
from ....errors import LayerError
from ....proto import caffe_pb2
from ....proto.caffe_pb2 import BNParameter, FillerParameter
from ..formulas import KeepingLayer
from ..registry import register
from ..types import Blobs, Flags, Gradients, Shapes, Tensors, Tops

_FIELDS = {"PSPNet": ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine"),
           "SegNet": ("scale_filler", "shift_filler", "bn_mode")}
_PARAMETERS = {"PSPNet": 4, "SegNet": 2}
HAVE = "PSPNet's and ICNet's BN has 4, that of SegNet, ENet and DeconvNet 2"


def kind_of(layer_param: caffe_pb2.LayerParameter) -> str | None:
    """Whose BN a layer is, PSPNet's or SegNet's, by its fields; None if these do not tell."""
    p = layer_param.bn_param
    found = [kind for kind, fields in _FIELDS.items() if any(map(p.HasField, fields))]
    if len(found) == 2:
        given = [field.name for field, _ in p.ListFields()]
        raise LayerError(f"bn_param mixes the fields of two layers, {given}: PSPNet's BN has "
                         f"{', '.join(_FIELDS['PSPNet'])}, SegNet's "
                         f"{', '.join(_FIELDS['SegNet'])}")
    if found:
        return found[0]
    if len(layer_param.top) > 1 or len(layer_param.blobs) == 2:
        return "SegNet"
    return "PSPNet" if len(layer_param.blobs) == 4 or len(layer_param.param) > 2 else None


def decide_kinds(param: caffe_pb2.NetParameter, weights: Mapping[str, int]) -> None:
    """Write into each BN of a net, in place, whose it is, where its fields do not tell.

    weights : the number of parameters that a file of weights has for each layer. Where it has
        none for a BN, the other BNs of the net decide, if they are all of one kind.

    Raises LayerError where nothing decides, and the file has another number than either has.
    """
    layers = [layer for layer in param.layer if layer.type == "BN"]
    known = {each for layer in layers if (each := _kind_or_none(layer))}
    by_count = {count: kind for kind, count in _PARAMETERS.items()}
    for layer in layers:
        if _kind_or_none(layer) is None and not any(
                map(layer.bn_param.HasField, sum(_FIELDS.values(), ()))):
            count = weights.get(layer.name, 0)
            kind = by_count.get(count) or (next(iter(known)) if len(known) == 1 else None)
            if count and not kind:
                raise LayerError(f"layer '{layer.name}' (BN): the weights have {count} parameters "
                                 f"for it; {HAVE}")
            if kind == "PSPNet":
                layer.bn_param.frozen = False
            elif kind:
                layer.bn_param.bn_mode = BNParameter.LEARN


def _kind_or_none(layer: caffe_pb2.LayerParameter) -> str | None:
    try:
        return kind_of(layer)
    except LayerError:
        return None     # the layer tells when it is made


@register("BN")
def bn(layer_param: caffe_pb2.LayerParameter) -> BN:
    """The BN that a LayerParameter describes."""
    kind = kind_of(layer_param)
    if kind is None:
        raise LayerError("two forks have a layer BN, and bn_param does not tell which this is. "
                         "Give bn_param { frozen: false } for that of PSPNet and ICNet (4 "
                         "parameters), bn_param { bn_mode: LEARN } for that of SegNet, ENet and "
                         "DeconvNet (2 parameters), or weights, whose number of parameters tells: "
                         "caffe.Net(prototxt, weights, phase)")
    return PSPNetBN(layer_param) if kind == "PSPNet" else SegNetBN(layer_param)


class BN(KeepingLayer):
    """(x - mean) / sqrt(variance + eps) * parameter 0 + parameter 1 for each channel; parameters
    are (1, channels, 1, 1). Variances are biased: divided by the number of values.

    Like all layers here, it adds up the gradients of its parameters.
    """

    learns = False      # whether testing, too, takes statistics of the batch

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        shape = bottom[0].shape
        if not 2 <= len(shape) <= 4:
            raise self.error(f"expected a bottom of 2 to 4 axes, got {shape}")
        self.channels = shape[1]

    def add_params(self, *fillers: FillerParameter) -> None:
        """A parameter for each filler."""
        for filler in fillers:
            self.add_param((1, self.channels, 1, 1), filler)

    def shapes(self, bottom: Shapes) -> Shapes:
        if bottom[0][1:2] != (self.channels,):
            raise self.error(f"parameters of {self.channels} channels do not fit {bottom[0]}")
        return [bottom[0], *[(1, self.channels, 1, 1)] * (len(self.layer_param.top) - 1)]

    def compute(self, x: Tensor) -> Tensor | Tops:
        tops = self.run(x)[0]
        return tops[0] if len(tops) == 1 else tops

    def measure(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and variance of each channel, (1, channels, 1, 1)."""
        planes = self.planes(x)
        mean = planes.mean((0, 2, 3), keepdim=True)
        return mean, (planes - mean).square().mean((0, 2, 3), keepdim=True)

    def normalized(self, x: Tensor, mean: Tensor, variance: Tensor, eps: float
                   ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The top, and what to keep: x normalized, and the deviation."""
        deviation = (variance + eps).sqrt()
        unit = (self.planes(x) - mean) / deviation
        slope, bias = self.weights[:2]
        return (unit * slope + bias).reshape(x.shape), (unit, deviation)

    def by_statistics(self, dy: Tensor, wanted: Flags) -> tuple:
        """The gradients by the bottom, with the mean and the variance following it, and by both
        parameters."""
        (unit, deviation), dy = self.kept, self.planes(dy)
        by_slope, by_bias = ((values.sum((0, 2, 3), keepdim=True)) for values in (dy * unit, dy))
        by_x = None
        if wanted[0]:
            mean = dy.shape.numel() // self.channels
            by_x = (dy - by_bias / mean - unit * (by_slope / mean)) * self.weights[0] / deviation
        return by_x, by_slope if wanted[1] else None, by_bias if wanted[2] else None

    @staticmethod
    def planes(x: Tensor) -> Tensor:
        """`x` with 4 axes."""
        return x.reshape(*x.shape, *(1,) * (4 - x.dim()))


class PSPNetBN(BN):
    """BN of PSPNet: in training with the statistics of the batch, which the running ones follow
    (parameters 2 and 3: momentum times the old one plus 1 - momentum times the new one); in
    testing, and always if `frozen`, with the running ones.

    No solver updates parameters 2 and 3, and none at all if `frozen`.
    """

    measured: Tensors = ()      # of the last batch

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        p = self.layer_param.bn_param
        # as in the original, a slope without a filler starts at 0
        self.add_params(p.slope_filler, p.bias_filler, FillerParameter(),
                        FillerParameter(value=1 if p.frozen else 0))
        while len(self.layer_param.param) < len(self.blobs):
            self.layer_param.param.add()
        for spec in list(self.layer_param.param)[0 if p.frozen else 2:]:
            spec.lr_mult = spec.decay_mult = 0

    def run(self, x: Tensor) -> tuple[Tops, object]:
        p = self.layer_param.bn_param
        if self.phase == TRAIN and not p.frozen and x.numel():
            mean, variance = self.measure(x)
            self.follow((mean.detach(), variance.detach()))
        else:
            mean, variance = (blob.data_tensor for blob in self.blobs[2:])
        y, kept = self.normalized(x, mean, variance, p.eps)
        return (y,), kept

    def follow(self, measured: Tensors) -> None:
        """Have the running mean and variance follow those of a batch."""
        self.measured, momentum = measured, self.layer_param.bn_param.momentum
        for blob, value in zip(self.followers, measured):
            blob.data_tensor.mul_(momentum).add_(value, alpha=1 - momentum)

    @property
    def followers(self) -> Blobs:
        """The parameters that follow the statistics of each batch."""
        return [] if self.phase != TRAIN or self.layer_param.bn_param.frozen else self.blobs[2:]

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        """In testing without `frozen`, too, as in the original, as if the statistics were those
        of the batch."""
        if self.layer_param.bn_param.frozen:
            dx = self.planes(diffs[0]) * self.weights[0] / self.kept[1]
            return [dx.reshape(bottom[0].shape) if wanted[0] else None]
        by_x, by_slope, by_bias = self.by_statistics(diffs[0], wanted)
        return [None if by_x is None else by_x.reshape(bottom[0].shape), by_slope, by_bias]


class SegNetBN(BN):
    """BN of SegNet: LEARN takes the statistics of the batch, in training and testing alike, and
    gives them as the optional tops 1 (mean) and 2 (variance); INFERENCE is x * parameter 0 +
    parameter 1 alone.

    In place it keeps the values that it overwrites.
    """

    tops = (1, 3)
    eps = 1e-9

    @property
    def keeps_state(self) -> bool:
        return self.learns or self.is_in_place

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        self.learns = self.layer_param.bn_param.bn_mode == BNParameter.LEARN
        if len(top) > 1 and not self.learns:
            raise self.error("only bn_mode: LEARN has statistics for further tops")
        p = self.layer_param.bn_param
        self.add_params(p.scale_filler, p.shift_filler)

    def run(self, x: Tensor) -> tuple[Tops, object]:
        if not self.learns:
            scale, shift = self.weights
            y = (self.planes(x) * scale + shift).reshape(x.shape)
            return (y,), x if self.is_in_place else None
        mean, variance = self.measure(x)
        y, kept = self.normalized(x, mean, variance, self.eps)
        # clones, as tops may not be what is kept
        return (y, mean.clone(), variance.clone())[:len(self.layer_param.top)], kept

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        if self.learns:
            by_x, by_scale, by_shift = self.by_statistics(diffs[0], wanted)
        else:
            dy = self.planes(diffs[0])
            x = self.planes(self.kept if self.is_in_place else bottom[0])
            by_x = dy * self.weights[0] if wanted[0] else None
            by_scale, by_shift = (values.sum((0, 2, 3), keepdim=True) if wants else None
                                  for values, wants in zip((dy * x, dy), wanted[1:]))
        return [None if by_x is None else by_x.reshape(bottom[0].shape), by_scale, by_shift]
