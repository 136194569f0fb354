"""caffe.to_torch: the same outputs, as a module that trains and moves."""

import copy

import numpy as np
import pytest
import torch

import caffe
import nets
from caffe.errors import LayerError

NET = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "in/conv.1" type: "Convolution" bottom: "x" top: "a" param { name: "w" }
        convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "a" top: "a" }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "conv2" type: "Convolution" bottom: "a" top: "b" param { name: "w" }
        convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "b" top: "b" }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "y" }
"""
X = np.random.default_rng(1).normal(size=(2, 3, 6, 5)).astype(np.float32)


@pytest.fixture
def made(net):
    caffe.set_random_seed(2)
    made = net(NET)
    for blob, value in zip(made.params["norm"], ([0.5] * 3, [1, 2, 3], [2])):
        blob.data[...] = value
    return made


def test_the_same_output_of_any_size(made):
    module = caffe.to_torch(made)
    for size in ((2, 3, 6, 5), (1, 3, 9, 4)):
        x = np.random.default_rng(4).normal(size=size).astype(np.float32)
        made.blobs["x"].reshape(*size)
        expected = made.forward(x=x)["y"]
        for output in (module(torch.tensor(x)), module(x=torch.tensor(x))):
            np.testing.assert_allclose(output.detach(), expected, rtol=1e-5, atol=1e-6)


def test_parameters(made):
    module = caffe.to_torch(made)
    assert set(module.state_dict()) == {
        f"layers.{name}" for name in ("in_conv_1.0", "in_conv_1.1", "conv2.0", "conv2.1", "norm.0",
                                      "norm.1", "norm.2")}
    assert module.layers["conv2"][0] is module.layers["in_conv_1"][0]
    assert [p.requires_grad for p in module.layers["norm"]] == [False] * 3
    before = module.layers["conv2"][1].detach().clone()
    made.params["conv2"][1].data[...] += 1
    torch.testing.assert_close(module.layers["conv2"][1].detach(), before)


def test_the_whole_is_differentiable(made):
    module = caffe.to_torch(made)
    x = torch.tensor(X, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.abs().sum() > 0 and module.layers["conv2"][0].grad.abs().sum() > 0


def test_training_draws_and_measures(made):
    module = caffe.to_torch(made).train()
    before = module.layers["norm"][2].item()
    assert not torch.equal(module(torch.tensor(X)), module(torch.tensor(X)))
    assert module.layers["norm"][2].item() == pytest.approx((before * 0.999 + 1) * 0.999 + 1)
    module.eval()
    assert torch.equal(module(torch.tensor(X)), module(torch.tensor(X)))


def test_a_module_can_be_copied_and_converted(made):
    module = caffe.to_torch(made)
    expected = module(torch.tensor(X))
    double = copy.deepcopy(module).double()
    torch.testing.assert_close(double(torch.tensor(X).double()).float(), expected, rtol=1e-4,
                               atol=1e-5)


def test_several_outputs_have_names(net):
    made = net(NET + 'layer { name: "more" type: "Power" bottom: "a" top: "z" }')
    assert set(caffe.to_torch(made)(torch.tensor(X))) == {"y", "z"}


def test_fcn8s(tmp_path):
    path = nets.write_prototxt(tmp_path / "deploy.prototxt",
                               nets.fcn("fcn8s", "deploy", width=1 / 16))
    made = caffe.Net(str(path), caffe.TEST)
    for blobs in made.params.values():
        blobs[0].data[...] = np.random.default_rng(1).normal(scale=0.1, size=blobs[0].shape)
    module = caffe.to_torch(made)
    x = np.random.default_rng(1).normal(size=(1, 3, 40, 33)).astype(np.float32)
    made.blobs["data"].reshape(*x.shape)
    expected = made.forward(data=x)["score"]
    assert expected.any()
    np.testing.assert_allclose(module(torch.tensor(x)).detach(), expected, rtol=1e-4,
                               atol=1e-5 * np.abs(expected).max())


def test_what_cannot_be_exported(net, made):
    dummy = net('layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } '
                '} }')
    with pytest.raises(LayerError, match=r"'d' \(DummyData\) cannot be exported"):
        caffe.to_torch(dummy)
    with pytest.raises(LayerError, match=r"inputs are \['x'\], given were 0 in order and \['z'\]"):
        caffe.to_torch(made)(z=torch.tensor(X))
