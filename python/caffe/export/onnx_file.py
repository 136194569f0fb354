"""A net as an ONNX file, written operation by operation from Caffe's definitions.

Opset 18, the first whose reductions all take their axes alike. Batch, height and width are
dynamic: what Caffe computes from the sizes of blobs (crops, the last windows of pooling) is
computed in the graph.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import __version__
from ..context import TEST
from ..engine.layers.arithmetic import Scale
from ..engine.layers.windows import Windows
from ..engine.net import Net
from ..errors import LayerError, WeightsError
from ..formats.atomic import replacing
from ..proto import caffe_pb2
from ..proto.caffe_pb2 import EltwiseParameter, LRNParameter, PoolingParameter, ReductionParameter

OPSET = 18
LOWEST = np.finfo(np.float32).min
END = np.iinfo(np.int64).max
LIMIT = (1 << 31) - (1 << 24)   # bytes of weights: protobuf takes 2 GB, some go to the rest
_PASSING = "Dropout", "Split", "Silence"    # whose tops are their bottoms' values as they are

_writers: dict[str, Callable] = {}      # by the type of the layer


def writes(*types: str) -> Callable:
    """Function decorator: writes layers of these types.

    The function gets the Graph, the layer and the names of its bottoms, and returns the name of
    its top, or a list of names.
    """
    def enter(function: Callable) -> Callable:
        _writers.update(dict.fromkeys(types, function))
        return function
    return enter


def to_onnx(net: Net, path: str, classes: Sequence[str] | None = None,
            mean: Sequence[float] | None = None, inputs: Sequence[str] | None = None,
            name: str | None = None, margin: int | None = None, multiple: int | None = None
            ) -> None:
    """Write a caffe.Net in phase TEST, with its weights, to an ONNX file.

    Nodes have the names of layers, values those of blobs, and parameters are `<layer>.<number>`.
    A layer of several nodes has `<layer>/<operation>` for all but its last, and a blob that layers
    in place change is named as it is after the last of them, `<blob>/<layer>` before.

    The rest is kept as metadata, for whoever reads the file, each in JSON but for the name:

    classes : the names of the classes, as `classes`, a list
    mean : what is subtracted from each channel of an image, in the net's order, B G R; as `mean`,
        a list, with `channels`: "BGR"
    inputs : what each input takes, in their order, such as "color", "depth" or "hha"; as `inputs`,
        a dict of the inputs' names
    name : of the net or of the run that trained it, as `name`, a text
    margin : the pixels of its reflection that an image needs on each side, as `margin`
    multiple : of which the sides of an image have to be, as `multiple`

    Raises LayerError naming all layers that have no form in ONNX here, for a net in phase TRAIN,
    for one without layers or outputs, for one that computes an output in the place of an input,
    for another number of `inputs` than the net has, and for a `mean` of another number of channels
    than an input has; and WeightsError for 2 GB of weights or
    more, which no ONNX file holds.
    """
    _check(net)
    metadata = _metadata(net, classes, mean, inputs, name, margin, multiple)
    graph = Graph(net)
    for step in net.program.steps:
        if step.spec.type != "Input":
            graph.add_layer(step.number, step.spec, step.layer)
    model = graph.model()
    helper.set_model_props(model, metadata)
    content = model.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    with replacing(path) as file:
        file.write(content)


def _metadata(net: Net, classes: Sequence[str] | None, mean: Sequence[float] | None,
              inputs: Sequence[str] | None, name: str | None, margin: int | None,
              multiple: int | None) -> dict[str, str]:
    """What of it is given, as texts."""
    if inputs is not None and len(inputs) != len(net.inputs):
        raise LayerError(f"{net.program.source}: its inputs are {', '.join(net.inputs)}, what they "
                         f"take is given as {', '.join(inputs)}: expected {len(net.inputs)}")
    channels = [net.blobs[each].shape[1] for each in net.inputs if len(net.blobs[each].shape) > 1]
    if mean is not None and len(mean) not in channels:
        raise LayerError(f"{net.program.source}: the mean has {len(mean)} numbers, expected "
                         f"one for each channel of an input: {' or '.join(map(str, channels))}")
    given: dict[str, Any] = {"classes": classes and list(classes),
                             "mean": None if mean is None else list(mean),
                             "inputs": inputs and dict(zip(net.inputs, inputs)),
                             "margin": margin, "multiple": multiple}
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in given.items()
                if value is not None}
    texts = {"channels": None if mean is None else "BGR", "name": name}
    return metadata | {key: text for key, text in texts.items() if text is not None}


def _check(net: Net) -> None:
    """Raises what to_onnx raises, before the work."""
    program, source = net.program, net.program.source
    if program.param.state.phase != TEST:
        raise LayerError(f"{source}: ONNX holds nets in phase TEST, this one is in TRAIN")
    layers = [spec for spec in program.param.layer if spec.type != "Input"]
    missing = [f"'{spec.name}' ({spec.type})" for spec in layers if spec.type not in _writers]
    if missing:
        raise LayerError(f"{source}: no ONNX form for the layers {', '.join(missing)}")
    both = sorted({top for spec in layers for top in spec.top} & set(net.inputs))
    if set(both) & set(net.outputs):
        raise LayerError(f"{source}: ONNX has no blobs that are input and output: {both}")
    if not _outputs(net):
        raise LayerError(f"{source}: there is nothing to export: no layer has an output")
    size = 4 * sum(blob.count for layer in net.layers for blob in layer.blobs)
    if size >= LIMIT:
        raise WeightsError(f"{source}: an ONNX file holds less than 2 GB, the weights are "
                           f"{size / 1e9:.1f} GB; keep them as safetensors or HDF5")


def _outputs(net: Net) -> list[str]:
    """The net's outputs but for inputs that nobody reads."""
    return [name for name in net.outputs if name not in net.inputs]


