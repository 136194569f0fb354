"""What a net is, from its message alone: strides, receptive fields, numbers of parameters."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from fcn.solvers.inference.fields import fields_of

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2


class Window(NamedTuple):
    """Of a convolution or pooling, in samples of its bottom."""
    kernel: int
    stride: int
    pad: int
    dilation: int


class Place(NamedTuple):
    """Of a blob: its channels; stride and side of the receptive field in pixels of the input."""
    channels: int
    stride: int
    field: int


def window(layer: caffe_pb2.LayerParameter) -> Window:
    """The Window of a Convolution or Pooling layer. Raises ValueError unless it is square."""
    param = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
    rectangular = any(param.HasField(name) for name in ("kernel_h", "kernel_w", "stride_h",
                                                        "stride_w", "pad_h", "pad_w"))
    if rectangular or getattr(param, "global_pooling", False):
        raise ValueError(f"layer '{layer.name}': expected a square kernel_size, got\n{param}")
    if layer.type == "Pooling":
        return Window(param.kernel_size, param.stride, param.pad, 1)
    values = [set(field) or {default} for field, default in (
        (param.kernel_size, 1), (param.stride, 1), (param.pad, 0), (param.dilation, 1))]
    if any(len(value) > 1 for value in values):
        raise ValueError(f"layer '{layer.name}': expected a square kernel_size, got\n{param}")
    return Window(*(value.pop() for value in values))


def places(net: caffe_pb2.NetParameter) -> dict[str, Place]:
    """{blob: Place} of a net, up to its first InnerProduct or Deconvolution.

    Raises ValueError, naming the layer, where a blob has no field, or none that is square.
    """
    layers = list(takewhile(lambda layer: layer.type not in ("InnerProduct", "Deconvolution"),
                            net.layer))
    found: dict[str, Place] = {}
    for layer, *fields in zip(layers, fields_of(layers, 0), fields_of(layers, 1)):
        field, across = fields
        if isinstance(field, str) or isinstance(across, str):
            raise ValueError(field if isinstance(field, str) else across)
        if field != across:
            raise ValueError(f"layer '{layer.name}': expected a square receptive field, got "
                             f"{field.side}×{across.side} (height × width), strides "
                             f"{field.stride} and {across.stride}")
        found[layer.top[0]] = Place(_channels(layer, found), int(field.stride), int(field.side))
    return found


def _channels(layer: caffe_pb2.LayerParameter, found: dict[str, Place]) -> int:
    if layer.type == "Input":
        return layer.input_param.shape[0].dim[1]
    if layer.type == "Convolution":
        return layer.convolution_param.num_output
    bottoms = [found[name].channels for name in layer.bottom]
    return sum(bottoms) if layer.type == "Concat" else bottoms[0]


def parameters(net: caffe_pb2.NetParameter) -> int:
    """How many weights and biases the convolutions have before the first deconvolution."""
    found = places(net)
    layers = [layer for layer in net.layer
              if layer.type == "Convolution" and layer.top[0] in found]
    total = 0
    for layer in layers:
        param = layer.convolution_param
        inputs = found[layer.bottom[0]].channels // param.group
        total += param.num_output * (inputs * window(layer).kernel ** 2 + param.bias_term)
    return total
