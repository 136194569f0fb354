"""Maxima and sums are those of torch's own pooling, and so are the gradients of maxima."""

import pytest
import torch

from caffe.engine.layers.kernels import pooling
from caffe.engine.layers.kernels.pooling import largest, suits, total
from caffe.engine.layers.kernels.windows import Windows

SIZES = [(2, 2), (6, 8), (5, 7), (1, 4), (9, 1), (33, 34)]


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    monkeypatch.setattr(pooling, "LEAST", 1)


def image(size, kind):
    torch.manual_seed(3)
    if kind == "ties":
        return torch.randint(-2, 2, (2, 3, *size)).float()
    values = torch.randn(2, 3, *size)
    return values.where(values < 1, -torch.inf) if kind == "infinite" else values


@pytest.mark.parametrize("kind", ["normal", "ties", "infinite"])
@pytest.mark.parametrize("size", SIZES)
def test_halved(size, kind):
    windows = Windows((2, 2), (2, 2), (0, 0))
    x = image(size, kind).requires_grad_()
    assert suits(x, windows)
    y, expected = largest(x, windows), torch.nn.functional.max_pool2d(x, 2, ceil_mode=True)
    slope = torch.randn(y.shape)
    assert torch.equal(y, expected) and torch.equal(largest(x.detach(), windows), expected)
    assert torch.equal(*(torch.autograd.grad(each, x, slope)[0] for each in (y, expected)))


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (0, 1), (1, 0)])
@pytest.mark.parametrize("kernel, stride", [((3, 3), (2, 2)), ((3, 3), (1, 1)), ((3, 2), (1, 3)),
                                            ((1, 3), (2, 1)), ((2, 2), (3, 3)), ((3, 3), (3, 4))])
def test_any_small_window(kernel, stride, pad, up):
    windows, compared = Windows(kernel, stride, pad, up), 0
    for size in SIZES:
        for kind in ("ties", "infinite"):
            x = image(size, kind)
            fits = all(count > 0 for count, _ in windows.spans(size))
            assert suits(x, windows) == windows.torch_agrees(size)
            if fits and suits(x, windows):
                compared += 1
                assert torch.equal(largest(x, windows), windows.maximum(x)[0])
    assert compared or pad[0] > kernel[0] / 2


def test_with_padding_the_maximum_is_of_the_image_alone():
    x = -torch.arange(1.0, 17).view(1, 1, 4, 4)
    y = largest(x, Windows((3, 3), (2, 2), (1, 1)))
    assert y.tolist() == [[[[-1, -2, -4], [-5, -6, -8], [-13, -14, -16]]]]


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (0, 2)])
@pytest.mark.parametrize("kernel, stride", [((3, 3), (2, 2)), ((2, 2), (1, 1)), ((5, 4), (1, 3))])
def test_training_with_windows_that_overlap(kernel, stride, pad, up):
    windows, compared = Windows(kernel, stride, pad, up), 0
    for size in SIZES:
        for kind in ("ties", "infinite"):
            x = image(size, kind).repeat(1, 3, 1, 1).requires_grad_()
            fits = all(count > 0 for count, _ in windows.spans(size))
            assert suits(x, windows) == windows.torch_agrees(size)
            if fits and suits(x, windows):
                compared += 1
                y, expected = largest(x, windows), windows.maximum(x)[0]
                slope = torch.randn(y.shape)
                gradients = [torch.autograd.grad(each, x, slope)[0] for each in (y, expected)]
                assert torch.equal(y, expected) and torch.equal(*gradients)
                assert y.is_contiguous() and gradients[0].is_contiguous()
    assert compared or pad[1] > kernel[1] / 2


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1)])
@pytest.mark.parametrize("kernel, stride", [((3, 3), (2, 2)), ((3, 3), (1, 1)), ((2, 3), (3, 1))])
def test_averages_from_sums(kernel, stride, pad, up):
    windows, compared = Windows(kernel, stride, pad, up), 0
    for size in SIZES:
        x = image(size, "normal")
        fits = all(count > 0 for count, _ in windows.spans(size))
        if fits and suits(x, windows):
            compared += 1
            torch.testing.assert_close(windows.over_lengths(total(x, windows), x),
                                       windows.average(x))
    assert compared


def test_training_with_other_windows_or_few_channels_is_left_to_torch():
    few = image((6, 8), "ties").requires_grad_()
    many = image((6, 8), "ties").repeat(1, 3, 1, 1).requires_grad_()
    overlap = Windows((3, 3), (2, 2), (0, 0))
    assert suits(many, overlap) and not suits(few, overlap)
    assert not suits(many, Windows((2, 2), (2, 2), (1, 1)))


def test_what_is_not_a_number_stays_so():
    x = image((6, 6), "normal")
    x[0, 0, 2, 3] = torch.nan
    windows = Windows((2, 2), (2, 2), (0, 0))
    for values in (largest(x, windows), largest(x.clone().requires_grad_(), windows)):
        assert values[0, 0, 1, 1].isnan() and values.isnan().sum() == 1


def test_torch_pools_small_images_empty_ones_and_channels_side_by_side(monkeypatch):
    windows, x = Windows((2, 2), (2, 2), (0, 0)), image((6, 8), "normal")
    assert not suits(x[:0], windows)
    assert not suits(x.contiguous(memory_format=torch.channels_last), windows)
    for least, expected in ((x.numel(), True), (x.numel() + 1, False)):
        monkeypatch.setattr(pooling, "LEAST", least)
        assert suits(x, windows) == expected
