"""Which pixels a sample of a blob depends on, worked out from the prototxt alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from fcn import surgery
from fcn.solvers.inference import trust
from segdata.errors import UserError

# layers whose sample i depends on samples i of their bottoms alone; types as `trust` spells them
_POINTWISE = """
    absval argmax batchnorm bias bn bnll clip concat dropout eltwise elu exp input log lrn power
    prelu relu relu6 scale sigmoid silence slice softmax split swish tanh threshold"""
POINTWISE = frozenset(_POINTWISE.split())
SLIDING = frozenset(["convolution", "convolutiondepthwise", "deconvolution",
                     "depthwiseconvolution", "im2col", "pooling"])
ACROSS_SPACE = {"concat": ("concat_param", "axis"), "slice": ("slice_param", "axis"),
                "softmax": ("softmax_param", "axis"), "argmax": ("argmax_param", "axis")}


class NotLocal(UserError):
    """A net of which a part of an image gives other scores than the whole image does there."""


class Field(NamedTuple):
    """Along one axis: sample i depends on the pixels i·stride + first to i·stride + last, and on
    `side` of them at most: behind a Deconvolution, where each sample begins depends on i."""
    stride: Fraction = Fraction(1)
    first: Fraction = Fraction(0)
    last: Fraction = Fraction(0)
    side: Fraction = Fraction(1)

    @property
    def centre(self) -> Fraction:
        return (self.first + self.last) / 2


PIXELS = Field()


class Reach(NamedTuple):
    """Along one axis, in pixels: how far before and behind itself a score looks, and the multiples
    at which a part of an image may begin so that all samples lie as in the whole."""
    before: int
    behind: int
    unit: int


def reaches(prototxt: str | Path, blob: str, margin: int = 0) -> tuple[Reach, Reach]:
    """The Reach of a blob with a sample for each pixel, along height and width.

    margin : pixels that the net's images have around those of the blob

    Raises NotLocal, naming the layer, where that has none: a score depends on the whole image, or
    where it lies depends on the size of the image.
    """
    layers = [layer for layer in trust.layers_of(Path(prototxt)) if _is_for_test(layer)]
    image = Field(first=Fraction(-margin), last=Fraction(-margin))
    return _reach(prototxt, layers, blob, 0, image), _reach(prototxt, layers, blob, 1, image)


def _reach(prototxt: str | Path, layers: Sequence[Any], blob: str, axis: int, image: Field
           ) -> Reach:
    of_layers = fields_of(layers, axis, image)
    unit = math.lcm(*(field.stride.numerator for field in of_layers if isinstance(field, Field)))
    of_blobs = {top: field for layer, field in zip(layers, of_layers) for top in layer.top}
    field = of_blobs.get(blob, image)
    if isinstance(field, Field) and field.stride != 1:
        field = f"blob '{blob}' has a sample for every {field.stride} pixels"
    if isinstance(field, str):
        raise NotLocal(f"{prototxt}: {field}, so that tiles would not give what the whole image "
                       "gives")
    return Reach(max(0, math.ceil(-field.first)), max(0, math.ceil(field.last)), unit)


def _upsampled(layer: Any, bottoms: Sequence[Field], pooling: Any, axis: int) -> Field:
    """Of Upsample, whose samples come from the windows of the pooling that made its mask."""
    param = layer.upsample_param
    name = f"scale_{'hw'[axis]}"
    scale = getattr(param, name) if param.HasField(name) else param.scale
    if param.HasField("upsample_h") or param.pad_out_h or param.pad_out_w:
        raise ValueError("has a top of one size, or of an odd one")
    if pooling is None or trust.type_of(pooling) != "pooling" or [
            of_axis(pooling.pooling_param, *each, axis)
            for each in (("kernel", 1), ("stride", 1), ("pad", 0))] != [scale, scale, 0]:
        raise ValueError(f"has a mask that is not of a pooling with kernel and stride {scale}")
    field = _joint(bottoms)
    step = field.stride / scale
    return Field(step, field.first - (scale - 1) * step, field.last, field.side)


def fields_of(layers: Sequence[Any], axis: int, image: Field = PIXELS) -> list[Field | str]:
    """Of the tops of each layer the Field along height (axis 0) or width (1), or why there is
    none.

    image : the Field of blobs that no layer makes
    """
    of_blobs: dict[str, Field | str] = {}
    found: list[Field | str] = []
    makers = {top: layer for layer in layers for top in layer.top}
    for layer in layers:
        bottoms = [of_blobs.get(name, image) for name in layer.bottom] or [image]
        reason = next((field for field in bottoms if isinstance(field, str)), None)
        try:
            known = [field for field in bottoms if isinstance(field, Field)]
            top = reason or (_upsampled(layer, known, makers.get(layer.bottom[-1]), axis)
                             if trust.type_of(layer) == "upsample" else
                             _through(layer, known, axis))
        except ValueError as error:
            top = f"layer '{layer.name}' ({trust.type_of(layer)}) {error}"
        of_blobs.update(dict.fromkeys(layer.top, top))
        found.append(top)
    return found


def _is_for_test(layer: Any) -> bool:
    """Whether a layer is in the net of the TEST phase."""
    from caffe.proto import caffe_pb2
    return not any(rule.HasField("phase") and rule.phase == caffe_pb2.TRAIN
                   for rule in getattr(layer, "include", ()))


def _through(layer: Any, bottoms: list[Field], axis: int) -> Field:
    """The Field of a layer's tops. Raises ValueError, the end of a sentence, where it has none."""
    kind = trust.type_of(layer)
    if kind == "crop":
        return _crop(layer, bottoms, axis)
    if kind == "interp":
        return _interp(layer.interp_param, bottoms[0])
    if kind in SLIDING:
        return _window(layer, kind, bottoms[0], axis)
    if kind not in POINTWISE:
        raise ValueError("may look at the whole image")
    if kind in ACROSS_SPACE:
        name, number = ACROSS_SPACE[kind]
        param = getattr(layer, name)
        if param.HasField(number) and getattr(param, number) not in (1, -3):
            raise ValueError(f"works along axis {getattr(param, number)}")
    if kind == "batchnorm" and layer.batch_norm_param.HasField("use_global_stats") \
            and not layer.batch_norm_param.use_global_stats:
        raise ValueError("takes its statistics from the whole image")
    if kind == "bn" and surgery.learns_statistics(layer):
        raise ValueError("takes its statistics from the whole image: bn_mode: LEARN")
    joint = _joint(bottoms)
    if kind == "lrn" and layer.lrn_param.norm_region == layer.lrn_param.WITHIN_CHANNEL:
        reach = (layer.lrn_param.local_size - 1) // 2 * joint.stride
        return Field(joint.stride, joint.first - reach, joint.last + reach, joint.side + 2 * reach)
    return joint


