"""Fillers: where parameters start."""

import math

import pytest
import torch

from caffe.engine.fillers import fill
from caffe.errors import LayerError
from caffe.proto.caffe_pb2 import FillerParameter


def filled(*shape, **options):
    """A tensor of `shape` that starts as NaN, filled."""
    torch.manual_seed(17)
    tensor = torch.full(shape, math.nan)
    fill(tensor, FillerParameter(**options))
    return tensor


def test_constant_is_zero_by_default():
    assert filled(2, 3).eq(0).all()
    assert filled(2, 3, value=-1.5).eq(-1.5).all()


def test_uniform_stays_between_its_bounds_and_reaches_them():
    x = filled(100, 100, type="uniform", min=-2, max=3)
    assert -2 <= x.min() < -1.99 and 2.99 < x.max() <= 3
    assert x.mean() == pytest.approx(0.5, abs=0.05)


def test_gaussian_has_its_mean_and_std():
    x = filled(100, 100, type="gaussian", mean=1, std=0.1)
    assert x.mean() == pytest.approx(1, abs=0.005)
    assert x.std() == pytest.approx(0.1, rel=0.05)


def test_sparse_gaussian_keeps_that_many_of_the_outputs():
    x = filled(50, 400, type="gaussian", std=1, sparse=5)
    assert x.ne(0).float().mean() == pytest.approx(5 / 50, rel=0.1)
    assert x[x != 0].std() == pytest.approx(1, rel=0.1)


def test_positive_unitball_sums_to_one_over_each_output():
    x = filled(4, 5, 6, type="positive_unitball")
    assert x.min() >= 0
    torch.testing.assert_close(x.sum((1, 2)), torch.ones(4))
    assert x.unique().numel() == x.numel()


# Shape (40, 30, 5, 5): 750 values for each of 40 outputs, 1000 for each of 30 inputs.
@pytest.mark.parametrize("norm, n", [("FAN_IN", 750), ("FAN_OUT", 1000), ("AVERAGE", 875)])
def test_variance_follows_the_fan(norm, n):
    x = filled(40, 30, 5, 5, type="xavier", variance_norm=norm)
    assert x.abs().max() == pytest.approx(math.sqrt(3 / n), rel=1e-3)
    assert x.std() == pytest.approx(math.sqrt(1 / n), rel=0.02)
    x = filled(40, 30, 5, 5, type="msra", variance_norm=norm)
    assert x.std() == pytest.approx(math.sqrt(2 / n), rel=0.02)
    assert x.abs().max() > 3 * math.sqrt(2 / n)


def test_a_vector_has_a_fan_of_one_value_per_output():
    assert 1.7 < filled(1000, type="xavier").abs().max() <= math.sqrt(3)


@pytest.mark.parametrize("size, line", [
    (1, [1]),
    (3, [0.5, 1, 0.5]),
    (4, [0.25, 0.75, 0.75, 0.25]),
    (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
    (6, [1 / 6, 3 / 6, 5 / 6, 5 / 6, 3 / 6, 1 / 6]),
])
def test_bilinear_is_a_tent_for_every_pair_of_channels(size, line):
    line = torch.tensor(line, dtype=torch.float32)
    torch.testing.assert_close(filled(2, 3, size, size, type="bilinear"),
                               torch.outer(line, line).expand(2, 3, size, size))


def test_bilinear_upsampling_keeps_a_constant():
    kernel = filled(1, 1, 16, 16, type="bilinear")
    y = torch.nn.functional.conv_transpose2d(torch.full((1, 1, 4, 4), 3.0), kernel, stride=8)
    torch.testing.assert_close(y[..., 8:-8, 8:-8], torch.full((1, 1, 24, 24), 3.0))


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "xavier", "msra", "positive_unitball"])
def test_the_seed_decides(kind):
    assert filled(6, 7, type=kind).equal(filled(6, 7, type=kind))
    first, second = torch.empty(2, 6, 7)
    for tensor in (first, second):
        fill(tensor, FillerParameter(type=kind))
    assert not first.equal(second)


@pytest.mark.parametrize("shape, options, message", [
    ((2, 3), {"type": "xaviar"}, "'xaviar'.*did you mean 'xavier'"),
    ((2, 3), {"type": "constant", "sparse": 1}, "sparse: 1.*'constant'"),
    ((2, 3), {"type": "gaussian", "sparse": 3}, "sparse: 3 .*2 outputs"),
    ((2, 3, 4), {"type": "bilinear"}, r"4 axes.*\(2, 3, 4\)"),
    ((2, 3, 4, 5), {"type": "bilinear"}, r"square.*\(2, 3, 4, 5\)"),
])
def test_what_a_filler_refuses(shape, options, message):
    with pytest.raises(LayerError, match=message):
        filled(*shape, **options)
