"""Interpolation along one axis after the other gives what the deconvolution gives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from caffe.engine.layers.kernels import interpolation
from caffe.engine.layers.kernels.interpolation import interpolate
from fcn import surgery


@pytest.fixture
def tasks(monkeypatch):
    """Of any size, by factors; what was asked."""
    asked = []

    def chosen(task, ways):
        asked.append(task)
        assert list(ways) == ["deconvolution", "factors"]
        return "factors"
    monkeypatch.setattr(interpolation, "MEASURED", 0)
    monkeypatch.setattr(interpolation, "fastest", chosen)
    return asked


@pytest.mark.parametrize("kernel, stride, reached", [(4, 2, 4), (5, 3, 5), (3, 2, 3), (2, 4, 2)])
def test_what_is_not_finite_reaches_no_further_than_its_window(tasks, kernel, stride, reached):
    taps = torch.arange(1., kernel + 1)
    x = torch.ones(1, 2, 5, 5)
    x[0, 1, 2, 2] = float("inf")
    y = interpolate(x, kernels_of(taps, taps, 2), (stride, stride), (0, 0))
    assert (~y.isfinite()).sum() == reached ** 2


def kernels_of(column, row, channels):
    return torch.outer(column, row).expand(channels, 1, -1, -1).contiguous()


@pytest.mark.parametrize("size, kernel, stride, pad", [
    ((3, 5, 7), (8, 8), (4, 4), (0, 0)), ((3, 5, 7), (8, 4), (4, 2), (2, 1)),
    ((2, 5, 1), (9, 6), (3, 2), (1, 0)), ((2, 6, 5), (8, 9), (2, 3), (4, 4)),
    ((4, 3, 3), (3, 3), (3, 3), (0, 1)),
    ((2, 4, 4), (1, 1), (1, 1), (0, 0)), ((1, 1, 1), (6, 6), (2, 2), (2, 2))], ids=str)
def test_values_and_gradients(tasks, size, kernel, stride, pad):
    torch.manual_seed(1)
    kernels = kernels_of(torch.randn(kernel[0]), torch.randn(kernel[1]), size[0])
    x = torch.randn(2, *size, requires_grad=True)
    y = interpolate(x, kernels, stride, pad)
    gradient = torch.randn_like(y)
    found, = torch.autograd.grad(y, x, gradient)
    assert y.is_contiguous() and found.is_contiguous()
    assert [task.split()[0] for task in tasks] == ["interpolation", "gradient"]
    exact = x.detach().double().requires_grad_()
    expected = F.conv_transpose2d(exact, kernels.double(), None, stride, pad, groups=size[0])
    by_x, = torch.autograd.grad(expected, exact, gradient.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.double(), by_x, rtol=1e-5, atol=2e-5)


def test_other_kernels_are_left_to_the_deconvolution(tasks):
    bilinear = torch.tensor([.25, .75, .75, .25])
    kernels = kernels_of(bilinear, bilinear, 3)
    one_differs, no_product, no_number = kernels.clone(), kernels.clone(), kernels.clone()
    one_differs[2] *= 1.001
    no_product[:, :, 1, 2] += 1e-5
    no_number[1, 0, 0, 0] = float("nan")
    x = torch.randn(1, 3, 4, 5)
    for other in (one_differs, no_product, no_number, torch.zeros_like(kernels)):
        expected = F.conv_transpose2d(x, other, None, 2, 1, groups=3)
        found = interpolate(x, other, (2, 2), (1, 1))
        assert not tasks
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    interpolate(x, kernels, (2, 2), (1, 1))
    assert tasks


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("kernel", [4, 6, 16])
def test_what_the_tools_fill_in_has_factors(tasks, net, group, kernel):
    """Surgery's diagonal kernels, and those of the bilinear filler, one for each group."""
    made = net(f"""
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: [1, 3, 4, 5] }} }} }}
layer {{ name: "score" type: "Convolution" bottom: "x" top: "score"
  convolution_param {{ num_output: 3 kernel_size: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "score" top: "y" param {{ lr_mult: 0 }}
  loss_weight: 1
  convolution_param {{ num_output: 3 kernel_size: {kernel} stride: {kernel // 2} group: {group}
    bias_term: false weight_filler {{ type: "bilinear" }} }} }}""")
    if group == 1:
        surgery.interp(made, ["up"])
    made.blobs["x"].data[...] = np.random.default_rng(1).normal(size=(1, 3, 4, 5))
    made.forward()
    made.blobs["y"].diff[...] = gradient = np.random.default_rng(2).normal(
        size=made.blobs["y"].shape)
    made.backward()
    assert len(tasks) == 2
    leaf = torch.from_numpy(made.blobs["score"].data).double().requires_grad_()
    expected = F.conv_transpose2d(leaf, torch.from_numpy(made.params["up"][0].data).double(),
                                  stride=kernel // 2, groups=group)
    expected.backward(torch.from_numpy(gradient))
    np.testing.assert_allclose(made.blobs["y"].data, expected.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made.blobs["score"].diff, leaf.grad, rtol=1e-5, atol=1e-5)


def test_kernels_that_learn_are_not_asked_about(tasks, net):
    made = net("""
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 4, 5] } } }
layer { name: "up" type: "Deconvolution" bottom: "x" top: "y"
  convolution_param { num_output: 3 kernel_size: 4 stride: 2 group: 3 bias_term: false
    weight_filler { type: "bilinear" } } }""")
    made.forward()
    made.blobs["y"].diff[...] = 1
    made.backward()
    assert not tasks and made.params["up"][0].diff.shape == (3, 1, 4, 4)


def test_small_ones_are_not_measured(tasks, monkeypatch):
    monkeypatch.setattr(interpolation, "MEASURED", 3 * 20 * 16)
    kernels = kernels_of(torch.ones(4), torch.ones(4), 3)
    interpolate(torch.randn(1, 3, 4, 4), kernels, (2, 2), (0, 0))
    assert not tasks
    interpolate(torch.randn(1, 3, 4, 5), kernels, (2, 2), (0, 0))
    assert tasks
