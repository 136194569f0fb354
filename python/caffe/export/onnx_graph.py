"""The graph of an ONNX file as it grows, layer by layer, and what writes the layers of a type.

Opset 18, the first whose reductions all take their axes alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import __version__
from ..engine.layers.arithmetic import Scale
from ..engine.net import Net
from ..errors import LayerError
from ..proto import caffe_pb2

OPSET = 18
END = np.iinfo(np.int64).max
_PASSING = "Dropout", "Split", "Silence"    # whose tops are their bottoms' values as they are

writers: dict[str, Callable] = {}       # by the type of the layer


def writes(*types: str) -> Callable:
    """Function decorator: writes layers of these types.

    The function gets the Graph, the layer and the names of its bottoms, and returns the name of
    its top, or a list of names.
    """
    def enter(function: Callable) -> Callable:
        writers.update(dict.fromkeys(types, function))
        return function
    return enter


def outputs_of(net: Net) -> list[str]:
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
        tops = writers[spec.type](self, layer, *(self.values[name] for name in spec.bottom))
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
        for name in outputs_of(self.net):
            if self.values[name] != name:
                self.nodes.append(helper.make_node("Identity", [self.values[name]], [name],
                                                   self._free(name, self._node_names)))
        inputs = [helper.make_tensor_value_info(
            name, TensorProto.FLOAT, _dynamic(name, self.net.blobs[name].shape))
            for name in self.net.inputs]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * self.ranks[name])
                   for name in outputs_of(self.net)]
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


def sizes(g: Graph, x: str, start: int, end: int = END) -> str:
    """The sizes of the axes of x from start to end."""
    return g("Slice", g("Shape", x), integers(start), integers(end))
