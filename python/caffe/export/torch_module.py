"""A net as a torch.nn.Module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor, nn

from ..context import TEST, TRAIN
from ..engine.blob import Blob
from ..engine.layers import TensorLayer
from ..engine.net import Net
from ..errors import LayerError
from ..proto import caffe_pb2


def to_torch(net: Net) -> CaffeModule:
    """An nn.Module that computes what a caffe.Net computes, with a copy of its weights.

    Its inputs are those of the net, in order or by name, of any size; it returns the net's one
    output, or {name: tensor} of several. Weights are `layers.<layer>.<number>`, with _ for the
    dots and slashes of a layer's name; those with an lr_mult of 0 require no gradient. The module
    starts in the mode of the net's phase; Dropout and batch statistics follow train() and eval().

    Raises LayerError naming all layers that are no functions of tensors: data and Python layers.
    """
    return CaffeModule(net)


class CaffeModule(nn.Module):
    """See to_torch."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.inputs, self.outputs = list(net.inputs), list(net.outputs)
        self._source = net.program.source
        self.layers = nn.ModuleDict()
        parameters = {_place(blob): nn.Parameter(blob.data_tensor.clone(),
                                                 requires_grad=param.lr_mult != 0)
                      for blob, param in net.program.learnable}
        self._steps = []
        for spec, layer in _functions(net):
            own = nn.ParameterList(parameters[_place(blob)] for blob in layer.blobs)
            if len(own):
                self.layers[self._key(spec.name)] = own
            names = [net.program.unsplit_names.get(name, name) for name in spec.bottom]
            self._steps.append(_Step(spec, layer, own, names))
        self.train(net.program.param.state.phase == TRAIN)

    def _key(self, name: str) -> str:
        """`name` as torch takes it, with _ behind where it is taken already."""
        key = name.replace(".", "_").replace("/", "_")
        while not key or hasattr(self.layers, key):
            key += "_"
        return key

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor | dict[str, Tensor]:
        """The output, or {name: tensor} of several, from tensors of the net's inputs."""
        blobs = {**dict(zip(self.inputs, inputs)), **named}
        if set(blobs) != set(self.inputs) or len(inputs) + len(named) != len(self.inputs):
            raise LayerError(f"{self._source}: the inputs are {self.inputs}, given were "
                             f"{len(inputs)} in order and {list(named)} by name")
        for step in self._steps:
            with step.located(self._source, blobs):
                step.run(blobs, TRAIN if self.training else TEST)
        if len(self.outputs) == 1:
            return blobs[self.outputs[0]]
        return {name: blobs[name] for name in self.outputs}


class _Step:
    """A layer between named tensors; errors call its bottoms `names`."""

    def __init__(self, spec: caffe_pb2.LayerParameter, layer: TensorLayer,
                 parameters: nn.ParameterList, names: list[str]) -> None:
        self.name, self.type, self.names = spec.name, spec.type, names
        self.bottoms, self.tops = list(spec.bottom), list(spec.top)
        self.parameters, self.shapes = parameters, [blob.shape for blob in layer.blobs]
        self.layer = cast(TensorLayer, layer.copy_without_blobs())
        self.layer.use_plain_torch_ops = True
        self._let_go()

    def run(self, blobs: dict[str, Tensor], phase: int) -> None:
        """Put the tops into `blobs`, tensors by name."""
        layer, given = self.layer, [blobs[name] for name in self.bottoms]
        layer.phase = phase
        # with share_mode PERMISSIVE, those that share a parameter see it in shapes of their own
        layer.weights = [p.view(shape) for p, shape in zip(self.parameters, self.shapes)]
        layer.blobs[:] = [_Held(weight) for weight in layer.weights]
        try:
            layer.shapes([tuple(tensor.shape) for tensor in given])
            made = layer.compute(*given)
        finally:
            self._let_go()
        blobs.update(zip(self.tops, made if isinstance(made, tuple) else (made,)))

    def _let_go(self) -> None:
        """Hold no tensors between runs, so that the module can be copied and pickled."""
        self.layer.forget_forward()
        self.layer.blobs.clear()

    @contextmanager
    def located(self, source: str, blobs: Mapping[str, Tensor]) -> Iterator[None]:
        """Add file, layer and bottoms to what the layer complains about."""
        try:
            yield
        except LayerError as error:
            given = ", ".join(f"'{name}' {tuple(blobs[bottom].shape)}"
                              for name, bottom in zip(self.names, self.bottoms))
            raise LayerError(f"{source}: layer '{self.name}' ({self.type}), bottoms {given}: "
                             f"{error}") from error


class _Held:
    """What a layer wants to see of its parameters: a tensor in the place of a Blob."""

    def __init__(self, tensor: Tensor) -> None:
        self.data_tensor, self.shape = tensor.detach(), tuple(tensor.shape)


def _functions(net: Net) -> list[tuple[caffe_pb2.LayerParameter, TensorLayer]]:
    """(LayerParameter, layer) of all layers but the inputs, each a function of tensors."""
    steps: list[tuple[caffe_pb2.LayerParameter, Any]] = [
        (spec, layer) for spec, layer in zip(net.program.param.layer, net.layers)
             if spec.type != "Input"]
    others = [f"'{spec.name}' ({spec.type})" for spec, layer in steps
              if not (isinstance(layer, TensorLayer) and layer.is_function)]
    if others:
        raise LayerError(f"{net.program.source}: cannot be exported, being no functions of "
                         f"tensors: the layers {', '.join(others)}")
    return steps


def _place(blob: Blob) -> int:
    """What is equal for blobs that share their values."""
    return blob.data_tensor.data_ptr()
