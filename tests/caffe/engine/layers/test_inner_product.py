"""The fully connected layers."""

import numpy as np
import pytest

from caffe.errors import LayerError
from layer_checks import IMAGE, X, backward, check_gradient, check_refused, normal, output

SMOOTH = {
    "inner product": ('type: "InnerProduct" bottom: "x" top: "y" inner_product_param { '
                      'num_output: 3 weight_filler { type: "xavier" } }', {"x": (3, 2, 4)}),
    "inner product axis": ('type: "InnerProduct" bottom: "x" top: "y" inner_product_param { '
                           'num_output: 3 axis: -1 transpose: true bias_term: false '
                           'weight_filler { type: "xavier" } }', {"x": (3, 2, 4)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


EMBED = (f'type: "Embed" {X} embed_param {{ input_dim: 4 num_output: 2 weight_filler {{ '
         'type: "gaussian" } bias_filler { value: 3 } }')


def test_embed_takes_rows_of_the_weights(build):
    net = build(EMBED, x=[[0, 3, 3], [1, 0, 3]])
    weight, bias = net.params["layer"]
    assert (weight.shape, bias.shape) == ((4, 2), (2,))
    np.testing.assert_array_equal(output(net), weight.data[[[0, 3, 3], [1, 0, 3]]] + 3)


def test_the_gradients_of_a_row_add_up(build):
    net = build(EMBED, x=[0, 3, 3])
    net.forward()
    backward(net, y=[[1, 2], [10, 20], [100, 200]])
    weight, bias = net.params["layer"]
    np.testing.assert_array_equal(weight.diff, [[1, 2], [0, 0], [0, 0], [110, 220]])
    np.testing.assert_array_equal(bias.diff, [111, 222])


def test_embed_without_a_bias(build):
    net = build(EMBED.replace("input_dim", "bias_term: false input_dim"), x=[2])
    weight, = net.params["layer"]
    np.testing.assert_array_equal(output(net), weight.data[2:3])


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_outside_of_the_weights(build, index):
    net = build(EMBED, x=[0, index])
    with pytest.raises(LayerError, match=rf"'layer'.*index {index} .*4 rows"):
        net.forward()


REFUSED = {
    "inner product": (f'type: "InnerProduct" {X}', IMAGE, ["num_output"]),
    "embed": (f'type: "Embed" {X} embed_param {{ num_output: 2 }}', {"x": (2,)},
              ["input_dim", "0 and 2"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


def test_a_bottom_that_no_longer_fits_the_weights(build):
    net = build(f'type: "InnerProduct" {X} inner_product_param {{ num_output: 2 }}',
                x=normal(1, 3, 5, 6))
    net.blobs["x"].reshape(1, 4, 5, 6)
    with pytest.raises(LayerError) as caught:
        net.forward()
    for fact in ["90 values", "(2, 90)", "120"]:
        assert fact in str(caught.value)
