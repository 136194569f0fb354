"""The layers of a net in order: what each makes of its bottoms, with shapes, parameters, fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fcn import surgery
from fcn.solvers.inference.fields import Field, fields_of, of_axis

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

Pair = tuple[float, float]      # height, width


@dataclass
class LayerRow:
    """A layer. after : types of layers that work in place behind it; bottoms : the numbers of the
    rows that it takes; shape : of its top; parameters : their number; field : the pixels that a
    value of its top sees, along height and width"""
    name: str
    type: str
    what: str
    bottoms: list[int]
    shape: tuple[int, ...]
    parameters: int
    field: Pair
    after: list[str]


def rows(param: caffe_pb2.NetParameter, net: caffe.Net) -> list[LayerRow]:
    """The rows of a net, which has been made of `param` (a deploy prototxt: with Input layers)."""
    made: list[LayerRow] = []
    maker: dict[str, int] = {}          # of each blob: its row
    fields, sizes = zip(*(fields_of(param.layer, axis) for axis in (0, 1))), _sizes(param)
    for layer, (vertical, horizontal) in zip(param.layer, fields):
        count = sum(math.prod(shape_of(blob)) for blob in surgery.layer_parameters(
            net, layer.name)) if layer.name in net.params else 0
        bottoms = [maker[name] for name in layer.bottom if name in maker]
        if list(layer.top) == list(layer.bottom) and bottoms:
            made[bottoms[0]].after.append(layer.type)
            made[bottoms[0]].parameters += count
            continue
        top = layer.top[0] if layer.top else ""
        shape = shape_of(net.blobs[top]) if top in net.blobs else ()
        what = "only its size is used, by Crop" if top in sizes else _what(layer)
        made.append(LayerRow(layer.name, layer.type, what, bottoms, shape, count,
                             (_seen(vertical), _seen(horizontal)), []))
        maker.update(dict.fromkeys(layer.top, len(made) - 1))
    return made


def _sizes(param: caffe_pb2.NetParameter) -> set[str]:
    """The blobs that Crop layers alone take, to crop another to their size."""
    taken = [(blob, layer.type == "Crop" and place == 1)
             for layer in param.layer for place, blob in enumerate(layer.bottom)]
    return {blob for blob, is_size in taken if is_size} - {
        blob for blob, is_size in taken if not is_size}


def shape_of(blob: caffe.Blob) -> tuple[int, ...]:
    """A blob's shape; its values are not touched, and so take no memory."""
    return tuple(int(blob.shape[i]) for i in range(len(blob.shape)))


def _seen(field: Field | str) -> float:
    """The pixels that a Field has along its axis, infinite where there is none: the whole image."""
    return float(field.side) if isinstance(field, Field) else math.inf


def _pair(param: Any, name: str) -> Pair:
    """The height and width of a kernel, stride or dilation, in any of the ways to say it."""
    if name == "dilation":      # or hole, DeepLab's word for it
        height, width = (of_axis(param, name, 1, axis) * of_axis(param, "hole", 1, axis)
                         for axis in (0, 1))
        return height, width
    return of_axis(param, name, 1, 0), of_axis(param, name, 1, 1)


def _what(layer: caffe_pb2.LayerParameter) -> str:
    """What a layer does, in a few signs: 3×3, stride 2."""
    if layer.type not in ("Convolution", "Pooling", "Deconvolution"):
        return ""
    param = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
    if getattr(param, "global_pooling", False):
        return "the whole image"
    parts = [side(_pair(param, "kernel"))]
    if (stride := _pair(param, "stride")) != (1, 1):
        parts.append("stride " + side(stride, square=False))
    if layer.type != "Pooling":
        if (dilation := _pair(param, "dilation")) != (1, 1):
            parts.append("dilation " + side(dilation, square=False))
        if param.group > 1:
            parts.append(f"{param.group} groups")
    return ", ".join(parts)


def side(pair: Pair, square: bool = True) -> str:
    """3×3; of equal numbers 3 alone, unless `square`."""
    if math.inf in pair:
        return "whole image"
    height, width = (f"{value:g}" for value in pair)
    return height if height == width and not square else f"{height}×{width}"
