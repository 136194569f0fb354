"""A batch without items passes through every layer that keeps the batch on axis 0."""

import numpy as np
import pytest

import caffe
from layer_checks import X, backward, output

LAYERS = {
    "AbsVal": "", "ArgMax": "", "BNLL": "", "BatchNorm": "", "Bias": "",
    "Clip": "clip_param { min: 0 max: 1 }", "Concat": "",
    "Convolution": "convolution_param { num_output: 2 kernel_size: 2 }",
    "Deconvolution": "convolution_param { num_output: 2 kernel_size: 2 }", "Dropout": "",
    "ELU": "", "Embed": "embed_param { input_dim: 3 num_output: 2 }", "Exp": "", "Flatten": "",
    "Im2col": "convolution_param { kernel_size: 2 }",
    "InnerProduct": "inner_product_param { num_output: 2 }", "LRN": "", "Log": "", "MVN": "",
    "PReLU": "", "Pooling": "pooling_param { pool: STOCHASTIC kernel_size: 2 }",
    "Power": "power_param { power: 2 }", "ReLU": "", "Reduction": "reduction_param { axis: 1 }",
    "Reshape": "reshape_param { shape { dim: [0, -1, 2] } }",
    "SPP": "spp_param { pyramid_height: 2 }", "Scale": "", "Sigmoid": "", "Slice": "",
    "Softmax": "", "Split": "", "Swish": "", "TanH": "", "Threshold": "",
    "Tile": "tile_param { tiles: 2 }",
}


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("kind", LAYERS)
def test_of_no_items_there_are_none(build, kind, phase):
    net = build(f'type: "{kind}" {X} {LAYERS[kind]}', phase, x=np.zeros((2, 3, 4, 5)))
    full = output(net).shape
    net.blobs["x"].reshape(0, 3, 4, 5)
    assert output(net).shape == (0, *full[1:])
    assert backward(net)["x"].shape == (0, 3, 4, 5)
