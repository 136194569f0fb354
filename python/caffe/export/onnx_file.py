"""A net as an ONNX file, written operation by operation from Caffe's definitions.

Opset 18, the first whose reductions all take their axes alike. Batch, height and width are
dynamic: what Caffe computes from the sizes of blobs (crops, the last windows of pooling) is
computed in the graph.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..context import TEST
from ..errors import LayerError
from ..formats.atomic import replacing
from ..proto.caffe_pb2 import (EltwiseParameter, LRNParameter, PoolingParameter,
                               ReductionParameter)

OPSET = 18
LOWEST = np.finfo(np.float32).min
END = np.iinfo(np.int64).max

_writers = {}


def writes(*types):
    """Function decorator: writes layers of these types.

    The function gets the Graph, the layer and the names of its bottoms, and returns the name of
    its top, or a list of names.
    """
    def enter(function):
        _writers.update(dict.fromkeys(types, function))
        return function
    return enter


def to_onnx(net, path):
    """Write a caffe.Net in phase TEST, with its weights, to an ONNX file.

    Raises LayerError naming all layers that have no form in ONNX here, for a net in phase TRAIN,
    and for a net that computes an output in the place of an input.
    """
    if net.program.param.state.phase != TEST:
        raise LayerError(f"{net.program.source}: ONNX holds nets in phase TEST, this one is in TRAIN")
    missing = [f"'{spec.name}' ({spec.type})" for spec in net.program.param.layer
               if spec.type not in _writers and spec.type != "Input"]
    if missing:
        raise LayerError(f"{net.program.source}: no ONNX form for the layers {', '.join(missing)}")
    both = sorted(set(net.inputs) & set(net.outputs))
    if both:
        raise LayerError(f"{net.program.source}: ONNX has no blobs that are input and output: {both}")
    graph = Graph(net)
    for spec, layer in zip(net.program.param.layer, net.layers):
        if spec.type != "Input":
            graph.add_layer(spec, layer)
    model = graph.model().SerializeToString()
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as file:
        file.write(model)


class Graph:
    """An ONNX graph as it grows."""

    def __init__(self, net):
        self.net = net
        self.nodes, self.constants = [], []
        self.ranks = {name: len(blob.shape) for name, blob in net.blobs.items()}
        self.names = {name: name for name in net.inputs}     # what a blob is called by now
        self.count = 0

    def add_layer(self, spec, layer):
        """Add the operations of a layer."""
        self.spec = spec
        tops = _writers[spec.type](self, layer, *(self.names[name] for name in spec.bottom))
        for blob, name in zip(spec.top, [tops] if isinstance(tops, str) else tops or []):
            self.names[blob] = name

    def rank(self, index=0):
        """The number of axes of a bottom of the current layer."""
        return self.ranks[self.spec.bottom[index]]

    def unsupported(self, what):
        """A LayerError to raise."""
        return LayerError(f"{self.net.program.source}: layer '{self.spec.name}' ({self.spec.type}): "
                          f"no ONNX form for {what}")

    def __call__(self, operation, *inputs, outputs=1, **attributes):
        """Add an operation on named tensors, or arrays; returns the name of what it makes."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        made = [self._new_name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operation, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value):
        """The name of an array; Python numbers are float32."""
        kind = value.dtype if isinstance(value, np.ndarray) else np.float32
        name = self._new_name()
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind, order="C"), name))
        return name

    def _new_name(self):
        """<layer>/<number>, which no blob has for its name."""
        self.count += 1
        name = f"{self.spec.name}/{self.count}"
        return name if name not in self.net.blobs else self._new_name()

    def model(self):
        """The finished model, whose outputs have the names of the net's."""
        for name in self.net.outputs:
            self.nodes.append(helper.make_node("Identity", [self.names[name]], [name]))
        inputs = [helper.make_tensor_value_info(
            name, TensorProto.FLOAT, _dynamic(name, self.net.blobs[name].shape))
            for name in self.net.inputs]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * self.ranks[name])
                   for name in self.net.outputs]
        graph = helper.make_graph(self.nodes, self.net.name or "net", inputs, outputs,
                                  self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                                 ir_version=8, producer_name="fcn-caffe")


