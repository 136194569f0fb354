"""The layers that treat each value alone."""

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import LayerError
from layer_checks import IMAGE, X, backward, check_gradient, check_refused, normal, output

SMOOTH = {
    "relu": ('type: "ReLU" bottom: "x" top: "y"', {"x": (2, 3, 4)}),
    "leaky relu": ('type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0.3 }',
                   {"x": (2, 3, 4)}),
    "prelu": (f'type: "PReLU" {X}', {"x": (2, 3, 4)}),
    "prelu shared": (f'type: "PReLU" {X} prelu_param {{ channel_shared: true }}', {"x": (2, 3)}),
    "elu": (f'type: "ELU" {X} elu_param {{ alpha: 0.5 }}', {"x": (2, 3, 4)}),
    "absval": (f'type: "AbsVal" {X}', {"x": (2, 3, 4)}),
    "bnll": (f'type: "BNLL" {X}', {"x": (2, 3, 4)}),
    "clip": (f'type: "Clip" {X} clip_param {{ min: -1 max: 1.2 }}', {"x": (2, 3, 4)}),
    "sigmoid": (f'type: "Sigmoid" {X}', {"x": (2, 3, 4)}),
    "swish": (f'type: "Swish" {X} swish_param {{ beta: 1.5 }}', {"x": (2, 3, 4)}),
    "tanh": (f'type: "TanH" {X}', {"x": (2, 3, 4)}),
}

POINTS = np.array([-2, -1, 0, 1, 3], np.float32)

# layer: its values and its gradients at POINTS
VALUES = {
    "ELU": ("", np.where(POINTS > 0, POINTS, np.exp(POINTS) - 1), np.exp(np.minimum(POINTS, 0))),
    "AbsVal": ("", [2, 1, 0, 1, 3], [-1, -1, 0, 1, 1]),
    "BNLL": ("", np.log1p(np.exp(POINTS)), 1 / (1 + np.exp(-POINTS))),
    "Clip": ("clip_param { min: -1 max: 1 }", [-1, -1, 0, 1, 1], [0, 1, 1, 1, 0]),
    "Sigmoid": ("", 1 / (1 + np.exp(-POINTS)), 1 / (2 + np.exp(POINTS) + np.exp(-POINTS))),
    "TanH": ("", np.tanh(POINTS), 1 / np.cosh(POINTS) ** 2),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


def test_the_gradient_of_relu_at_zero_is_that_of_the_negative_side(build):
    for slope_, expected in ((0, [0, 0, 1]), (0.25, [0.25, 0.25, 1])):
        net = build('type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: '
                    f'{slope_} }}', x=[-1, 0, 1])
        net.forward()
        np.testing.assert_array_equal(backward(net, y=1)["x"], expected)


# in place the original's formula sees the value that the layer has written, not the one it read
IN_PLACE = {**VALUES,
            "BNLL": (*VALUES["BNLL"][:2], 1 / (1 + np.exp(-VALUES["BNLL"][1]))),
            "Clip": (*VALUES["Clip"][:2], [1, 1, 1, 1, 1])}
del IN_PLACE["AbsVal"]


@pytest.mark.parametrize("kind", VALUES)
def test_values_and_gradients(build, kind):
    check_points(build, kind, "y", *VALUES[kind])


@pytest.mark.parametrize("kind", IN_PLACE)
def test_values_and_gradients_in_place(build, kind):
    check_points(build, kind, "x", *IN_PLACE[kind])


def check_points(build, kind, top, param, y, slopes):
    net = build(f'type: "{kind}" bottom: "x" top: "{top}" {param}', x=POINTS)
    np.testing.assert_allclose(output(net, top), y, rtol=1e-6)
    np.testing.assert_allclose(backward(net, **{top: 2})["x"], np.multiply(slopes, 2), rtol=1e-5)


@pytest.mark.parametrize("kind", ["ELU", "BNLL", "Sigmoid", "TanH", "Swish"])
def test_far_from_zero_all_is_finite(build, kind):
    net = build(f'type: "{kind}" {X}', x=[-1000, -90, 90, 1000])
    assert np.isfinite(output(net)).all()
    assert np.isfinite(backward(net, y=1)["x"]).all()


def test_swish_is_a_gated_identity(build):
    net = build(f'type: "Swish" {X} swish_param {{ beta: 2 }}', x=POINTS)
    np.testing.assert_allclose(output(net), POINTS / (1 + np.exp(-2 * POINTS)), rtol=1e-6)


def test_threshold_is_not_reached_by_its_own_value(build):
    net = build(f'type: "Threshold" {X} threshold_param {{ threshold: 1 }}', x=POINTS)
    np.testing.assert_array_equal(output(net), [0, 0, 0, 0, 1])


def test_prelu_has_a_slope_for_each_channel(build):
    net = build(f'type: "PReLU" {X}', x=[[[-4, 0], [-4, 8]]])
    slope, = net.params["layer"]
    np.testing.assert_array_equal(slope.data, [0.25, 0.25])
    slope.data[...] = [0.5, 2]
    np.testing.assert_array_equal(output(net), [[[-2, 0], [-8, 8]]])
    diff = backward(net, y=1)["x"]
    np.testing.assert_array_equal(diff, [[[0.5, 0.5], [2, 1]]])
    np.testing.assert_array_equal(slope.diff, [-4, -4])


def test_a_shared_slope_is_a_scalar(build):
    net = build(f'type: "PReLU" {X} prelu_param {{ channel_shared: true filler {{ value: 3 }} }}',
                x=[[-1, -2, 2]])
    slope, = net.params["layer"]
    assert slope.shape == ()
    np.testing.assert_array_equal(output(net), [[-3, -6, 2]])
    backward(net, y=1)
    assert slope.diff == -3


def test_dropout_keeps_the_mean_and_drops_the_same_values_backward(build):
    ones = np.ones((100, 100))
    net = build('type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.3 }',
                caffe.TRAIN, x=ones)
    first = output(net)
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-6)
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(backward(net, y=1)["x"], first)
    assert (output(net) != first).any()


