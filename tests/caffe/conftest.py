"""Nets from text, for the tests of the engine."""

import pytest

import caffe


@pytest.fixture
def net(tmp_path):
    """net(text, phase, ...): the caffe.Net of a prototxt with that text."""
    def build(text, *args, phase=caffe.TEST, **kwargs):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), *args, phase=phase, **kwargs)
    return build