class Graph:
    """An ONNX graph as it grows."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.ranks = {name: len(blob.shape) for name, blob in net.blobs.items()}
        self.values = {name: name for name in net.inputs}       # of blobs, as they are by now
        self._done: set[int] = set()        # numbers of layers that one before them has done, too
        self._taken = {*net.blobs, *net.inputs}
        self._node_names: set[str] = set()
        self._last: dict[str, int] = {}     # number of the layer after which a blob does not change
        for number, spec in enumerate(net.program.param.layer):
            if spec.type not in _PASSING or not spec.dropout_param.scale_train:
                self._last.update(dict.fromkeys(spec.top, number))

    def add_layer(self, number: int, spec: caffe_pb2.LayerParameter, layer: Any) -> None:
        """Add the operations of a layer."""
        if number in self._done:
            self.values[spec.top[0]] = self.values[spec.bottom[0]]
            return
        self.number, self.spec, self._blobs = number, spec, list(spec.top)
        begin = len(self.nodes)
        tops = _writers[spec.type](self, layer, *(self.values[name] for name in spec.bottom))
        tops = [tops] if isinstance(tops, str) else tops or []
        self._name(self.nodes[begin:], tops)
        self.values.update(zip(spec.top, tops))

    def _name(self, nodes: Sequence[onnx.NodeProto], tops: list[str]) -> None:
        """Give the layer's nodes names, and `tops`, values in a list, those of its blobs."""
        made = {value for node in nodes for value in node.output}
        new = {}
        for i, (blob, value) in enumerate(zip(self._blobs, tops)):
            if value in made and value not in new:
                done = self._last[blob] == self.number and blob not in self.net.inputs
                new[value] = blob if done else self._free(f"{blob}/{self.spec.name}", self._taken)
            tops[i] = new.get(value, value)
        for node in nodes:
            for values in (node.input, node.output):
                values[:] = [new.get(value, value) for value in values]
            name = self.spec.name if node is nodes[-1] else f"{self.spec.name}/{node.op_type}"
            node.name = self._free(name, self._node_names)

    @staticmethod
    def _free(name: str, taken: set[str]) -> str:
        """`name`, with a number behind it if it is in the set `taken`, to which it is added."""
        free = next(each for each in chain([name], (f"{name}_{i}" for i in count(2)))
                    if each not in taken)
        taken.add(free)
        return free

    def rank(self, index: int = 0) -> int:
        """The number of axes of a bottom of the current layer."""
        return self.ranks[self.spec.bottom[index]]

    def unsupported(self, what: str) -> LayerError:
        """A LayerError to raise."""
        return LayerError(f"{self.net.program.source}: layer '{self.spec.name}' "
                          f"({self.spec.type}): no ONNX form for {what}")

    def __call__(self, operation: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operation on named values, or arrays; returns the name of what it makes."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        made = [self._free(f"{self.spec.name}/{operation}", self._taken) for _ in range(outputs)]
        self.nodes.append(helper.make_node(operation, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value: np.ndarray, name: str | None = None) -> str:
        """The name of an array, to be `name`; Python numbers are float32."""
        kind = value.dtype if isinstance(value, np.ndarray) else np.float32
        name = self._free(name or f"{self.spec.name}/constant", self._taken)
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind, order="C"), name))
        return name

    def parameter(self, number: int, array: np.ndarray, layer: Any = None) -> str:
        """The name of the values of parameter `number` of the current layer, or of `layer`, in the
        form of `array`."""
        name = self.spec.name if layer is None else layer.layer_param.name
        return self.constant(np.asarray(array, np.float32), f"{name}.{number}")

    def scale_behind(self) -> Scale | None:
        """The Scale layer that is the next to read the current layer's top, of which it has the
        current layer do the work, if it has a scale for each channel of its own; else None."""
        step = next((step for step in self.net.program.steps[self.number + 1:]
                     if self.spec.top[0] in step.spec.bottom), None)
        layer = step.layer if step else None
        if step is None or not isinstance(layer, Scale) or len(step.bottom) > 1:
            return None
        if layer.axis % self.rank() != 1 or len(layer.blobs[0].shape) != 1:
            return None
        self.number, self._blobs = step.number, list(step.spec.top)
        self._done.add(step.number)
        return layer

    def model(self) -> onnx.ModelProto:
        """The finished model, whose outputs have the names of the net's."""
        for name in _outputs(self.net):
            if self.values[name] != name:
                self.nodes.append(helper.make_node("Identity", [self.values[name]], [name],
                                                   self._free(name, self._node_names)))
        inputs = [helper.make_tensor_value_info(
            name, TensorProto.FLOAT, _dynamic(name, self.net.blobs[name].shape))
            for name in self.net.inputs]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * self.ranks[name])
                   for name in _outputs(self.net)]
        graph = helper.make_graph(self.nodes, self.net.name or "net", inputs, outputs,
                                  self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                                 ir_version=8, producer_name="fcn-caffe",
                                 producer_version=__version__)