def test_dropout_does_nothing_in_testing(build):
    net = build('type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.9 }',
                x=normal(3, 4))
    np.testing.assert_array_equal(output(net), normal(3, 4))
    np.testing.assert_array_equal(backward(net, y=normal(3, 4, seed=1))["x"], normal(3, 4, seed=1))


def test_clip_to_less_than_its_least_is_its_least(build):
    """As in the original, which takes the minimum before the maximum."""
    net = build(f'type: "Clip" {X} clip_param {{ min: 1 max: -1 }}', x=POINTS)
    np.testing.assert_array_equal(output(net), np.ones(len(POINTS)))
    assert not backward(net, y=1)["x"].any()


REFUSED = {
    "dropout": (f'type: "Dropout" {X} dropout_param {{ dropout_ratio: 2 }}', IMAGE,
                ["dropout_ratio", "2.0"]),
    "prelu": (f'type: "PReLU" {X}', {"x": (3,)}, ["2 axes", "(3,)"]),
    "prelu 5-D": (f'type: "PReLU" {X}', {"x": (2, 3, 1, 1, 1)}, ["4 axes", "(2, 3, 1, 1, 1)"]),
    "no clip": (f'type: "Clip" {X}', IMAGE, ["min", "max"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


def test_channels_that_no_longer_fit_the_slopes(build):
    net = build(f'type: "PReLU" {X}', x=normal(1, 3, 5, 6))
    net.blobs["x"].reshape(1, 4, 5, 6)
    with pytest.raises(LayerError, match=r"3 slopes.*\(1, 4, 5, 6\)"):
        net.forward()


@pytest.mark.parametrize("slope", [0, 0.5])
def test_in_place_a_relu_keeps_no_second_copy(net, slope):
    made = net(f"""
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 300 }} }} }}
layer {{ name: "scale" type: "Power" bottom: "x" top: "y" power_param {{ scale: 2 }} }}
layer {{ name: "relu" type: "ReLU" bottom: "y" top: "y"
  relu_param {{ negative_slope: {slope} }} }}""")
    x = normal(2, 300)
    made.blobs["x"].data[...] = x
    made.forward()
    assert not any(torch.is_tensor(value) for value in vars(made.layer_dict["relu"]).values())
    expected = 2 * np.where(x > 0, 1, slope)
    for _ in range(2):
        made.blobs["y"].diff[...] = 1
        made.backward()
        np.testing.assert_allclose(made.blobs["x"].diff, expected)
