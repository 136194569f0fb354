"""A net as a torch.nn.Module."""

import copy

import torch
from torch import nn

from ..context import TEST, TRAIN
from ..engine.layers import TensorLayer
from ..engine.layers.input import Source
from ..errors import LayerError


def to_torch(net):
    """An nn.Module that computes what a caffe.Net computes, with a copy of its weights.

    Its inputs are those of the net, in order or by name, of any size; it returns the net's one
    output, or {name: tensor} of several. Weights are `layers.<layer>.<number>`, with _ for the
    dots and slashes of a layer's name. Dropout and batch statistics follow train() and eval().

    Raises LayerError for layers that are no functions of tensors: data layers and Python layers.
    """
    return CaffeModule(net)


class CaffeModule(nn.Module):
    """See to_torch."""

    def __init__(self, net):
        super().__init__()
        self.inputs, self.outputs = list(net.inputs), list(net.outputs)
        self.layers = nn.ModuleDict()
        self._steps = []
        parameters = {}
        for spec, layer in zip(net._param.layer, net.layers):
            if spec.type == "Input":
                continue
            if not isinstance(layer, TensorLayer) or isinstance(layer, Source):
                raise LayerError(f"layer '{spec.name}' ({spec.type}) cannot be exported: it is no "
                                 "function of tensors")
            own = nn.ParameterList()
            for blob in layer.blobs:
                # parameters that layers share stay one
                place = blob.data_tensor.data_ptr()
                if place not in parameters:
                    parameters[place] = nn.Parameter(blob.data_tensor.clone(),
                                                     requires_grad=spec.type != "BatchNorm")
                own.append(parameters[place])
            if len(own):
                self.layers[spec.name.replace(".", "_").replace("/", "_")] = own
            self._steps.append((_detached(layer), own, list(spec.bottom), list(spec.top)))
        self.train(net._param.state.phase == TRAIN)

    def forward(self, *inputs, **named):
        """The output, or {name: tensor} of several, from tensors of the net's inputs."""
        blobs = {**dict(zip(self.inputs, inputs)), **named}
        if set(blobs) != set(self.inputs) or len(inputs) + len(named) != len(self.inputs):
            raise LayerError(f"the inputs are {self.inputs}, given were {len(inputs)} in order and "
                             f"{list(named)} by name")
        for layer, weights, bottoms, tops in self._steps:
            given = [blobs[name] for name in bottoms]
            layer.phase = TRAIN if self.training else TEST
            layer.weights = list(weights)
            layer.blobs = [_Held(weight) for weight in weights]
            layer.shapes([tuple(tensor.shape) for tensor in given])
            made = layer.compute(*given)
            layer.weights = layer.blobs = ()
            blobs.update(zip(tops, made if isinstance(made, tuple) else (made,)))
        if len(self.outputs) == 1:
            return blobs[self.outputs[0]]
        return {name: blobs[name] for name in self.outputs}


class _Held:
    """What a layer wants to see of its parameters: a tensor in the place of a Blob."""

    def __init__(self, tensor):
        self.data_tensor, self.shape = tensor.data, tuple(tensor.shape)


def _detached(layer):
    """A copy of a layer that holds no tensors of the net's."""
    own = copy.copy(layer)
    own.weights = own.blobs = own._inputs = own._outputs = ()
    return own