def _dynamic(name, shape):
    """The shape of an input: free are the batch and the axes of images, not the channels.

    Equal names would promise equal sizes, so they begin with the input's.
    """
    free = {3: ["length"], 4: ["height", "width"], 5: ["depth", "height", "width"]}
    fixed = list(shape[1:])
    fixed[1:] = [f"{name}_{axis}" for axis in free.get(len(shape), ())] or fixed[1:]
    return [f"{name}_batch", *fixed] if shape else []


def integers(*values):
    """A constant of int64."""
    return np.array(values, np.int64)


def weights(layer):
    """The arrays of a layer's parameters."""
    return [blob.data for blob in layer.blobs]


# what slides

@writes("Convolution", "Deconvolution")
def convolution(g, layer, *bottoms):
    if layer.axis != 1 or not layer.kernel:
        raise g.unsupported("this axis, or no spatial axes")
    operation = "Conv" if layer.type == "Convolution" else "ConvTranspose"
    names = [g.constant(array) for array in weights(layer)]
    return [g(operation, x, *names, strides=layer.stride, pads=layer.pad * 2,
              dilations=layer.dilation, group=layer.group, kernel_shape=layer.kernel)
            for x in bottoms]


@writes("Pooling")
def pooling(g, layer, x):
    p, w = layer.layer_param.pooling_param, layer.windows
    if p.pool == PoolingParameter.STOCHASTIC or len(g.spec.top) > 1:
        raise g.unsupported("stochastic pooling, and for the indices of maxima")
    average = p.pool == PoolingParameter.AVE
    if p.global_pooling:
        return g("GlobalAveragePool" if average else "GlobalMaxPool", x)
    if not w.up or max(w.stride) == 1:      # no window leaves the padded image
        counted = {"count_include_pad": 1} if average else {}
        return _pool(g, x, w, average, pads=w.pad * 2, **counted)
    if not any(w.pad) and all(k >= s for k, s in zip(w.kernel, w.stride)):
        return _pool(g, x, w, average, ceil_mode=1)
    image = _sizes(g, x, 2)
    count, over = _spans(g, image, w)
    pads = g("Concat", integers(0, 0, *w.pad, 0, 0), over, axis=0)
    y = _pool(g, g("Pad", x, pads, 0 if average else LOWEST), w, average)
    return _over_parts(g, y, image, count, w) if average else y


def _pool(g, x, w, average, **attributes):
    return g("AveragePool" if average else "MaxPool", x, kernel_shape=w.kernel, strides=w.stride,
             **attributes)


def _spans(g, image, w):
    """For each axis, the number of windows, rounded up, and how far the last reaches over the
    image. Runtimes differ in what they make of ceil_mode with padding, so it is not used."""
    kernel, stride, pad = (np.array(sizes, np.int64) for sizes in (w.kernel, w.stride, w.pad))
    count = g("Add", g("Div", g("Add", image, 2 * pad - kernel + stride - 1), stride), integers(1))
    if any(w.pad):      # none begins behind image and padding
        count = g("Min", count, g("Div", g("Add", image, pad + stride - 1), stride))
    last = g("Mul", g("Sub", count, integers(1)), stride)
    return count, g("Max", g("Sub", g("Add", last, kernel - pad), image), integers(0))


def _over_parts(g, y, image, count, w):
    """Averages y over whole windows as averages over their parts inside the padded image."""
    for i, (k, s, pad) in enumerate(zip(w.kernel, w.stride, w.pad)):
        windows, n = (g("Gather", sizes, np.array(i)) for sizes in (count, image))
        start = g("Mul", g("Range", np.array(0), windows, np.array(1)), np.array(s))
        end = g("Min", g("Add", start, np.array(k)), g("Add", n, np.array(2 * pad)))
        part = g("Div", g("Cast", g("Sub", end, start), to=TensorProto.FLOAT), k)
        y = g("Div", y, g("Reshape", part, integers(-1, *[1] * (1 - i))))
    return y


