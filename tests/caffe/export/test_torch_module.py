"""caffe.to_torch: the same outputs, as a module that trains and moves."""

import copy

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.layers.kernels import pooling, product
from caffe.errors import LayerError
from fcn import nets

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


class Nothing(caffe.Layer):
    def setup(self, bottom, top):
        top[0].reshape(1)


def full(name, bottom, top, outputs=3, more=""):
    """The text of an InnerProduct layer."""
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
            f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} '
            f'{more} }}')


INPUTS = """
layer { name: "i" type: "Input" top: "x" top: "z" input_param { shape { dim: 1 dim: 3 }
        shape { dim: 1 dim: 2 } } }
"""


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


def test_names_that_torch_does_not_take(net):
    names = ["a.b", "a_b", "a/b", "keys", "train", ""]
    made = net(INPUTS + "".join(full(name, f"x{i}" if i else "x", f"x{i + 1}")
                                for i, name in enumerate(names)))
    module = caffe.to_torch(made)
    assert list(module.layers) == ["a_b", "a_b_", "a_b__", "keys_", "train_", "_"]
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(module(torch.tensor(x), torch.zeros(1, 2))["x6"].detach(),
                               made.forward(x=x, z=np.zeros((1, 2)))["x6"], rtol=1e-5)


def test_a_parameter_shared_in_several_shapes(net):
    made = net(INPUTS + full("a", "x", "p", 2, 'param { name: "w" }')
               + full("b", "z", "q", 3, 'param { name: "w" share_mode: PERMISSIVE }'))
    module, inputs = caffe.to_torch(made), {"x": np.ones((1, 3), "f"), "z": np.ones((1, 2), "f")}
    assert module.layers["a"][0] is module.layers["b"][0]
    expected = made.forward(**inputs)
    for name, output in module(*map(torch.tensor, inputs.values())).items():
        np.testing.assert_allclose(output.detach(), expected[name], rtol=1e-5)


def test_what_does_not_learn_requires_no_gradient(net):
    made = net(INPUTS + full("a", "x", "y", more="param { lr_mult: 0 }"))
    assert [p.requires_grad for p in caffe.to_torch(made).parameters()] == [False, True]


def test_the_whole_is_differentiable(made):
    module = caffe.to_torch(made)
    x = torch.tensor(X, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.abs().sum() > 0 and module.layers["conv2"][0].grad.abs().sum() > 0


def test_gradients_are_the_engines(net):
    caffe.set_random_seed(2)
    made = net("force_backward: true" + NET)
    made.params["norm"][2].data[...] = 1
    module, x = caffe.to_torch(made), torch.tensor(X, requires_grad=True)
    weight = np.random.default_rng(5).normal(size=X.shape).astype(np.float32)
    (module(x) * torch.tensor(weight)).sum().backward()
    made.forward(x=X)
    np.testing.assert_allclose(x.grad, made.backward(y=weight)["x"], rtol=1e-4, atol=1e-5)
    for blob, parameter in zip(made.params["conv2"], module.layers["conv2"]):
        np.testing.assert_allclose(parameter.grad, blob.diff, rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_loss_learns_in_other_precisions(net, dtype):
    module = caffe.to_torch(net(
        'layer { name: "i" type: "Input" top: "x" top: "t" input_param { '
        "shape { dim: [2, 4, 5] } shape { dim: [2, 1, 5] } } }\n"
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" '
        "loss_param { ignore_label: 1 } }"))
    labels = torch.arange(10).reshape(2, 1, 5) % 4
    scores = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))

    def gradient(dtype):
        x = scores.clone().to(dtype).requires_grad_()
        module(x, labels.to(dtype)).backward()
        return x.grad.float()
    expected = gradient(torch.float32)
    assert expected.any() and not expected[0, :, 1].any()
    torch.testing.assert_close(gradient(dtype), expected, rtol=0.02, atol=0.002)


def test_several_outputs_have_names(net):
    made = net(NET + 'layer { name: "more" type: "Power" bottom: "a" top: "z" }')
    assert set(caffe.to_torch(made)(torch.tensor(X))) == {"y", "z"}


def test_torch_export_of_any_size(made):
    """The way to one graph, and to torch.compile."""
    module, x = caffe.to_torch(made), torch.tensor(X)
    free = {axis: torch.export.Dim.AUTO for axis in (0, 2, 3)}
    program = torch.export.export(module, (x,), dynamic_shapes=((free,),), strict=False).module()
    for size in ((2, 3, 6, 5), (3, 3, 9, 4), (2, 3, 5, 11)):
        x = torch.randn(size, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(program(x), module(x))


def test_pools_and_products_can_be_mapped_and_differentiated_twice(net, monkeypatch):
    for fast in (pooling, product):
        monkeypatch.setattr(fast, "LEAST", 1)
    module = caffe.to_torch(net(
        'layer { name: "x" type: "Input" top: "x" '
        'input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }\n'
        'layer { name: "sig" type: "Sigmoid" bottom: "x" top: "a" }\n'
        'layer { name: "pool" type: "Pooling" bottom: "a" top: "b" '
        'pooling_param { kernel_size: 2 stride: 2 } }\n' + full("fc", "b", "y")))
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    y = module(x)
    torch.testing.assert_close(torch.func.vmap(module)(x[:, None])[:, 0], y)
    assert torch.func.jvp(module, (x,), (x,))[1].any()
    x.requires_grad_()
    slope, = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    assert torch.autograd.grad(slope.square().sum(), x)[0].any()


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


def test_what_cannot_be_exported(net):
    dummy = net('layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } '
                '} } layer { name: "p" type: "Python" bottom: "x" top: "y" python_param { module: '
                '"test_torch_module" layer: "Nothing" } }')
    with pytest.raises(LayerError, match=r"no functions of tensors.*'d' \(DummyData\), "
                                         r"'p' \(Python\)$"):
        caffe.to_torch(dummy)


def test_inputs_that_do_not_fit(made):
    module = caffe.to_torch(made)
    with pytest.raises(LayerError, match=r"layer 'in/conv.1' \(Convolution\), bottoms 'x' "
                                         r"\(1, 2, 6, 5\): .*expected 3 channels"):
        module(torch.zeros(1, 2, 6, 5))
    copy.deepcopy(module)
    with pytest.raises(LayerError, match=r"inputs are \['x'\], given were 0 in order and \['z'\]"):
        module(z=torch.tensor(X))
