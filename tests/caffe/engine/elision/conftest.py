"""What the tests of padding elision share."""

import pytest
import torch

import caffe
from caffe.engine.elision import choice
from caffe.log import silence
from fcn import nets


@pytest.fixture(autouse=True)
def quiet():
    """No log of how nets are made, which nobody reads here, and which takes a tenth of the time."""
    with silence():
        yield


@pytest.fixture
def double():
    """Blobs and weights in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=[0, 20])
def cheap_copies(monkeypatch, request):
    """Plans that are worth it for nets of few channels: with all copies there can be, or some."""
    monkeypatch.setattr(choice, "COPY", request.param)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    path = nets.write_prototxt(tmp_path_factory.mktemp("vgg") / "net.prototxt",
                               nets.fcn("fcn8s", "deploy"))
    return caffe.Net(str(path), caffe.TEST)
