"""A plugin for pytest: what a layer computes on a CPU it also does on PyTorch's meta device, once
with channels first and once last; no tensor of the CPU may take part, and nothing may wait.

PYTHONPATH=tests/support python -m pytest -p compute_without_values tests/caffe/engine/layers
"""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graph_stand_in import WAITS

FORMATS = torch.contiguous_format, torch.channels_last


class Alone(TorchDispatchMode):
    """Where operations take and give tensors of the meta device alone."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **kwargs or {})
        found = [leaf for leaf in tree_leaves((args, kwargs, results)) if torch.is_tensor(leaf)]
        devices = {tensor.device.type for tensor in found}
        assert devices != {"cpu", "meta"}, f"{function} with tensors of the CPU"
        assert "meta" not in devices or function.overloadpacket not in WAITS, f"{function} waits"
        return results


def far(tensors, form):
    """Tensors like these, on the meta device."""
    return [torch.empty(tensor.shape, dtype=tensor.dtype, device="meta",
                        memory_format=form if tensor.dim() == 4 else torch.contiguous_format
                        ).requires_grad_(tensor.requires_grad) for tensor in tensors]


def repeat(layer, inputs, weights, form):
    """Run a copy of `layer` forward and backward."""
    layer._inputs, layer.weights = far(inputs, form), far(weights, form)
    layer.blobs[:] = [SimpleNamespace(data_tensor=weight.detach(), data_to_read=weight.detach(),
                                      shape=tuple(weight.shape)) for weight in layer.weights]
    kept = {name: value for name, value in vars(layer).items() if torch.is_tensor(value)}
    vars(layer).update(zip(kept, far(kept.values(), form)))
    leaves = [leaf for leaf in layer._inputs + layer.weights if leaf.requires_grad]
    with Alone(), torch.set_grad_enabled(bool(leaves)):
        tops = [top for top in layer._outputs() if top.requires_grad]
        if tops:
            torch.autograd.grad(tops, leaves, far(tops, form), allow_unused=True)


@pytest.fixture(autouse=True)
def compute_without_values(monkeypatch):
    from caffe.engine.layers import base, formulas
    for kind in (base.TensorLayer, formulas.FormulaLayer, formulas.KeepingLayer):
        monkeypatch.setattr(kind, "forward", twice(kind.forward))


def twice(forward):
    """A layer's `forward`, after which the layer computes on the meta device, too."""
    def both(self, bottom, top):
        before = copy.copy(self)
        forward(self, bottom, top)
        inputs = [blob.data_to_read.detach().requires_grad_(index not in self.no_gradient)
                  for index, blob in enumerate(bottom)]
        weights = [blob.data_to_read.detach().requires_grad_() for blob in self.blobs]
        if self.recordable and inputs and all(leaf.device.type == "cpu" for leaf in inputs):
            for form in FORMATS:
                repeat(before.copy_without_blobs(), inputs, weights, form)
    return both
