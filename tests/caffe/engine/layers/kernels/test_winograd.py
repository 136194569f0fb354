"""Winograd's method gives what torch's convolution and its gradients give."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from caffe.engine.layers.kernels import winograd

# padding, dilation, groups
GEOMETRY = {"plain": ((0, 0), (1, 1), 1), "padded": ((1, 1), (1, 1), 1),
            "padded more than a kernel": ((5, 3), (1, 1), 1), "in groups": ((1, 0), (1, 1), 3),
            "dilated": ((2, 3), (2, 3), 1), "dilated more than the image": ((12, 30), (12, 30), 1),
            "dilated along one axis in groups": ((0, 6), (1, 4), 2)}


def of_torch(x, weight, gradient, geometry):
    """The top, and the gradients by image and kernel, in float64."""
    x, weight, gradient = x.double(), weight.double(), gradient.double()
    own = (1, 1), *geometry
    return (F.conv2d(x, weight, None, *own), conv2d_input(x.shape, weight, gradient, *own),
            conv2d_weight(x, weight.shape, gradient, *own))


def by_winograd(x, weight, gradient, geometry):
    return (winograd.correlation(x, weight, None, *geometry),
            winograd.gradient_by_image(weight, gradient, *geometry),
            winograd.gradient_by_weights(x, gradient, *geometry))


@pytest.mark.parametrize("memory", [winograd.MEMORY, 1], ids=["at once", "by rows of tiles"])
@pytest.mark.parametrize("size", [(8, 12), (9, 7), (5, 22)])
@pytest.mark.parametrize("geometry", GEOMETRY.values(), ids=GEOMETRY)
def test_tops_and_gradients(geometry, size, memory, monkeypatch):
    monkeypatch.setattr(winograd, "MEMORY", memory)
    padding, dilation, groups = geometry
    torch.manual_seed(0)
    for images in (1, 2):
        x, weight = torch.randn(images, 2 * groups, *size), torch.randn(3 * groups, 2, 3, 3)
        gradient = torch.randn_like(F.conv2d(x, weight, None, 1, *geometry))
        for own, expected in zip(by_winograd(x, weight, gradient, geometry),
                                 of_torch(x, weight, gradient, geometry)):
            assert own.is_contiguous()
            torch.testing.assert_close(own.double(), expected, rtol=1e-5, atol=1e-4)


def test_the_bias_is_added():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 2, 6, 7), torch.randn(3, 2, 3, 3), torch.randn(3)
    torch.testing.assert_close(winograd.correlation(x, weight, bias, (1, 1), (1, 1), 1),
                               F.conv2d(x, weight, bias, padding=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels, size", [(16, 100), (256, 30)])
def test_errors_are_of_the_size_of_plain_sums(channels, size):
    """In units of the root of the mean square, as a ReLU leaves an image: below those that plain
    sums of so many values may have."""
    geometry = (1, 1), (1, 1), 1
    torch.manual_seed(0)
    x = torch.randn(1, channels, size, size).relu()
    weight, gradient = torch.randn(32, channels, 3, 3), torch.randn(1, 32, size, size)
    for own, expected in zip(by_winograd(x, weight, gradient, geometry),
                             of_torch(x, weight, gradient, geometry)):
        error = (own - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        assert error < 2e-6


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("with_bias", [True, False])
def test_windows_of_zeros_give_the_bias_exactly(with_bias, dilation, groups):
    """So that a ReLU behind passes no gradient there."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, 14, 15)
    x[0, :, 5:] = 0
    x[1, :2, :, 7:] = 0
    weight = torch.randn(6, 4 // groups, 3, 3)
    bias = torch.randn(6) if with_bias else None
    geometry = (5, 4), (dilation,) * 2, groups
    y, plain = (each(x, weight, bias, *own) for each, own in (
        (winograd.correlation, geometry), (F.conv2d, (1, *geometry))))
    of_none = 0.0 if bias is None else bias[:, None, None]
    assert torch.equal(y == of_none, plain == of_none)
    torch.testing.assert_close(y, plain, rtol=1e-5, atol=1e-4)


def test_a_value_that_is_not_finite_is_not_lost():
    x, weight = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 3, 3)
    x[0, 0, 2, 2] = torch.nan
    y = winograd.correlation(x, weight, None, (1, 1), (1, 1), 1)
    assert y[0, 0, 1:4, 1:4].isnan().all() and not y[0, 0, 5:].isnan().any()
