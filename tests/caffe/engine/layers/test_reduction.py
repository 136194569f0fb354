"""ArgMax and Reduction."""

import numpy as np
import pytest

from caffe.errors import LayerError
from layer_checks import X, backward, check_gradient, check_refused, normal, output

SMOOTH = {
    operation: (f'type: "Reduction" {X} reduction_param {{ operation: {operation} axis: -2 '
                'coeff: -0.5 }', {"x": (2, 3, 4)})
    for operation in ("SUM", "ASUM", "SUMSQ", "MEAN")
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


@pytest.mark.parametrize("operation, expected", [("SUM", [-4, 12]), ("ASUM", [8, 12]),
                                                 ("SUMSQ", [20, 40]), ("MEAN", [-2, 6])])
def test_reduction(build, operation, expected):
    net = build(f'type: "Reduction" {X} reduction_param {{ axis: 1 coeff: 2 operation: {operation} '
                '}', x=[[[-3], [1]], [[2], [4]]])
    np.testing.assert_array_equal(output(net), expected)


@pytest.mark.parametrize("axis, shape", [(0, ()), (1, (2,)), (-1, (2, 3))])
def test_reduction_keeps_the_axes_before(build, axis, shape):
    y = output(build(f'type: "Reduction" {X} reduction_param {{ axis: {axis} }}',
                     x=normal(2, 3, 4)))
    assert y.shape == shape
    np.testing.assert_allclose(y, normal(2, 3, 4).reshape(*shape, -1).sum(-1), rtol=1e-5)


def test_the_gradient_of_a_magnitude_at_zero_is_zero(build):
    net = build(f'type: "Reduction" {X} reduction_param {{ operation: ASUM }}', x=[-2, 0, 3])
    net.forward()
    np.testing.assert_array_equal(backward(net, y=2)["x"], [-2, 0, 2])


@pytest.mark.parametrize("param, shape, expected", [
    ("", (2, 1, 1), [3, 1]),
    ("top_k: 2", (2, 1, 2), [3, 2, 1, 3]),
    ("top_k: 2 out_max_val: true", (2, 2, 2), [3, 2, 7, 5, 1, 3, 9, 2]),
    ("axis: 1", (2, 1), [3, 1]),
    ("axis: -1 top_k: 3", (2, 3), [3, 2, 1, 1, 3, 2]),
    ("axis: 1 top_k: 2 out_max_val: true", (2, 2), [7, 5, 9, 2]),
    ("axis: 0", (1, 4), [0, 1, 0, 0]),
])
def test_argmax_takes_the_later_of_equals_first(build, param, shape, expected):
    net = build(f'type: "ArgMax" {X} argmax_param {{ {param} }}', x=[[4, 5, 5, 7], [0, 9, 1, 2]])
    y = output(net)
    assert y.shape == shape
    np.testing.assert_array_equal(y.ravel(), expected)


@pytest.mark.parametrize("bottom, top", [((4,), (4, 1, 1)), ((2, 3, 4), (2, 1, 1)),
                                         ((2, 3, 4, 5, 6), (2, 1, 1, 1, 1)), ((0, 3), (0, 1, 1))])
def test_argmax_over_whole_items(build, bottom, top):
    y = output(build(f'type: "ArgMax" {X}', x=normal(*bottom)))
    assert y.shape == top
    if y.size:
        expected = normal(*bottom).reshape(bottom[0], -1).argmax(1)
        np.testing.assert_array_equal(y.ravel(), expected)


@pytest.mark.parametrize("kind", ["ArgMax", "Threshold"])
def test_no_gradient_passes(net, kind):
    text = """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }
        layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
                inner_product_param { num_output: 3 } }
        layer { name: "layer" type: "%s" bottom: "fc" top: "y" loss_weight: 1 }
    """
    built = net(text % kind)
    built.forward()
    with pytest.raises(LayerError, match="'layer'.*gradient.*'fc'"):
        built.backward()


REFUSED = {
    "axis": (f'type: "Reduction" {X} reduction_param {{ axis: 2 }}', {"x": (2, 3)},
             ["axis 2", "(2, 3)"]),
    "top_k": (f'type: "ArgMax" {X} argmax_param {{ top_k: 13 }}', {"x": (2, 3, 4)},
              ["12", "top_k", "13"]),
    "top_k along": (f'type: "ArgMax" {X} argmax_param {{ top_k: 4 axis: 1 }}', {"x": (2, 3, 4)},
                    ["3", "top_k", "4"]),
    "no top_k": (f'type: "ArgMax" {X} argmax_param {{ top_k: 0 }}', {"x": (2, 3)}, ["got 0"]),
    "argmax axis": (f'type: "ArgMax" {X} argmax_param {{ axis: -3 }}', {"x": (2, 3)}, ["axis -3"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)
