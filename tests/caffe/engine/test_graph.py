"""Which layers run backward, what they are asked for, loss weights, names, as in the original."""

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError

DATA = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
"""
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "%s" bottom: "%s" top: "loss" %s }'


def fc(bottom, top, more="", name=None):
    return (f'layer {{ name: "{name or top}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
            f'{more} inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" }} }} '
            '}\n')


def learned_labels(more=""):
    """Labels that come from weights that learn, by ArgMax."""
    return (DATA + fc("x", "scores") + fc("x", "guess")
            + 'layer { name: "best" type: "ArgMax" bottom: "guess" top: "best" '
              "argmax_param { axis: 1 } }\n" + LOSS % ("scores", "best", more))


def run(built):
    built.blobs["x"].data[...] = np.random.default_rng(1).normal(size=(2, 3))
    built.blobs["y"].data[...] = [0, 2]
    return built.forward()


def ran(built):
    """Forward and backward; the names of blobs and layers that have a gradient."""
    run(built)
    built.backward()
    return {name for name, blob in built.blobs.items() if blob.diff.any()}, {
        name for name, blobs in built.params.items() if any(blob.diff.any() for blob in blobs)}


def test_only_backward_complains_where_labels_are_learned(net):
    built = net(learned_labels())
    assert run(built)["loss"] > 0
    with pytest.raises(LayerError, match="'loss' .SoftmaxWithLoss.*gradient to bottom 1, 'best'.*"
                                         "propagate_down: false"):
        built.backward()


def test_a_net_can_say_that_its_labels_get_no_gradient(net):
    built = net(learned_labels("propagate_down: true propagate_down: false"))
    blobs, params = ran(built)
    assert "scores" in params and "guess" not in params
    assert "scores" in blobs and "best" not in blobs


def test_labels_from_weights_two_layers_of_which_have_equal_ones(net):
    """The original's tricky net: the labels go through an InnerProduct."""
    text = (DATA.replace("shape { dim: 2 } }", "shape { dim: [2, 1] } }") + fc("x", "scores")
            + 'layer { name: "labels" type: "InnerProduct" bottom: "y" top: "labels" '
              "inner_product_param { num_output: 1 } }\n" + LOSS % ("scores", "labels", ""))
    built = net(text)
    assert built.forward()["loss"] > 0
    with pytest.raises(LayerError, match="'loss'.*bottom 1, 'labels'"):
        built.backward()


def test_a_gradient_asked_for_in_vain_is_no_error_where_none_is_due(net):
    asking = "propagate_down: true propagate_down: true"
    assert run(net(DATA + fc("x", "a", FROZEN) + LOSS % ("a", "y", asking)))["loss"] > 0
    ran(net(DATA + fc("x", "a", FROZEN) + LOSS % ("a", "y", asking)))
    due = net(DATA + fc("x", "a") + LOSS % ("a", "y", asking))
    run(due)
    with pytest.raises(LayerError, match="'loss'.*bottom 1, 'y'"):
        due.backward()


def test_skipping_one_way_down_skips_all_below_it(net):
    """As in the original's NetTest: what no layer above passes a gradient down to does not run."""
    built = net(DATA + fc("x", "a") + fc("a", "b", "propagate_down: false")
                + LOSS % ("b", "y", ""))
    blobs, params = ran(built)
    assert params == {"b"} and "a" not in blobs


def test_a_layer_over_something_that_learns_passes_it_on_even_if_it_takes_nothing_down(net):
    built = net(DATA + fc("x", "a") + fc("a", "b", "propagate_down: false " + FROZEN)
                + fc("b", "c", FROZEN) + LOSS % ("c", "y", ""))
    blobs, params = ran(built)
    assert {"b", "c"} <= blobs and "a" not in blobs and not params