def _dynamic(name: str, shape: Sequence[int]) -> list:
    """The shape of an input: free are the batch and the axes of images, not the channels.

    Equal names would promise equal sizes, so they begin with the input's.
    """
    free = {3: ["length"], 4: ["height", "width"], 5: ["depth", "height", "width"]}
    fixed: list = list(shape[1:])
    fixed[1:] = [f"{name}_{axis}" for axis in free.get(len(shape), ())] or fixed[1:]
    return [f"{name}_batch", *fixed] if shape else []


def integers(*values: Any) -> np.ndarray:
    """A constant of int64."""
    return np.array(values, np.int64)


def weights(layer: Any) -> list[np.ndarray]:
    """The arrays of a layer's parameters."""
    return [blob.data for blob in layer.blobs]


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
    image = _sizes(g, x, 2)
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
    plane = g("ReduceProd", _sizes(g, x, 2), keepdims=0)
    return [y, g("Cast", g("Mod", index, plane), to=TensorProto.FLOAT)]


def _pool(g: Graph, x: str, w: Windows, average: bool, **attributes: Any) -> str:
    return g("AveragePool" if average else "MaxPool", x, kernel_shape=w.kernel, strides=w.stride,
             **attributes)


def _spans(g: Graph, image: str, w: Windows) -> tuple[str, str]:
    """For each axis, the number of windows, rounded up, and how far the last reaches over the
    image. Runtimes differ in what they make of ceil_mode with padding, so it is not used."""
    kernel, stride, pad = (np.array(sizes, np.int64) for sizes in (w.kernel, w.stride, w.pad))
    count = g("Add", g("Div", g("Add", image, 2 * pad - kernel + stride - 1), stride), integers(1))
    if any(w.pad):      # none begins behind image and padding
        count = g("Min", count, g("Div", g("Add", image, pad + stride - 1), stride))
    last = g("Mul", g("Sub", count, integers(1)), stride)
    return count, g("Max", g("Sub", g("Add", last, kernel - pad), image), integers(0))


def _over_parts(g: Graph, y: str, image: str, count: str, w: Windows) -> str:
    """Averages y over whole windows as averages over their parts inside the padded image."""
    for i, (k, s, pad) in enumerate(zip(w.kernel, w.stride, w.pad)):
        windows, n = (g("Gather", sizes, np.array(i)) for sizes in (count, image))
        start = g("Mul", g("Range", np.array(0), windows, np.array(1)), np.array(s))
        end = g("Min", g("Add", start, np.array(k)), g("Add", n, np.array(2 * pad)))
        part = g("Div", g("Cast", g("Sub", end, start), to=TensorProto.FLOAT), k)
        y = g("Div", y, g("Reshape", part, integers(-1, *[1] * (1 - i))))
    return y


def _sizes(g: Graph, x: str, start: int, end: int = END) -> str:
    """The sizes of the axes of x from start to end."""
    return g("Slice", g("Shape", x), integers(start), integers(end))


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
    ends = g("Add", _sizes(g, reference, axis), offsets)
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
    return g("Reshape", x, g("Concat", dims, _sizes(g, x, start + p.num_axes), axis=0))


