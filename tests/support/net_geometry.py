"""What a net is, worked out from its message alone: where samples lie, what they see, weights."""

from typing import NamedTuple


class Place(NamedTuple):
    """Of a blob: channels; and in pixels of the input the stride, the receptive field (up to the
    first deconvolution) and the centre of the first sample."""
    channels: int
    stride: float
    field: int
    centre: float


def places(net):
    """{blob: Place} of every blob before the first InnerProduct."""
    found = {}
    for layer in net.layer:
        if layer.type == "InnerProduct":
            break
        found[layer.top[0]] = _place(layer, [found[name] for name in layer.bottom])
    return found


def _place(layer, bottoms):
    if layer.type == "Input":
        return Place(layer.input_param.shape[0].dim[1], 1, 1, 0)
    place = bottoms[0] if layer.type == "Crop" else max(bottoms, key=lambda place: place.field)
    if layer.type == "Concat":
        return place._replace(channels=sum(bottom.channels for bottom in bottoms))
    if layer.type == "Crop":
        return place._replace(centre=place.centre + layer.crop_param.offset[0] * place.stride)
    if layer.type not in ("Convolution", "Pooling", "Deconvolution"):
        return place
    kernel, step, pad = window(layer)
    channels = (place.channels if layer.type == "Pooling"
                else layer.convolution_param.num_output)
    if layer.type == "Deconvolution":
        stride = place.stride / step
        return Place(channels, stride, place.field,
                     place.centre - ((kernel - 1) / 2 - pad) * stride)
    return Place(channels, place.stride * step, place.field + (kernel - 1) * place.stride,
                 place.centre + ((kernel - 1) / 2 - pad) * place.stride)


def window(layer):
    """(kernel, stride, pad) of a convolution, deconvolution or pooling."""
    if layer.type == "Pooling":
        param = layer.pooling_param
        return param.kernel_size, param.stride, param.pad
    param = layer.convolution_param
    stride, pad = (list(values) or [default] for values, default in ((param.stride, 1),
                                                                     (param.pad, 0)))
    return param.kernel_size[0], stride[0], pad[0]


def learned(net):
    """How many weights and biases the convolutions have in all."""
    found, total = places(net), 0
    for layer in net.layer:
        if layer.type == "Convolution":
            param = layer.convolution_param
            inputs = found[layer.bottom[0]].channels // param.group
            total += param.num_output * (inputs * param.kernel_size[0] ** 2 + 1)
    return total
