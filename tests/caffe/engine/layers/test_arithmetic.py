"""Arithmetic on whole blobs."""

import numpy as np
import pytest

from caffe.errors import LayerError
from layer_checks import X, Z, backward, check_gradient, check_refused, normal, output

SMOOTH = {
    "product": ('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                'operation: PROD }', {"x": (2, 3), "z": (2, 3), "w": (2, 3)}),
    "sum": ('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
            'coeff: [2, -0.5, 1] }', {"x": (2, 3), "z": (2, 3), "w": (2, 3)}),
    "maximum": ('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                'operation: MAX }', {"x": (2, 3), "z": (2, 3), "w": (2, 3)}),
    "scale": ('type: "Scale" bottom: "x" top: "y" scale_param { bias_term: true filler { '
              'type: "gaussian" } }', {"x": (2, 3, 4)}),
    "scale given": ('type: "Scale" bottom: "x" bottom: "s" top: "y" scale_param { axis: 0 '
                    'bias_term: true }', {"x": (2, 3, 4), "s": (2, 3)}),
    "scale all axes": ('type: "Scale" bottom: "x" top: "y" scale_param { axis: 1 num_axes: -1 }',
                       {"x": (2, 3, 4)}),
    "scale scalar": ('type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 0 }',
                     {"x": (2, 3, 4)}),
    "bias": ('type: "Bias" bottom: "x" top: "y" bias_param { axis: -1 }', {"x": (2, 3, 4)}),
    "bias given": ('type: "Bias" bottom: "x" bottom: "b" top: "y" bias_param { axis: 1 }',
                   {"x": (2, 3, 4), "b": (3, 4)}),
    "power": ('type: "Power" bottom: "x" top: "y" power_param { power: 3 scale: 0.2 shift: 0.1 }',
              {"x": (2, 3)}),
    "power 1": ('type: "Power" bottom: "x" top: "y" power_param { scale: -2 shift: 5 }',
                {"x": (2, 3)}),
    "exp": (f'type: "Exp" {X} exp_param {{ base: 2 scale: 0.5 shift: 0.3 }}', {"x": (2, 3)}),
    "exp e": (f'type: "Exp" {X}', {"x": (2, 3)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


def test_the_gradient_of_a_maximum_goes_to_one_of_the_equals(build):
    net = build('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                'operation: MAX }', x=[1, 1, 0, 2], z=[1, 0, 0, 2], w=[0, 1, 1, 2])
    np.testing.assert_array_equal(output(net), [1, 1, 1, 2])
    diffs = backward(net, y=[1, 2, 3, 4])
    np.testing.assert_array_equal(diffs["x"], [0, 2, 0, 0])
    np.testing.assert_array_equal(diffs["z"], [1, 0, 0, 4])
    np.testing.assert_array_equal(diffs["w"], [0, 0, 3, 0])


@pytest.mark.parametrize("param, expected", [
    ("", [-4, -1]), ("coeff: [2, -0.5, 1]", [1.5, 12]), ("operation: PROD", [6, -24]),
    ("operation: MAX", [1, 4])])
def test_eltwise(build, param, expected):
    net = build('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                f'{param} }}', x=[1, 4], z=[-3, -6], w=[-2, 1])
    np.testing.assert_allclose(output(net), expected)


def test_the_gradients_of_a_sum_are_separate_arrays(build):
    net = build(f'type: "Eltwise" {Z}', x=[1], z=[2])
    net.forward()
    backward(net, y=1)
    net.blobs["x"].diff[...] = 5
    assert net.blobs["z"].diff == net.blobs["y"].diff == 1


def test_a_learned_scale_starts_as_identity(build):
    net = build('type: "Scale" bottom: "x" top: "y" scale_param { bias_term: true }',
                x=normal(2, 3, 4))
    assert [blob.shape for blob in net.params["layer"]] == [(3,), (3,)]
    np.testing.assert_array_equal(output(net), normal(2, 3, 4))


@pytest.mark.parametrize("watched", [False, True])
def test_a_scale_in_place_remembers_what_it_scaled(build, watched):
    x, diff = normal(2, 3), normal(2, 3, seed=1)
    net = build('type: "Scale" bottom: "x" top: "x" scale_param { filler { value: 5 } }', x=x)
    view = net.blobs["x"].data if watched else None
    np.testing.assert_allclose(output(net, "x"), 5 * x, rtol=1e-6)
    if watched:
        np.testing.assert_allclose(view, 5 * x, rtol=1e-6)
    np.testing.assert_allclose(backward(net, x=diff)["x"], 5 * diff, rtol=1e-6)
    np.testing.assert_allclose(net.params["layer"][0].diff, (x * diff).sum(0), rtol=1e-5)


def test_a_given_scale_may_be_a_scalar(build):
    net = build('type: "Scale" bottom: "x" bottom: "s" top: "y"', x=normal(3), s=2.5)
    np.testing.assert_allclose(output(net), 2.5 * normal(3), rtol=1e-6)


@pytest.mark.parametrize("param, value", [("power: 0", 1), ("power: 0 shift: 0 scale: 0", 1),
                                          ("scale: 0 shift: 3 power: 2", 9), ("scale: 0", 0)])
def test_power_that_ignores_its_bottom(build, param, value):
    net = build(f'type: "Power" bottom: "x" top: "y" power_param {{ {param} }}', x=[0, -1, np.nan])
    np.testing.assert_array_equal(output(net), [value] * 3)
    np.testing.assert_array_equal(backward(net, y=1)["x"], [0] * 3)


def test_power_of_zero_has_the_mathematical_slope(build):
    net = build('type: "Power" bottom: "x" top: "y" power_param { power: 2 scale: 3 }', x=[0, 1])
    np.testing.assert_array_equal(output(net), [0, 9])
    np.testing.assert_array_equal(backward(net, y=1)["x"], [0, 18])


@pytest.mark.parametrize("param, expected", [
    ("", np.exp([-1, 0, 2])), ("base: 2", [0.5, 1, 4]), ("base: 2 scale: -1 shift: 3", [16, 8, 2]),
    ("shift: 1 scale: 2", np.exp([-1, 1, 5])), ("base: 0.5 shift: -1", [4, 2, 0.5])])
def test_exp(build, param, expected):
    net = build(f'type: "Exp" {X} exp_param {{ {param} }}', x=[-1, 0, 2])
    np.testing.assert_allclose(output(net), expected, rtol=1e-6)


@pytest.mark.parametrize("param, argument, base", [
    ("", [1, 2, 8], np.e), ("base: 2", [1, 2, 8], 2), ("base: 10 scale: 3 shift: 0.5",
                                                       [3.5, 6.5, 24.5], 10)])
def test_log_and_its_slope(build, param, argument, base):
    net = build(f'type: "Log" {X} log_param {{ {param} }}', x=[1, 2, 8])
    np.testing.assert_allclose(output(net), np.log(argument) / np.log(base), rtol=1e-6, atol=1e-7)
    slope = (3 if "scale" in param else 1) / np.multiply(argument, np.log(base))
    np.testing.assert_allclose(backward(net, y=1)["x"], slope, rtol=1e-6)


def test_log_undoes_exp(build):
    param = "param { base: 3 scale: 2 shift: 0.5 }"
    y = output(build(f'type: "Exp" {X} exp_{param}', x=normal(4)))
    x = output(build(f'type: "Log" {X} log_param {{ base: 3 }}', x=y))
    np.testing.assert_allclose((x - 0.5) / 2, normal(4), rtol=1e-4, atol=1e-6)


REFUSED = {
    "eltwise": (f'type: "Eltwise" {Z}', {"x": (2, 3), "z": (2, 4)}, ["(2, 3)", "(2, 4)"]),
    "coeff": (f'type: "Eltwise" {Z} eltwise_param {{ coeff: 1 }}', {"x": (2,), "z": (2,)},
              ["coeff", "2 bottoms", "got 1"]),
    "coeff of product": (f'type: "Eltwise" {Z} eltwise_param {{ operation: PROD coeff: [1, 1] }}',
                         {"x": (2,), "z": (2,)}, ["coeff", "PROD"]),
    "scale": (f'type: "Scale" {Z}', {"x": (2, 3, 4), "z": (4,)}, ["(4,)", "(2, 3, 4)"]),
    "bias axes": (f'type: "Bias" {X} bias_param {{ axis: 2 num_axes: 2 }}', {"x": (2, 3, 4)},
                  ["num_axes 2", "(2, 3, 4)"]),
    "exp base": (f'type: "Exp" {X} exp_param {{ base: 0 }}', {"x": (2,)}, ["base", "0.0"]),
    "log base": (f'type: "Log" {X} log_param {{ base: -2 }}', {"x": (2,)}, ["base", "-2.0"]),
    "log base 1": (f'type: "Log" {X} log_param {{ base: 1 }}', {"x": (2,)}, ["base 1"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


def test_a_bottom_that_no_longer_fits_the_weights(build):
    net = build(f'type: "Scale" {X}', x=normal(1, 3, 5, 6))
    net.blobs["x"].reshape(1, 4, 5, 6)
    with pytest.raises(LayerError) as caught:
        net.forward()
    for fact in ["(3,)", "(1, 4, 5, 6)"]:
        assert fact in str(caught.value)
