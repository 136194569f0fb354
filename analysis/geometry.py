"""What a net is, from its message alone: strides, receptive fields, numbers of parameters."""

from typing import NamedTuple


class Window(NamedTuple):
    """Of a convolution or pooling, in samples of its bottom."""
    kernel: int
    stride: int
    pad: int
    dilation: int


class Place(NamedTuple):
    """Of a blob: its channels; stride and side of the receptive field in pixels of the input."""
    channels: int
    stride: int = 1
    field: int = 1


def window(layer):
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


def places(net):
    """{blob: Place} of a NetParameter, up to its first InnerProduct or Deconvolution."""
    found = {}
    for layer in net.layer:
        if layer.type in ("InnerProduct", "Deconvolution"):
            break
        if layer.type == "Input":
            place = Place(layer.input_param.shape[0].dim[1])
        else:
            place = _place(layer, [found[name] for name in layer.bottom])
        found[layer.top[0]] = place
    return found


def _place(layer, bottoms):
    place = max(bottoms, key=lambda place: place.field)
    if layer.type == "Concat":
        return place._replace(channels=sum(bottom.channels for bottom in bottoms))
    if layer.type not in ("Convolution", "Pooling"):
        return place
    kernel, stride, _, dilation = window(layer)
    channels = place.channels if layer.type == "Pooling" else layer.convolution_param.num_output
    return Place(channels, place.stride * stride,
                 place.field + dilation * (kernel - 1) * place.stride)


def parameters(net):
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
