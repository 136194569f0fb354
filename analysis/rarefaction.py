"""Dense prediction from a coarse net, in the two ways of the paper (section 3.2).

Shift-and-stitch runs the net, of stride f, on f² shifted images and interlaces the outputs.
Filter rarefaction, the à trous algorithm, does it in one pass: strides go, and every later filter
is spread out instead, its taps as far apart as the strides that were taken away,

    f'_ij = f_(i/s, j/s) where s divides i and j, else 0.

Both give the same numbers where no layer but the first pads: padding further up begins at the
border of each shifted image, but only once in the rarefied net.
"""

import numpy as np

from fcn.analysis.geometry import window

# layers that treat every place alike
POINTWISE = {"ReLU", "Dropout", "LRN", "Power", "Scale", "Bias", "BatchNorm", "PReLU", "ELU",
             "Sigmoid", "TanH", "Softmax", "Concat", "Eltwise", "Split"}


class RarefactionError(ValueError):
    """A net that cannot be rarefied as asked."""


def rarefy(net, stride=1):
    """The net whose output has `stride`, from one of a larger stride; weights fit unchanged.

    The first strides stay, up to a product of `stride`; the others are taken away. Max pooling
    with spread-out taps, which Caffe has not got, becomes the Python layer
    analysis.layers.DilatedMaxPooling.

    net : NetParameter without layers that interpolate: a trunk with its scores
    Returns a new NetParameter. Raises RarefactionError for a layer that has no rarefied form, and
    if no first strides have that product.
    """
    rare = type(net)()
    rare.CopyFrom(net)
    found = {}      # {blob: (stride that stays, dilation)}
    for layer in rare.layer:
        bottoms = {found[name] for name in layer.bottom} or {(1, 1)}
        if len(bottoms) > 1:
            raise RarefactionError(f"layer '{layer.name}': its bottoms have different strides")
        place = bottoms.pop()
        if layer.type in ("Convolution", "Pooling"):
            place = _spread(layer, *place, stride)
        elif layer.type != "Input" and layer.type not in POINTWISE:
            raise RarefactionError(f"layer '{layer.name}': {layer.type} has no rarefied form")
        found.update(dict.fromkeys(layer.top, place))
    return rare


def _spread(layer, kept, dilation, wanted):
    """Rarefy a layer in place; returns what (kept, dilation) are after it."""
    kernel, stride, pad, own = window(layer)
    if dilation == 1 and kept * stride <= wanted:
        return kept * stride, 1
    if kept != wanted:
        raise RarefactionError(f"layer '{layer.name}': its stride of {stride} makes "
                               f"{kept * stride}; the net cannot have a stride of {wanted}")
    if layer.type == "Convolution":
        param = layer.convolution_param
        for values, value in ((param.stride, 1), (param.pad, dilation * pad),
                              (param.dilation, dilation * own)):
            values[:] = [value]
    elif dilation == 1:
        layer.pooling_param.stride = 1
    else:
        _spread_pooling(layer, kernel, dilation, pad)
    return kept, dilation * stride


def _spread_pooling(layer, kernel, dilation, pad):
    param = layer.pooling_param
    if param.pool != param.MAX:
        raise RarefactionError(f"layer '{layer.name}': only max pooling has a rarefied form")
    layer.type = "Python"
    layer.ClearField("pooling_param")
    layer.python_param.module = "fcn.analysis.layers"
    layer.python_param.layer = "DilatedMaxPooling"
    layer.python_param.param_str = str(dict(kernel=kernel, dilation=dilation, pad=dilation * pad))


def fitting_side(field, stride, step, samples):
    """The side of an image of which shift_and_stitch makes `samples` dense ones along each side.

    field : the receptive field of the net. Raises ValueError unless all shifts give equally many.
    """
    if samples * step % stride:
        raise ValueError(f"{samples} samples {step} px apart are no multiple of the stride "
                         f"{stride}")
    return field + (samples - 1) * step


def shift_and_stitch(net, image, stride, step=1):
    """The output of a net at every `step` pixels, from (stride / step)² passes over shifted crops.

    net : caffe.Net with one input and one output, of `stride`
    image : (channels, height, width), of sides as `fitting_side` gives them: with others Caffe's
        pooling clips its last windows, and differently in every crop
    Returns (channels of the output, rows, columns); sample (i, j) has its receptive field
    step · (i, j) pixels from that of sample (0, 0).
    """
    (data,), (output,) = ([net.blobs[name] for name in names] for names in (net.inputs,
                                                                            net.outputs))
    shifts = range(0, stride, step)
    height, width = (side - shifts[-1] for side in image.shape[1:])
    data.reshape(1, len(image), height, width)
    net.reshape()
    _, channels, rows, columns = output.data.shape
    stitched = np.empty((channels, rows, len(shifts), columns, len(shifts)), np.float32)
    for i, down in enumerate(shifts):
        for j, right in enumerate(shifts):
            data.data[0] = image[:, down:down + height, right:right + width]
            net.forward()
            stitched[:, :, i, :, j] = output.data[0]
    return stitched.reshape(channels, rows * len(shifts), columns * len(shifts))
