"""Nets of one layer, for the tests of the layers."""

import numpy as np
import pytest

import caffe
from caffe.log import silence


@pytest.fixture(autouse=True)
def quiet():
    """No log of how nets are made, which nobody reads here, and which takes a tenth of the time."""
    with silence():
        yield


@pytest.fixture
def build(tmp_path):
    """build(layer, phase, x=array, ...): a net of that layer with the arrays as its inputs."""
    caffe.set_random_seed(5)

    def build(layer, phase=caffe.TEST, **inputs):
        text = "force_backward: true\n"
        for name, array in inputs.items():
            dims = " ".join(f"dim: {size}" for size in np.shape(array))
            text += (f'layer {{ name: "{name}" type: "Input" top: "{name}" '
                     f'input_param {{ shape {{ {dims} }} }} }}\n')
        path = tmp_path / "net.prototxt"
        path.write_text(text + f'layer {{ name: "layer" {layer} }}\n')
        net = caffe.Net(str(path), phase)
        for name, array in inputs.items():
            net.blobs[name].data[...] = array
        return net
    return build
