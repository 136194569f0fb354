"""Padding elision: nets run with it and without, in double precision, must agree."""

import itertools

import numpy as np
import pytest
import torch

import caffe
import nets
from caffe.engine.elision import choice, plan, region
from caffe.engine.elision.rows import Slide, leave_out, numbered
from caffe.engine.elision.spread import Spread, gather, spread
from caffe.errors import LayerError

VGG_LEFT = {"conv1_1": 92, "conv1_2": 92, "conv2_1": 40, "conv2_2": 40, "conv3_1": 12,
            "conv3_2": 12, "conv3_3": 12, "conv4_1": 4, "conv4_2": 2}


@pytest.fixture
def double():
    """Blobs and weights in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def layer(name, kind, bottom, top=None, **fields):
    """The text of a layer; a field is the text of a message."""
    bottoms = "".join(f' bottom: "{b}"' for b in bottom.split())
    rest = " ".join(f"{key} {{ {value} }}" for key, value in fields.items())
    return f'layer {{ name: "{name}" type: "{kind}"{bottoms} top: "{top or name}" {rest} }}\n'


def conv(name, bottom, outputs, **fields):
    """A convolution with random weights and an in-place ReLU."""
    p = " ".join(f"{key}: {value}" for key, value in fields.items())
    fill = 'type: "gaussian" std: 0.3'
    return (layer(name, "Convolution", bottom, convolution_param=f"num_output: {outputs} {p} "
                  f"weight_filler {{ {fill} }} bias_filler {{ {fill} }}")
            + layer("relu_" + name, "ReLU", name, name))


def pool(name, bottom, **fields):
    p = " ".join(f"{key}: {value}" for key, value in fields.items())
    return layer(name, "Pooling", bottom, pooling_param=p)


def data(height, width):
    return (f'layer {{ name: "data" type: "Input" top: "data" input_param {{ '
            f'shape {{ dim: 1 dim: 2 dim: {height} dim: {width} }} }} }}\nforce_backward: true\n')


ALEXNET = (conv("conv1", "data", 4, kernel_size=11, stride=4, pad=100)
           + pool("pool1", "conv1", kernel_size=3, stride=2)
           + layer("norm1", "LRN", "pool1", lrn_param="local_size: 3 alpha: 0.5")
           + conv("conv2", "norm1", 4, kernel_size=5, pad=2, group=2)
           + pool("pool2", "conv2", kernel_size=3, stride=2)
           + conv("conv3", "pool2", 3, kernel_size=3, pad=1))
INCEPTION = (conv("conv1", "data", 4, kernel_size=7, stride=2, pad=100)
             + pool("pool1", "conv1", kernel_size=3, stride=2)
             + conv("one", "pool1", 2, kernel_size=1)
             + conv("three", "pool1", 3, kernel_size=3, pad=1)
             + conv("reduce", "pool1", 2, kernel_size=1)
             + conv("five", "reduce", 2, kernel_size=5, pad=2)
             + pool("pooled", "pool1", kernel_size=3, stride=1, pad=1)
             + layer("cat", "Concat", "one three five pooled")
             + pool("pool2", "cat", kernel_size=3, stride=2)
             + conv("last", "pool2", 3, kernel_size=3, pad=1)
             + conv("skip", "cat", 2, kernel_size=1))
RESIDUAL = (conv("conv1", "data", 3, kernel_size=3, pad=40)
            + layer("scale", "Scale", "conv1", scale_param="bias_term: true")
            + conv("a", "scale", 3, kernel_size=3, pad=2, dilation=2)
            + layer("sum", "Eltwise", "scale a")
            + layer("slope", "PReLU", "sum")
            + pool("mean", "slope", kernel_size=3, stride=2, pad=1, pool="AVE")
            + conv("b", "mean", 2, kernel_h=1, kernel_w=3, pad_h=0, pad_w=1, stride_h=1,
                   stride_w=2))


def vgg(size, width=1 / 64):
    """FCN-8s with all weights drawn, on an image of (height, width)."""
    param = nets.fcn("fcn8s", "deploy", width=width, classes=3)
    param.layer[0].input_param.shape[0].dim[2:] = size
    param.force_backward = True
    for spec in param.layer:
        if spec.type in ("Convolution", "Deconvolution"):
            spec.convolution_param.weight_filler.type = "xavier"
            spec.convolution_param.bias_filler.type = "gaussian"
            spec.convolution_param.bias_filler.std = 0.3
    return str(param)


def random_trunk(rng):
    """A chain of convolutions and poolings under a wide padding, on an image of random size."""
    text = data(*rng.integers(1, 40, 2))
    kernel, stride = rng.integers(1, 8), rng.integers(1, 4)
    text += conv("conv0", "data", 2, kernel_size=kernel, stride=stride, pad=rng.integers(20, 70))
    bottom = "conv0"
    for i in range(rng.integers(1, 6)):
        name, kernel, stride = f"layer{i}", rng.integers(2, 5), rng.integers(1, 4)
        if rng.integers(2):
            text += pool(name, bottom, kernel_size=kernel, stride=stride,
                         pad=rng.integers(0, kernel), pool=rng.choice(["MAX", "AVE"]),
                         round_mode=rng.choice(["CEIL", "FLOOR"]))
        else:
            text += conv(name, bottom, 2, kernel_size=kernel, stride=rng.integers(1, 3),
                         pad=rng.integers(0, 5), dilation=rng.integers(1, 3))
        bottom = name
    return text


def run(net, seed=0):
    """What a pass forward and backward leaves: {name: array}, without the blobs inside."""
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.normal(size=net.blobs["data"].shape)
    net.clear_param_diffs()
    net.forward()
    found = {name: net.blobs[name].data.copy() for name in net.outputs}
    for name in net.outputs:
        net.blobs[name].diff[...] = rng.normal(size=net.blobs[name].shape)
    net.backward()
    found["data/diff"] = net.blobs["data"].diff.copy()
    found.update({f"{name}/{i}": blob.diff.copy() for name, blobs in net.params.items()
                  for i, blob in enumerate(blobs)})
    return found


def check_equal(actual, expected, tolerance=1e-12):
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        limit = tolerance * max(1, np.abs(values).max(initial=0))
        np.testing.assert_allclose(actual[name], values, rtol=0, atol=limit, err_msg=name)


def both(net, seed=0):
    """The results of a net with and without elision."""
    net.elide_padding = True
    elided = run(net, seed)
    net.elide_padding = False
    plain = run(net, seed)
    net.elide_padding = True
    return elided, plain


def left(net):
    """{layer: [rows, columns]} that the last pass left out."""
    return {net._layer_names[n]: r._step.left for n, r in net._elision._ran.items()}


@pytest.mark.parametrize("trunk", [ALEXNET, INCEPTION, RESIDUAL])
@pytest.mark.parametrize("size", [(9, 14), (30, 23), (57, 64)])
def test_trunks(net, double, trunk, size):
    made = net(data(*size) + trunk)
    elided, plain = both(made)
    check_equal(elided, plain)


@pytest.mark.parametrize("seed", range(30))
def test_random_trunks(net, double, seed):
    try:
        made = net(random_trunk(np.random.default_rng(seed)))
    except LayerError:
        pytest.skip("its windows do not fit")
    check_equal(*both(made))