@writes("Flatten")
def flatten(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.flatten_param
    start, end = p.axis % g.rank(), p.end_axis % g.rank()
    dims = integers(*[0] * start, -1)
    if end + 1 == g.rank():
        return g("Reshape", x, dims)
    return g("Reshape", x, g("Concat", dims, _sizes(g, x, end + 1), axis=0))


# layers of forks

@writes("Interp")
def interp(g: Graph, layer: Any, x: str, reference: str = "") -> str:
    p = layer.layer_param.interp_param
    if p.pad_beg or p.pad_end:
        x = g("Slice", x, integers(*[-p.pad_beg] * 2), integers(*[p.pad_end or END] * 2),
              integers(2, 3))
    zooms, shrinks = p.HasField("zoom_factor"), p.HasField("shrink_factor")
    size = _sizes(g, reference or x, 2)
    if reference:
        pass        # its size is the top's
    elif zooms == shrinks and p.HasField("height") and p.HasField("width"):
        size = g.constant(integers(p.height, p.width))
    else:       # n - 1 is divided by the one factor, and multiplied by the other
        steps = g("Div", g("Sub", size, integers(1)), integers(p.shrink_factor if shrinks else 1))
        size = g("Add", g("Mul", steps, integers(p.zoom_factor if zooms else 1)), integers(1))
    whole = g("Concat", g("Shape", x, start=0, end=2), size, axis=0)
    return g("Resize", x, "", "", whole, mode="linear",
             coordinate_transformation_mode="align_corners")


@writes("Padding")
def padding(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.padding_param
    return g("Pad", x, integers(0, 0, p.pad_beg, p.pad_beg, 0, 0, p.pad_end, p.pad_end))


@writes("BN")
def bn(g: Graph, layer: Any, x: str) -> str:
    if layer.learns:
        raise g.unsupported("statistics of the batch, bn_mode: LEARN")
    shape = (-1,) + (1,) * (g.rank() - 2)
    slope, bias, *statistics = weights(layer)
    if not statistics:
        return g("Add", g("Mul", x, g.parameter(0, slope.reshape(shape))),
                 g.parameter(1, bias.reshape(shape)))
    names = [g.parameter(i, array.reshape(-1)) for i, array in enumerate(weights(layer))]
    return g("BatchNormalization", x, *names, epsilon=layer.layer_param.bn_param.eps)


@writes("Upsample")
def upsample(g: Graph, layer: Any, x: str, mask: str) -> str:
    if not any(spec.type == "Pooling" and len(spec.top) > 1 and g.values.get(spec.top[1]) == mask
               for spec in g.net.program.param.layer):
        raise g.unsupported("a mask that no pooling of the net makes")
    front = g("Shape", x, start=0, end=2)
    size = integers(*layer.given) if layer.given else g(
        "Sub", g("Mul", _sizes(g, x, 2), integers(*layer.scales)), integers(*layer.less))
    flat = integers(0, 0, -1)
    zeros = g("ConstantOfShape", g("Concat", front, g("ReduceProd", size), axis=0))
    index = g("Reshape", g("Cast", mask, to=TensorProto.INT64), flat)
    y = g("ScatterElements", zeros, index, g("Reshape", x, flat), axis=2)
    return g("Reshape", y, g("Concat", front, size, axis=0))


@writes("ReLU6")
def relu6(g: Graph, layer: Any, x: str) -> str:
    return g("Clip", x, 0, 6)


@writes("Axpy")
def axpy(g: Graph, layer: Any, factor: str, x: str, y: str) -> str:
    behind = integers(*range(g.rank(0), g.rank(1)))
    return g("Add", g("Mul", g("Unsqueeze", factor, behind) if behind.size else factor, x), y)


@writes("Permute")
def permute(g: Graph, layer: Any, x: str) -> str:
    return g("Transpose", x, perm=layer.order(g.rank()))


@writes("Normalize")
def normalize(g: Graph, layer: Any, x: str) -> str:
    p, (scale,) = layer.layer_param.norm_param, weights(layer)
    axes = integers(*range(1, g.rank())) if p.across_spatial else integers(1)
    norm = g("Sqrt", g("Add", g("ReduceSumSquare", x, axes), p.eps))
    behind = (1,) * (g.rank() - 2) if scale.ndim else ()
    return g("Mul", g("Div", x, norm), g.parameter(0, scale.reshape(scale.shape + behind)))


@writes("ROIPooling")
def roi_pooling(g: Graph, layer: Any, x: str, regions: str) -> str:
    p = layer.layer_param.roi_pooling_param
    return g("MaxRoiPool", x, g("Reshape", regions, integers(-1, 5)),
             pooled_shape=[p.pooled_h, p.pooled_w], spatial_scale=p.spatial_scale)