def _sizes(g, x, start, end=END):
    """The sizes of the axes of x from start to end."""
    return g("Slice", g("Shape", x), integers(start), integers(end))


# each value alone

@writes("ReLU")
def relu(g, layer, x):
    slope = layer.layer_param.relu_param.negative_slope
    return g("LeakyRelu", x, alpha=slope) if slope else g("Relu", x)


@writes("PReLU")
def prelu(g, layer, x):
    slope, = weights(layer)
    return g("PRelu", x, slope.reshape(slope.shape + (1,) * (g.rank() - 2)))


@writes("ELU")
def elu(g, layer, x):
    return g("Elu", x, alpha=layer.layer_param.elu_param.alpha)


@writes("AbsVal", "BNLL", "Sigmoid", "TanH")
def plain(g, layer, x):
    return g({"AbsVal": "Abs", "BNLL": "Softplus", "TanH": "Tanh"}.get(layer.type, layer.type), x)


@writes("Swish")
def swish(g, layer, x):
    return g("Mul", x, g("Sigmoid", g("Mul", x, layer.layer_param.swish_param.beta)))


@writes("Clip")
def clip(g, layer, x):
    p = layer.layer_param.clip_param
    return g("Clip", x, p.min, p.max)


@writes("Threshold")
def threshold(g, layer, x):
    above = g("Greater", x, layer.layer_param.threshold_param.threshold)
    return g("Cast", above, to=TensorProto.FLOAT)


@writes("Power")
def power(g, layer, x):
    p = layer.layer_param.power_param
    y = _affine(g, x, p.scale, p.shift)
    return y if p.power == 1 else g("Pow", y, p.power)


@writes("Exp")
def exp(g, layer, x):
    p = layer.layer_param.exp_param
    log_base = 1 if p.base == -1 else math.log(p.base)
    return g("Exp", _affine(g, x, p.scale * log_base, p.shift * log_base))


@writes("Log")
def log(g, layer, x):
    p = layer.layer_param.log_param
    log_base = 1 if p.base == -1 else math.log(p.base)
    return _affine(g, g("Log", _affine(g, x, p.scale, p.shift)), 1 / log_base, 0)


def _affine(g, x, scale, shift):
    y = g("Mul", x, scale) if scale != 1 else x
    return g("Add", y, shift) if shift else y


@writes("Dropout", "Split")
def same(g, layer, x):
    return [x] * len(g.spec.top)


@writes("Silence")
def silence(g, layer, *bottoms):
    return []


# arithmetic

@writes("Eltwise")
def eltwise(g, layer, *bottoms):
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
def broadcast(g, layer, x, *given):
    operands = [*given, *weights(layer)]
    operations = ["Mul", "Add"] if layer.type == "Scale" else ["Add"]
    for operation, operand in zip(operations, operands):
        rank = g.rank(1) if isinstance(operand, str) else operand.ndim
        behind = g.rank() - (layer.axis % g.rank() if rank else g.rank()) - rank
        if not isinstance(operand, str):
            operand = operand.reshape(operand.shape + (1,) * behind)
        elif behind:
            operand = g("Unsqueeze", operand, integers(*range(rank, rank + behind)))
        x = g(operation, x, operand)
    return x


@writes("InnerProduct")
def inner_product(g, layer, x):
    matrix, *bias = weights(layer)
    if not layer.layer_param.inner_product_param.transpose:
        matrix = matrix.T
    rows = g("Reshape", x, integers(*[0] * layer.axis, layer.inputs))
    y = g("MatMul", rows, matrix)
    return g("Add", y, bias[0]) if bias else y


