"""The layers where values come from."""

import numpy as np
import pytest

from layer_checks import backward, check_refused, normal, output


def test_input_has_one_shape_for_all_or_one_for_each(build):
    net = build('type: "Input" top: "a" top: "b" input_param { shape { dim: [2, 3] } }')
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == ((2, 3), (2, 3))
    net = build('type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { dim: 3 } }')
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == ((2,), (3,))


def test_dummy_data_refills_all_but_constants(build):
    net = build('type: "DummyData" top: "a" top: "b" dummy_data_param { shape { dim: [3, 4] } '
                'data_filler { type: "constant" value: 2 } data_filler { type: "gaussian" } }')
    assert (net.blobs["a"].data == 2).all()
    first = output(net, "b")
    net.blobs["a"].data[...] = 7
    assert (output(net, "b") != first).all()
    assert (net.blobs["a"].data == 7).all()


def test_dummy_data_in_its_older_form(build):
    net = build('type: "DummyData" top: "a" top: "b" dummy_data_param { num: 2 num: 5 channels: 1 '
                'height: 3 width: 4 }')
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == ((2, 1, 3, 4), (5, 1, 3, 4))
    assert not net.blobs["a"].data.any()


def test_a_parameter_is_its_top(build):
    net = build('type: "Parameter" top: "y" parameter_param { shape { dim: 2 dim: 3 } }')
    parameter, = net.params["layer"]
    assert parameter.shape == (2, 3)
    assert not output(net).any()
    parameter.data[...] = normal(2, 3)
    np.testing.assert_array_equal(output(net), normal(2, 3))
    backward(net, y=normal(2, 3, seed=1))
    np.testing.assert_array_equal(parameter.diff, normal(2, 3, seed=1))


REFUSED = {
    "dummy shapes": ('type: "DummyData" top: "x" top: "y" top: "z" dummy_data_param { shape { '
                     'dim: 1 } shape { dim: 2 } }', {}, ["3 tops", "got 2"]),
    "dummy twice": ('type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } num: 2 }', {},
                    ["num", "shape"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)