def test_statistics_count_as_learned_unless_the_prototxt_fixes_them(net):
    """BatchNorm keeps solvers off its statistics only after the original has asked what learns."""
    text = (DATA + 'layer { name: "n" type: "BatchNorm" bottom: "x" top: "n" %s }\n'
            + fc("n", "a", FROZEN) + LOSS % ("a", "y", ""))
    assert "n" in ran(net(text % "", phase=caffe.TRAIN))[0]
    assert "n" not in ran(net(text % (3 * "param { lr_mult: 0 } "), phase=caffe.TRAIN))[0]


def test_force_backward_asks_for_all_but_labels(net):
    built = net("force_backward: true " + DATA + fc("x", "a", FROZEN) + LOSS % ("a", "y", "")
                + 'layer { name: "right" type: "Accuracy" bottom: "a" bottom: "y" top: "right" }')
    blobs, params = ran(built)
    assert "x" in blobs and "y" not in blobs and params == {"a"}


def test_a_python_layer_may_have_an_attribute_of_any_name(net, monkeypatch):
    import sys
    import types

    class Own(caffe.Layer):
        loss, no_gradient, given_params, looks_at = 3, (0,), 7, 1

        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom, top):
            top[0].data[...] = bottom[0].data

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = top[0].diff

    module = types.ModuleType("own_layers")
    module.Own = Own
    monkeypatch.setitem(sys.modules, "own_layers", module)
    built = net(DATA + fc("x", "a") + 'layer { name: "own" type: "Python" bottom: "a" top: "own" '
                'python_param { module: "own_layers" layer: "Own" } }\n' + LOSS % ("own", "y", ""))
    assert built.blob_loss_weights["own"] == 0
    assert "a" in ran(built)[1]


# loss weights


def test_a_split_top_takes_all_loss_weights_of_its_layer_with_it(net):
    built = net(DATA + fc("x", "a")
                + 'layer { name: "parts" type: "Slice" bottom: "a" top: "s" top: "t" top: "u" '
                  "loss_weight: 1 loss_weight: 2 loss_weight: 3 }\n"
                + 'layer { name: "more" type: "Power" bottom: "s" top: "more" }')
    weights = built.blob_loss_weights
    assert (weights["s"], weights["t"], weights["u"]) == (0, 0, 0)
    assert weights["s_parts_0_split_0"] == 1 and weights["s_parts_0_split_1"] == 0


def test_a_loss_whose_top_is_split_has_its_default_weight_back(net):
    built = net(DATA + fc("x", "a") + LOSS % ("a", "y", "loss_weight: 3")
                + 'layer { name: "more" type: "Power" bottom: "loss" top: "more" }')
    assert built.blob_loss_weights["loss"] == 1
    assert built.blob_loss_weights["loss_loss_0_split_0"] == 3


@pytest.mark.parametrize("given", ["", "loss_weight: 1"])
def test_a_loss_of_two_tops_needs_two_weights(net, given):
    text = DATA + fc("x", "a") + LOSS % ("a", "y", 'top: "probability" ' + given)
    with pytest.raises(LayerError, match="'loss'.*2 tops but 1 loss_weight"):
        net(text)
    built = net(text.replace("top: \"probability\" " + given,
                             'top: "probability" loss_weight: 2 loss_weight: 0'))
    assert built.blob_loss_weights["loss"] == 2 and built.blob_loss_weights["probability"] == 0


# names


def test_two_layers_with_parameters_need_two_names(net):
    with pytest.raises(LayerError, match="net.prototxt: 2 layers with parameters .* 'fc'"):
        net(DATA + fc("x", "a", name="fc") + fc("a", "b", name="fc"))


def test_layers_without_parameters_may_share_a_name(net):
    text = DATA + fc("x", "a", name="fc") + "".join(
        f'layer {{ name: "fc" type: "ReLU" bottom: "{b}" top: "{t}" }}\n' for b, t in ["ab", "bc"])
    assert list(net(text).params) == ["fc"]


def test_a_split_without_bottoms(net):
    with pytest.raises(LayerError, match="'s' .Split.*takes 1 bottom blob.*gives 0"):
        net('layer { name: "s" type: "Split" top: "a" top: "b" }')