@writes("BatchNorm")
def batch_norm(g, layer, x):
    if not layer.use_global_stats:
        raise g.unsupported("statistics of the batch")
    mean, variance, factor = weights(layer)
    factor = 0 if factor[0] == 0 else 1 / factor[0]
    shape = (-1,) + (1,) * (g.rank() - 2)
    scale = 1 / np.sqrt(variance * factor + layer.layer_param.batch_norm_param.eps)
    return g("Mul", g("Sub", x, (mean * factor).reshape(shape).astype(np.float32)),
             scale.reshape(shape).astype(np.float32))


@writes("LRN")
def lrn(g, layer, x):
    p = layer.layer_param.lrn_param
    if p.norm_region == LRNParameter.ACROSS_CHANNELS:
        return g("LRN", x, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
    mean = g("AveragePool", g("Mul", x, x), kernel_shape=[p.local_size] * 2,
             pads=[p.local_size // 2] * 4, count_include_pad=1)
    return g("Mul", x, g("Pow", _affine(g, mean, p.alpha, 1), -p.beta))


@writes("Softmax")
def softmax(g, layer, x):
    return g("Softmax", x, axis=layer.layer_param.softmax_param.axis)


@writes("MVN")
def mvn(g, layer, x):
    p = layer.layer_param.mvn_param
    rows = g("Reshape", x, integers(*[0] * (1 if p.across_channels else 2), -1))
    y = g("Sub", rows, g("ReduceMean", rows, integers(-1)))
    if p.normalize_variance:
        variance = g("ReduceMean", g("Mul", y, y), integers(-1))
        y = g("Div", y, g("Add", g("Sqrt", variance), p.eps))
    return g("Reshape", y, g("Shape", x))


@writes("ArgMax")
def argmax(g, layer, x):
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
def reduction(g, layer, x):
    p = layer.layer_param.reduction_param
    operation = {ReductionParameter.SUM: "ReduceSum", ReductionParameter.ASUM: "ReduceL1",
                 ReductionParameter.SUMSQ: "ReduceSumSquare", ReductionParameter.MEAN: "ReduceMean"}
    rows = g("Reshape", x, integers(*[0] * layer.axis, -1))
    return _affine(g, g(operation[p.operation], rows, integers(-1), keepdims=0), p.coeff, 0)


# values that move

@writes("Crop")
def crop(g, layer, x, reference):
    axis = layer.layer_param.crop_param.axis % g.rank()
    offsets = integers(*layer._offsets(g.rank() - axis))
    ends = g("Add", _sizes(g, reference, axis), offsets)
    return g("Slice", x, offsets, ends, integers(*range(axis, g.rank())))


@writes("Concat")
def concat(g, layer, *bottoms):
    return g("Concat", *bottoms, axis=layer.axis)


@writes("Slice")
def slices(g, layer, x):
    points, count = list(layer.layer_param.slice_param.slice_point), len(layer.sizes)
    if points or count == 1:
        return [g("Slice", x, integers(begin), integers(end), integers(layer.axis))
                for begin, end in zip([0, *points], [*points, END])]
    return g("Split", x, outputs=count, num_outputs=count, axis=layer.axis)


@writes("Tile")
def tile(g, layer, x):
    p = layer.layer_param.tile_param
    repeats = [1] * g.rank()
    repeats[p.axis % g.rank()] = p.tiles
    return g("Tile", x, integers(*repeats))


@writes("Reshape")
def reshape(g, layer, x):
    p = layer.layer_param.reshape_param
    start = p.axis if p.axis >= 0 else g.rank() + 1 + p.axis
    dims = integers(*[0] * start, *p.shape.dim)
    if p.num_axes == -1:
        return g("Reshape", x, dims)
    return g("Reshape", x, g("Concat", dims, _sizes(g, x, start + p.num_axes), axis=0))


@writes("Flatten")
def flatten(g, layer, x):
    p = layer.layer_param.flatten_param
    start, end = p.axis % g.rank(), p.end_axis % g.rank()
    dims = integers(*[0] * start, -1)
    if end + 1 == g.rank():
        return g("Reshape", x, dims)
    return g("Reshape", x, g("Concat", dims, _sizes(g, x, end + 1), axis=0))
