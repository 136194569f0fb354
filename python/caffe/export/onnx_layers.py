"""Which ONNX operations each of Caffe's own types of layers becomes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto

from ..engine.layers.kernels.windows import Windows
from ..proto.caffe_pb2 import EltwiseParameter, LRNParameter, PoolingParameter, ReductionParameter
from .onnx_graph import END, Graph, integers, sizes, weights, writes

LOWEST = np.finfo(np.float32).min


# what slides

@writes("Convolution", "Deconvolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(g: Graph, layer: Any, *bottoms: str) -> list[str]:
    if layer.axis != 1 or not layer.kernel:
        raise g.unsupported("this axis, or no spatial axes")
    operation = "ConvTranspose" if layer.type == "Deconvolution" else "Conv"
    names = [g.parameter(i, array) for i, array in enumerate(weights(layer))]
    return [g(operation, x, *names, strides=layer.stride, pads=layer.pad * 2,
              dilations=layer.dilation, group=layer.group, kernel_shape=layer.kernel)
            for x in bottoms]


@writes("Pooling")
def pooling(g: Graph, layer: Any, x: str) -> Any:
    p, w = layer.layer_param.pooling_param, layer.windows
    if p.pool == PoolingParameter.STOCHASTIC:
        raise g.unsupported("stochastic pooling")
    if len(g.spec.top) > 1:
        return _with_indices(g, layer, x)
    average = p.pool == PoolingParameter.AVE
    if p.global_pooling:
        return g("GlobalAveragePool" if average else "GlobalMaxPool", x)
    if not w.up or max(w.stride) == 1:      # no window leaves the padded image
        counted = {"count_include_pad": 1} if average else {}
        return _pool(g, x, w, average, pads=w.pad * 2, **counted)
    if not any(w.pad) and all(k >= s for k, s in zip(w.kernel, w.stride)):
        return _pool(g, x, w, average, ceil_mode=1)
    image = sizes(g, x, 2)
    count, over = _spans(g, image, w)
    pads = g("Concat", integers(0, 0, *w.pad, 0, 0), over, axis=0)
    y = _pool(g, g("Pad", x, pads, 0 if average else LOWEST), w, average)
    return _over_parts(g, y, image, count, w) if average else y


def _with_indices(g: Graph, layer: Any, x: str) -> list[str]:
    """Max pooling, and where in its plane each maximum is; ONNX counts over the planes of all."""
    w = layer.windows
    if layer.pool_param.global_pooling or any(w.pad) or any(
            k > s for k, s in zip(w.kernel, w.stride)):
        raise g.unsupported("the indices of maxima of windows that overlap, are padded, or are the "
                            "whole image")
    y, index = g("MaxPool", x, outputs=2, kernel_shape=w.kernel, strides=w.stride,
                 ceil_mode=int(w.up))
    plane = g("ReduceProd", sizes(g, x, 2), keepdims=0)
    return [y, g("Cast", g("Mod", index, plane), to=TensorProto.FLOAT)]


def _pool(g: Graph, x: str, w: Windows, average: bool, **attributes: Any) -> str:
    return g("AveragePool" if average else "MaxPool", x, kernel_shape=w.kernel, strides=w.stride,
             **attributes)


def _spans(g: Graph, image: str, w: Windows) -> tuple[str, str]:
    """For each axis, the number of windows, rounded up, and how far the last reaches over the
    image. Runtimes differ in what they make of ceil_mode with padding, so it is not used."""
    kernel, stride, pad = (np.array(each, np.int64) for each in (w.kernel, w.stride, w.pad))
    count = g("Add", g("Div", g("Add", image, 2 * pad - kernel + stride - 1), stride), integers(1))
    if any(w.pad):      # none begins behind image and padding
        count = g("Min", count, g("Div", g("Add", image, pad + stride - 1), stride))
    last = g("Mul", g("Sub", count, integers(1)), stride)
    return count, g("Max", g("Sub", g("Add", last, kernel - pad), image), integers(0))


def _over_parts(g: Graph, y: str, image: str, count: str, w: Windows) -> str:
    """Averages y over whole windows as averages over their parts inside the padded image."""
    for i, (k, s, pad) in enumerate(zip(w.kernel, w.stride, w.pad)):
        windows, n = (g("Gather", each, np.array(i)) for each in (count, image))
        start = g("Mul", g("Range", np.array(0), windows, np.array(1)), np.array(s))
        end = g("Min", g("Add", start, np.array(k)), g("Add", n, np.array(2 * pad)))
        part = g("Div", g("Cast", g("Sub", end, start), to=TensorProto.FLOAT), k)
        y = g("Div", y, g("Reshape", part, integers(-1, *[1] * (1 - i))))
    return y


# each value alone

@writes("ReLU")
def relu(g: Graph, layer: Any, x: str) -> str:
    slope = layer.layer_param.relu_param.negative_slope
    return g("LeakyRelu", x, alpha=slope) if slope else g("Relu", x)


@writes("PReLU")
def prelu(g: Graph, layer: Any, x: str) -> str:
    slope, = weights(layer)
    return g("PRelu", x, g.parameter(0, slope.reshape(slope.shape + (1,) * (g.rank() - 2))))


@writes("ELU")
def elu(g: Graph, layer: Any, x: str) -> str:
    return g("Elu", x, alpha=layer.layer_param.elu_param.alpha)


@writes("AbsVal", "BNLL", "Sigmoid", "TanH")
def plain(g: Graph, layer: Any, x: str) -> str:
    return g({"AbsVal": "Abs", "BNLL": "Softplus", "TanH": "Tanh"}.get(layer.type, layer.type), x)


@writes("Swish")
def swish(g: Graph, layer: Any, x: str) -> str:
    return g("Mul", x, g("Sigmoid", g("Mul", x, layer.layer_param.swish_param.beta)))


@writes("Clip")
def clip(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.clip_param
    return g("Clip", x, p.min, p.max)


@writes("Threshold")
def threshold(g: Graph, layer: Any, x: str) -> str:
    above = g("Greater", x, layer.layer_param.threshold_param.threshold)
    return g("Cast", above, to=TensorProto.FLOAT)


@writes("Power")
def power(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.power_param
    if p.scale * p.power == 0:
        return g("Expand", np.float32(p.shift) ** np.float32(p.power), g("Shape", x))
    y = _affine(g, x, p.scale, p.shift)
    return y if p.power == 1 else g("Pow", y, p.power)


@writes("Exp")
def exp(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.exp_param
    log_base = 1 if p.base == -1 else math.log(p.base)
    return g("Exp", _affine(g, x, p.scale * log_base, p.shift * log_base))


@writes("Log")
def log(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.log_param
    log_base = 1 if p.base == -1 else math.log(p.base)
    return _affine(g, g("Log", _affine(g, x, p.scale, p.shift)), 1 / log_base, 0)


def _affine(g: Graph, x: str, scale: float, shift: float) -> str:
    y = g("Mul", x, scale) if scale != 1 else x
    return g("Add", y, shift) if shift else y


@writes("Dropout", "Split")
def same(g: Graph, layer: Any, x: str) -> list[str]:
    if g.spec.dropout_param.sample_weights_test:
        raise g.unsupported("dropout that acts in testing; without sample_weights_test: true in "
                            "the prototxt the net says what it says on average")
    if not g.spec.dropout_param.scale_train:
        x = g("Mul", x, 1 - layer.ratio)
    return [x] * len(g.spec.top)


@writes("Silence")
def silence(g: Graph, layer: Any, *bottoms: str) -> list[str]:
    return []


# arithmetic

@writes("Eltwise")
def eltwise(g: Graph, layer: Any, *bottoms: str) -> str:
    p = layer.layer_param.eltwise_param
    if p.operation == EltwiseParameter.SUM:
        return g("Sum", *(_affine(g, x, scale, 0)
                          for x, scale in zip(bottoms, layer.coefficients)))
    if p.operation == EltwiseParameter.MAX:
        return g("Max", *bottoms)
    product, *others = bottoms
    for x in others:
        product = g("Mul", product, x)
    return product


@writes("Scale", "Bias")
def broadcast(g: Graph, layer: Any, x: str, *given: str) -> str:
    operands: list[Any] = [*given, *weights(layer)]
    operations = ["Mul", "Add"] if layer.type == "Scale" else ["Add"]
    for i, (operation, operand) in enumerate(zip(operations, operands)):
        rank = g.rank(1) if isinstance(operand, str) else operand.ndim
        behind = g.rank() - (layer.axis % g.rank() if rank else g.rank()) - rank
        if not isinstance(operand, str):
            operand = g.parameter(i - len(given), operand.reshape(operand.shape + (1,) * behind))
        elif behind:
            operand = g("Unsqueeze", operand, integers(*range(rank, rank + behind)))
        x = g(operation, x, operand)
    return x


@writes("InnerProduct")
def inner_product(g: Graph, layer: Any, x: str) -> str:
    matrix, *bias = weights(layer)
    if not layer.layer_param.inner_product_param.transpose:
        matrix = matrix.T
    rows = g("Reshape", x, integers(*[0] * layer.axis, layer.inputs))
    y = g("MatMul", rows, g.parameter(0, matrix))
    return g("Add", y, g.parameter(1, bias[0])) if bias else y


@writes("BatchNorm")
def batch_norm(g: Graph, layer: Any, x: str) -> str:
    if not layer.use_global_stats:
        raise g.unsupported("statistics of the batch")
    mean, variance, count = weights(layer)
    factor = 0 if count[0] == 0 else 1 / count[0]
    eps = layer.layer_param.batch_norm_param.eps
    if g.rank() < 2:        # one channel, and ONNX takes axis 1 for the channels
        return g("Div", g("Sub", x, mean * factor), np.sqrt(variance * factor + eps))
    behind = g.scale_behind()
    given = [g.parameter(i, array, behind) for i, array in enumerate(weights(behind))] \
        if behind else []
    scale, bias = given + [np.ones_like(mean), np.zeros_like(mean)][len(given):]
    return g("BatchNormalization", x, scale, bias, g.parameter(0, mean * factor),
             g.parameter(1, variance * factor), epsilon=eps)


@writes("LRN")
def lrn(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.lrn_param
    if p.norm_region == LRNParameter.ACROSS_CHANNELS:
        return g("LRN", x, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
    mean = g("AveragePool", g("Mul", x, x), kernel_shape=[p.local_size] * 2,
             pads=[p.local_size // 2] * 4, count_include_pad=1)
    return g("Mul", x, g("Pow", _affine(g, mean, p.alpha, 1), -p.beta))


@writes("Softmax")
def softmax(g: Graph, layer: Any, x: str) -> str:
    return g("Softmax", x, axis=layer.layer_param.softmax_param.axis)


@writes("MVN")
def mvn(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.mvn_param
    rows = g("Reshape", x, integers(*[0] * (1 if p.across_channels else 2), -1))
    y = g("Sub", rows, g("ReduceMean", rows, integers(-1)))
    if p.normalize_variance:
        variance = g("ReduceMean", g("Mul", y, y), integers(-1))
        y = g("Div", y, g("Add", g("Sqrt", variance), p.eps))
    shape, more = g("Shape", x), g.ranks[g.spec.top[0]] - g.rank()
    return g("Reshape", y, g("Concat", shape, integers(*[1] * more), axis=0) if more else shape)


@writes("ArgMax")
def argmax(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.argmax_param
    if p.top_k != 1:
        raise g.unsupported("top_k above 1")
    axis = layer.axis
    if axis is None:
        x, axis = g("Flatten", x), 1
    index = g("Cast", g("ArgMax", x, axis=axis, keepdims=1, select_last_index=1),
              to=TensorProto.FLOAT)
    value = g("ReduceMax", x, integers(axis)) if p.out_max_val else None
    if layer.axis is not None:
        return value or index
    both = g("Concat", index, value, axis=1) if value else index
    count = 2 if value else 1
    return g("Reshape", both, integers(0, count, 1, *[1] * (g.rank() - 3)))


@writes("Reduction")
def reduction(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.reduction_param
    operation = {ReductionParameter.SUM: "ReduceSum", ReductionParameter.ASUM: "ReduceL1",
                 ReductionParameter.SUMSQ: "ReduceSumSquare", ReductionParameter.MEAN: "ReduceMean"}
    rows = g("Reshape", x, integers(*[0] * layer.axis, -1))
    return _affine(g, g(operation[p.operation], rows, integers(-1), keepdims=0), p.coeff, 0)


# values that move

@writes("Crop")
def crop(g: Graph, layer: Any, x: str, reference: str) -> str:
    axis = layer.layer_param.crop_param.axis % g.rank()
    offsets = integers(*layer.offsets(g.rank() - axis))
    ends = g("Add", sizes(g, reference, axis), offsets)
    return g("Slice", x, offsets, ends, integers(*range(axis, g.rank())))


@writes("Concat")
def concat(g: Graph, layer: Any, *bottoms: str) -> str:
    return g("Concat", *bottoms, axis=layer.axis)


@writes("Slice")
def slices(g: Graph, layer: Any, x: str) -> Any:
    points, count = list(layer.layer_param.slice_param.slice_point), len(layer.sizes)
    if points or count == 1:
        return [g("Slice", x, integers(begin), integers(end), integers(layer.axis))
                for begin, end in zip([0, *points], [*points, END])]
    return g("Split", x, outputs=count, num_outputs=count, axis=layer.axis)


@writes("Tile")
def tile(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.tile_param
    repeats = [1] * g.rank()
    repeats[p.axis % g.rank()] = p.tiles
    return g("Tile", x, integers(*repeats))


@writes("Reshape")
def reshape(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.reshape_param
    start = p.axis if p.axis >= 0 else g.rank() + 1 + p.axis
    dims = integers(*[0] * start, *p.shape.dim)
    if p.num_axes == -1:
        return g("Reshape", x, dims)
    return g("Reshape", x, g("Concat", dims, sizes(g, x, start + p.num_axes), axis=0))


@writes("Flatten")
def flatten(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.flatten_param
    start, end = p.axis % g.rank(), p.end_axis % g.rank()
    dims = integers(*[0] * start, -1)
    if end + 1 == g.rank():
        return g("Reshape", x, dims)
    return g("Reshape", x, g("Concat", dims, sizes(g, x, end + 1), axis=0))
