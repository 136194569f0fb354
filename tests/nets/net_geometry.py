"""What a net is, worked out from its message alone: channels, strides, receptive fields, weights."""

from typing import NamedTuple


class Place(NamedTuple):
    """Of a blob: channels, and stride and receptive field in pixels of the input."""
    channels: int
    stride: int
    field: int


def places(net):
    """{blob: Place} of every blob before the first Deconvolution or InnerProduct."""
    found = {}
    for layer in net.layer:
        if layer.type in ("Deconvolution", "InnerProduct"):
            break
        bottoms = [found[name] for name in layer.bottom]
        found[layer.top[0]] = _place(layer, bottoms)
    return found


def _place(layer, bottoms):
    if layer.type == "Input":
        return Place(layer.input_param.shape[0].dim[1], 1, 1)
    channels, stride, field = max(bottoms, key=lambda place: place.field)
    if layer.type == "Concat":
        channels = sum(place.channels for place in bottoms)
    if layer.type in ("Convolution", "Pooling"):
        kernel, step = window(layer)
        stride, field = stride * step, field + (kernel - 1) * stride
    if layer.type == "Convolution":
        channels = layer.convolution_param.num_output
    return Place(channels, stride, field)


def window(layer):
    """(kernel, stride) of a convolution or pooling."""
    if layer.type == "Pooling":
        return layer.pooling_param.kernel_size, layer.pooling_param.stride
    param = layer.convolution_param
    return param.kernel_size[0], param.stride[0] if param.stride else 1


def learned(net):
    """How many weights and biases the convolutions have in all."""
    found, total = places(net), 0
    for layer in net.layer:
        if layer.type == "Convolution" and layer.bottom[0] in found:
            param = layer.convolution_param
            inputs = found[layer.bottom[0]].channels // param.group
            total += param.num_output * (inputs * param.kernel_size[0] ** 2 + 1)
    return total