def _joint(bottoms: Sequence[Field]) -> Field:
    """What samples of one number depend on together."""
    if len({field.stride for field in bottoms}) > 1:
        raise ValueError("joins blobs of the strides "
                         f"{', '.join(str(field.stride) for field in bottoms)}")
    return Field(bottoms[0].stride, min(field.first for field in bottoms),
                 max(field.last for field in bottoms), max(field.side for field in bottoms))


def _crop(layer: Any, bottoms: Sequence[Field], axis: int) -> Field:
    """A Crop without crop_param begins at 0, or, in forks of 2015, where the centres meet."""
    field = bottoms[0]
    if layer.HasField("crop_param"):
        start = layer.crop_param.axis % 4
        if start > 2 + axis:
            return field
        given = tuple(layer.crop_param.offset) or (0,)
        offsets = {given[0] if len(given) == 1 else given[2 + axis - start]}
    else:
        offsets = {0, (bottoms[1].centre - field.centre) / field.stride}
    return Field(field.stride, field.first + min(offsets) * field.stride,
                 field.last + max(offsets) * field.stride, field.side)


def _interp(param: Any, field: Field) -> Field:
    """Interp by a whole factor; where the samples of any other lie depends on the image's size."""
    if not param.HasField("zoom_factor") or param.HasField("shrink_factor"):
        raise ValueError("puts its samples where the size of the image says")
    first = field.first - param.pad_beg * field.stride
    last = field.last - param.pad_beg * field.stride
    between = field.stride * (param.zoom_factor - 1) / param.zoom_factor
    return Field(field.stride / param.zoom_factor, first - between, last + between,
                 field.side + (field.stride if param.zoom_factor > 1 else 0))


def _window(layer: Any, kind: str, field: Field, axis: int) -> Field:
    """Of a window that slides over the bottom, or of a Deconvolution, over the top."""
    param = layer.pooling_param if kind == "pooling" else getattr(layer, "convolution_param", None)
    if param is None:
        raise ValueError("is of a form before `layers { type: CONVOLUTION }`; rewrite the file "
                         "with `caffe upgrade_net_proto_text`")
    if getattr(param, "global_pooling", False):
        raise ValueError("looks at the whole image")
    kernel, stride, pad = (of_axis(param, name, default, axis) for name, default in (
        ("kernel", 1), ("stride", 1), ("pad", 0)))
    holes = of_axis(param, "dilation", 1, axis) * of_axis(param, "hole", 1, axis)
    extent = holes * (kernel - 1)
    if kind == "deconvolution":
        step = field.stride / stride
        return Field(step, field.first + (pad - extent) * step, field.last + pad * step,
                     field.side + extent // stride * field.stride)
    return Field(field.stride * stride, field.first - pad * field.stride,
                 field.last + (extent - pad) * field.stride, field.side + extent * field.stride)


def of_axis(param: Any, prefix: str, default: int, axis: int) -> int:
    """A window's kernel, stride, pad, dilation or hole (`prefix`) along height (axis 0) or width
    (1), however the prototxt says it; `default` where it does not."""
    for name in (f"{prefix}_{'hw'[axis]}", f"{prefix}_size", prefix):
        value = getattr(param, name, None)
        if isinstance(value, int):
            if param.HasField(name):
                return value
        elif value:
            return value[0] if len(value) == 1 else value[axis]
    return default
