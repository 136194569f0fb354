"""Nets from text, and a device without values, for the tests of the engine."""

import pytest
import torch

import caffe
from caffe import context
from caffe.engine import memory


@pytest.fixture
def net(tmp_path):
    """net(text, phase, ...): the caffe.Net of a prototxt with that text."""
    def build(text, *args, phase=caffe.TEST, **kwargs):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), *args, phase=phase, **kwargs)
    return build


@pytest.fixture
def far(monkeypatch):
    """GPU mode with PyTorch's meta device, whose tensors have no values, in place of a GPU:
    where the host would wait for a GPU, an error is raised. Gives the list of what was pinned."""
    pinned = []

    def pin_memory(tensor):
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *args, **kwargs: None)     # has no such form
    for module in (context, memory):
        monkeypatch.setattr(module, "device", lambda: torch.device("meta"))
    return pinned
