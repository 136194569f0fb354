"""Products with a matrix of weights."""

import numpy as np
import pytest
import torch

from caffe.engine.layers.kernels import product
from caffe.engine.layers.kernels.product import linear


@pytest.fixture(params=["oneDNN", "MKL"])
def of_any_size(monkeypatch, request):
    """Products of any size, by each library."""
    def chosen(task, ways):
        assert set(ways) == {"oneDNN", "MKL"}
        return request.param
    monkeypatch.setattr(product, "LEAST", 0)
    monkeypatch.setattr(product, "MEASURED", 0)
    monkeypatch.setattr(product, "fastest", chosen)


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("rows, inputs, outputs", [(2, 1, 1), (5, 40, 7), (64, 128, 96)])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("laid", ["plain", "transposed"])
def test_product_and_gradients(rows, inputs, outputs, with_bias, laid):
    def matrix(*shape):
        values = torch.randn(shape[::-1]).t() if laid == "transposed" else torch.randn(shape)
        return values.requires_grad_()

    x, weight = matrix(rows, inputs), matrix(outputs, inputs)
    bias = torch.randn(outputs, requires_grad=True) if with_bias else None
    given = [value for value in (x, weight, bias) if value is not None]
    exact = [value.detach().double().requires_grad_() for value in given]
    slope = matrix(rows, outputs).detach()
    y = linear(x, weight, bias)
    expected = torch.nn.functional.linear(*exact)
    torch.testing.assert_close(y, expected.float(), rtol=1e-5, atol=1e-5)
    for mine, other in zip(torch.autograd.grad(y, given, slope),
                           torch.autograd.grad(expected, exact, slope.double())):
        torch.testing.assert_close(mine, other.float(), rtol=1e-5, atol=1e-4)


def test_no_gradient_is_made_that_nobody_wants(of_any_size):
    x, weight = torch.randn(3, 4), torch.randn(2, 4, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad, x.sum(0).expand(2, 4))


@pytest.mark.parametrize("shape, own", [
    ((0, 4), False), ((7, 4), False), ((8, 4), True), ((2, 4, 4), True), ((1, 32), False),
    ((32,), False)])
def test_large_products_of_several_rows_are_onednns(monkeypatch, shape, own):
    """One for each row, of whatever axes."""
    multiply, calls = product.multiply, []
    monkeypatch.setattr(product, "LEAST", 8 * 4 * 2)
    monkeypatch.setattr(product, "multiply", lambda *given: calls.append(1) or multiply(*given))
    y = linear(torch.ones(shape), torch.ones(2, shape[-1]))
    assert torch.equal(y, torch.full((*shape[:-1], 2), float(shape[-1])))
    assert bool(calls) == own


SHARED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 1 dim: 1 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
        inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" }
        inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "conv" type: "Convolution" bottom: "x" bottom: "x" top: "c" top: "d"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "one" type: "Convolution" bottom: "x" top: "e"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }"""


@pytest.mark.usefixtures("of_any_size")
def test_large_gradients_are_made_in_a_place_of_their_own(net, monkeypatch):
    """Unless they are added to what is there: in a second pass, for layers that share weights, and
    for several bottoms."""
    made = net("force_backward: true " + SHARED)
    x = np.random.default_rng(0).normal(size=(2, 4, 1, 1))
    weights = {name: made.params[name][0] for name in ("a", "conv", "one")}

    def passes(count):
        made.clear_param_diffs()
        for _ in range(count):
            made.forward(x=x)
            for number, name in enumerate("abcde"):
                made.blobs[name].diff[...] = number + np.arange(made.blobs[name].count).reshape(
                    made.blobs[name].shape)
            made.backward()
        return {name: blob.diff_tensor for name, blob in weights.items()}
    expected = {name: tensor.clone() for name, tensor in passes(1).items()}
    monkeypatch.setattr(product, "LARGE", 1)
    monkeypatch.setattr(product, "ROWS", 2)
    places = []
    for count in (1, 2, 3, 1):
        for name, tensor in passes(count).items():
            torch.testing.assert_close(tensor, count * expected[name])
            places.append((name, tensor.data_ptr()))
    assert len({place for name, place in places if name == "one"}) == 1
    held = weights["one"].diff      # whoever looks at it keeps it
    torch.testing.assert_close(passes(1)["one"], expected["one"])
    np.testing.assert_array_equal(held, weights["one"].diff)
