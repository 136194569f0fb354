"""Pooling, window by window."""

import itertools
import math

import numpy as np
import pytest

import caffe
from layer_checks import (IMAGE, X, backward, check_gradient, check_refused, normal, output,
                          spread_out)

FLT_MAX = np.finfo(np.float32).max

SMOOTH = {
    "ave pool": ('type: "Pooling" bottom: "x" top: "y" pooling_param { pool: AVE kernel_size: 3 '
                 'stride: 2 pad: 1 }', {"x": (2, 2, 6, 7)}),
    "ave pool, wide pad": ('type: "Pooling" bottom: "x" top: "y" pooling_param { pool: AVE '
                           'kernel_size: 3 stride: 2 pad: 2 }', {"x": (2, 2, 6, 7)}),
    "max pool": ('type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 stride: 2 '
                 'pad: 1 }', {"x": (2, 2, 6, 7)}),
    "max pool, wide pad": ('type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 '
                           'stride: 2 pad: 2 }', {"x": (2, 2, 6, 7)}),
    "max pyramid": (f'type: "SPP" {X} spp_param {{ pyramid_height: 3 }}', {"x": (2, 2, 7, 8)}),
    "ave pyramid": (f'type: "SPP" {X} spp_param {{ pyramid_height: 2 pool: AVE }}',
                    {"x": (2, 2, 5, 6)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


POOLINGS = [(size, kernel, stride, pad)
            for size, kernel, stride, pad in itertools.product(
                ((7, 8), (4, 5), (9, 9)), (1, 2, 3, 4), (1, 2, 3), (0, 1, 2)) if pad < kernel]


def windows(n, kernel, stride, pad):
    """Caffe's windows along one axis: begin and end in the image, and length in the padding."""
    count = math.ceil((n + 2 * pad - kernel) / stride) + 1
    if pad and (count - 1) * stride >= n + pad:
        count -= 1
    for start in range(-pad, count * stride - pad, stride):
        end = min(start + kernel, n + pad)
        yield max(start, 0), min(end, n), end - start


@pytest.mark.parametrize("size, kernel, stride, pad", POOLINGS)
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_pooling_window_by_window(build, pool, size, kernel, stride, pad):
    x = normal(1, 1, *size)
    net = build(f'type: "Pooling" bottom: "x" top: "y" pooling_param {{ pool: {pool} '
                f'kernel_size: {kernel} stride: {stride} pad: {pad} }}', x=x)
    rows, columns = (list(windows(n, kernel, stride, pad)) for n in size)
    expected = np.empty((1, 1, len(rows), len(columns)), np.float32)
    for (i, (top, bottom, height)), (j, (left, right, width)) in itertools.product(
            enumerate(rows), enumerate(columns)):
        window = x[0, 0, top:bottom, left:right]
        expected[0, 0, i, j] = (window.max(initial=-FLT_MAX) if pool == "MAX" else
                                np.float32(window.sum()) / np.float32(height * width))
    np.testing.assert_allclose(output(net), expected, rtol=1e-5, atol=1e-6)


def test_floor_rounding_leaves_out_the_last_window(build):
    param = "pooling_param { kernel_size: 2 stride: 2"
    x = normal(1, 1, 5, 7)
    up = output(build(f'type: "Pooling" bottom: "x" top: "y" {param} }}', x=x))
    down = output(build(f'type: "Pooling" bottom: "x" top: "y" {param} round_mode: FLOOR }}', x=x))
    assert (up.shape, down.shape) == ((1, 1, 3, 4), (1, 1, 2, 3))
    np.testing.assert_array_equal(up[:, :, :2, :3], down)


def test_global_pooling_takes_any_image(build):
    net = build('type: "Pooling" bottom: "x" top: "y" pooling_param { pool: AVE '
                'global_pooling: true }', x=normal(2, 3, 4, 5))
    for shape in ((2, 3, 4, 5), (1, 3, 7, 6)):
        x = normal(*shape)
        net.blobs["x"].reshape(*shape)
        net.blobs["x"].data[...] = x
        np.testing.assert_allclose(output(net), x.mean((2, 3), keepdims=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel, pad", [(2, 0), (3, 1), (3, 2)])
def test_the_first_of_equal_maxima_is_the_maximum(build, kernel, pad):
    net = build('type: "Pooling" bottom: "x" top: "y" top: "index" pooling_param { '
                f'kernel_size: {kernel} stride: {kernel} pad: {pad} }}', x=np.ones((1, 2, 6, 7)))
    index = output(net, "index")
    firsts = [[start for start, _, _ in windows(n, kernel, kernel, pad)] for n in (6, 7)]
    expected = np.add.outer(np.multiply(firsts[0], 7), firsts[1])
    np.testing.assert_array_equal(index, np.broadcast_to(expected, index.shape))
    diff = backward(net, y=1)["x"]
    at_first = np.zeros(6 * 7)
    at_first[expected.ravel()] = 1
    np.testing.assert_array_equal(diff.reshape(2, -1), [at_first] * 2)


def test_a_window_without_image_has_no_index(build):
    net = build('type: "Pooling" bottom: "x" top: "y" top: "index" pooling_param { kernel_size: 1 '
                'stride: 2 }', x=np.ones((1, 1, 4, 1)))
    np.testing.assert_array_equal(output(net, "index").ravel(), [0, 2, -1])


STOCHASTIC = (f'type: "Pooling" {X} pooling_param {{ pool: STOCHASTIC kernel_size: 2 stride: 2 }}')


def test_stochastic_pooling_draws_in_proportion(build):
    image = np.array([[1, 3], [0, 4]])
    net = build(STOCHASTIC, caffe.TRAIN, x=np.tile(image, (100, 100))[None, None])
    y = output(net)
    for value in image.ravel():
        assert (y == value).mean() == pytest.approx(value / 8, abs=0.03)
    assert (output(net) != y).any()


def test_stochastic_pooling_passes_the_gradient_to_what_it_drew(build):
    x = spread_out(np.random.default_rng(0), 2, 3, 5, 6) + 50
    net = build(STOCHASTIC, caffe.TRAIN, x=x)
    y = output(net)
    assert y.shape == (2, 3, 3, 3)
    diff = backward(net, y=y)["x"]
    np.testing.assert_array_equal(np.sort(diff[diff != 0]), np.sort(y.ravel()))
    np.testing.assert_array_equal(diff[diff != 0], x[diff != 0])


def test_of_zeros_stochastic_pooling_draws_the_first(build):
    net = build(STOCHASTIC, caffe.TRAIN, x=np.zeros((1, 1, 2, 2)))
    assert output(net) == 0
    np.testing.assert_array_equal(backward(net, y=1)["x"], [[[[1, 0], [0, 0]]]])


def test_stochastic_pooling_tests_with_the_mean_of_its_draws(build):
    x = np.abs(normal(1, 2, 4, 5))
    x[:, 0, :2, :2], x[:, 1, :2, :2] = 0, -1
    y = output(build(STOCHASTIC, x=x))
    padded = np.pad(x, [(0, 0), (0, 0), (0, 0), (0, 1)]).reshape(1, 2, 2, 2, 3, 2)
    sums = padded.sum((3, 5))
    expected = (padded ** 2).sum((3, 5)) / np.where(sums > 0, sums, np.inf)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    assert not y[:, :, 0, 0].any()


def test_the_gradient_of_stochastic_pooling_in_testing(build):
    check_gradient(build, STOCHASTIC, {"x": (1, 2, 4, 5)},
                   values=lambda rng, count: rng.uniform(1, 3, count))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_a_pyramid_is_made_of_poolings(build, pool):
    x = normal(2, 3, 7, 10)
    net = build(f'type: "SPP" {X} spp_param {{ pyramid_height: 3 pool: {pool} }}', x=x)
    geometries = ["kernel_h: 7 kernel_w: 10 stride_h: 7 stride_w: 10",
                  "kernel_h: 4 kernel_w: 5 stride_h: 4 stride_w: 5 pad_h: 1 pad_w: 0",
                  "kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 1"]
    levels = [output(build(f'type: "Pooling" {X} pooling_param {{ pool: {pool} {geometry} }}', x=x))
              for geometry in geometries]
    assert [level.shape[2:] for level in levels] == [(1, 1), (2, 2), (4, 4)]
    expected = np.concatenate([level.reshape(2, -1) for level in levels], 1)
    np.testing.assert_allclose(output(net), expected, rtol=1e-6)


def test_a_pyramid_of_one_level_keeps_its_axes(build):
    net = build(f'type: "SPP" {X} spp_param {{ pyramid_height: 1 }}', x=normal(2, 3, 4, 5))
    np.testing.assert_array_equal(output(net), normal(2, 3, 4, 5).max((2, 3), keepdims=True))


def test_a_pyramid_follows_the_size_of_its_image(build):
    net = build(f'type: "SPP" {X} spp_param {{ pyramid_height: 2 }}', x=normal(1, 2, 4, 4))
    for size in (4, 6, 9):
        net.blobs["x"].reshape(1, 2, size, size)
        assert output(net).shape == (1, 2 * (1 + 4))


REFUSED = {
    "pool pad": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 2 pad: 2 }}', IMAGE,
                 ["pad", "(2, 2)"]),
    "pool kernel": (f'type: "Pooling" {X} pooling_param {{ }}', IMAGE, ["kernel_size"]),
    "half a pool": (f'type: "Pooling" {X} pooling_param {{ kernel_h: 2 }}', IMAGE, ["kernel_w"]),
    "pool too large": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 8 }}', IMAGE,
                       ["(8, 8)", "(1, 3, 5, 6)"]),
    "pool axes": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 1 }}', {"x": (2, 3, 4)},
                  ["4 axes", "(2, 3, 4)"]),
    "global kernel": (f'type: "Pooling" {X} pooling_param {{ global_pooling: true kernel_size: 2 '
                      '}', IMAGE, ["global_pooling", "(2, 2)"]),
    "index of averages": ('type: "Pooling" bottom: "x" top: "y" top: "z" pooling_param { pool: AVE '
                          'kernel_size: 2 }', IMAGE, ["index"]),
    "stochastic": (f'type: "Pooling" {X} pooling_param {{ pool: STOCHASTIC kernel_size: 2 pad: 1 '
                   '}', IMAGE, ["stochastic", "(1, 1)"]),
    "no pyramid": (f'type: "SPP" {X}', IMAGE, ["pyramid_height"]),
    "pyramid too high": (f'type: "SPP" {X} spp_param {{ pyramid_height: 3 }}', IMAGE,
                         ["(2, 2)", "(2, 1)"]),
    "pyramid axes": (f'type: "SPP" {X} spp_param {{ pyramid_height: 1 }}', {"x": (2, 3, 4)},
                     ["4 axes", "(2, 3, 4)"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


@pytest.mark.parametrize("more", ["global_pooling: true", "pool: AVE global_pooling: true",
                                  "kernel_size: 2 pad: 1"])
def test_sizes_may_be_numpy_s(net, more):
    made = net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 '
               'dim: 5 } } }\nlayer { name: "y" type: "Pooling" bottom: "x" top: "y" '
               f'pooling_param {{ {more} }} }}')
    made.blobs["x"].reshape(*np.array([3, 2, 6, 7]))
    assert all(type(size) is int for size in made.blobs["x"].shape)
    assert made.forward()["y"].shape[:2] == (3, 2)


def test_one_of_kernel_h_and_kernel_w_does_not_count_beside_kernel_size(build):
    """As in the original."""
    x = normal(1, 1, 6, 6)
    both, one = (build(f'type: "Pooling" {X} pooling_param {{ kernel_size: 2 {more} }}', x=x)
                 for more in ("", "kernel_h: 3"))
    np.testing.assert_array_equal(output(one), output(both))


@pytest.mark.parametrize("given", ["kernel_size: 0", "kernel_h: 0 kernel_w: 0"])
def test_global_pooling_takes_no_kernel(build, given):
    check_refused(build, f'type: "Pooling" {X} pooling_param {{ global_pooling: true {given} }}',
                  {"x": (1, 1, 4, 4)}, ["global_pooling", "no kernel"])
