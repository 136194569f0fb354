"""What the tests of padding elision share."""

import pytest
import torch

from caffe.engine.elision import choice


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
