"""A backward pass uses what blobs and parameters hold when it runs, as in the original."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError

INPUT = ('force_backward: true\n'
         'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }\n')


def product(name, bottom, count):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            f'inner_product_param {{ num_output: {count} weight_filler {{ type: "xavier" }} }} '
            '}\n')


CHAIN = INPUT + product("a", "x", 2) + product("b", "a", 1)


@pytest.fixture
def chain(net):
    return net(CHAIN)


def check_b(net, a, weight, diff):
    """The gradients of the product b, from a, its weight, and the gradient by b."""
    np.testing.assert_allclose(net.blobs["a"].diff, diff * weight, rtol=1e-6)
    np.testing.assert_allclose(net.params["b"][0].diff, diff * a, rtol=1e-6)


def test_without_a_forward_pass(chain):
    a, diff = np.float32([[3, 4]]), 2
    chain.blobs["a"].data[...], chain.blobs["b"].diff[...] = a, diff
    chain.backward(start="b", end="b")
    check_b(chain, a, chain.params["b"][0].data, diff)


def test_after_a_forward_pass_of_the_layers_below_with_other_data(chain):
    chain.forward(x=np.ones((1, 2)))
    chain.blobs["x"].data[...] = [[5, -1]]
    chain.forward(end="a")
    chain.blobs["b"].diff[...] = 2
    chain.backward()
    check_b(chain, chain.blobs["a"].data, chain.params["b"][0].data, 2)


def test_after_the_weights_were_changed(chain):
    chain.forward(x=np.ones((1, 2)))
    chain.params["b"][0].data[...] = [[10, 20]]
    chain.blobs["b"].diff[...] = 1
    chain.backward()
    check_b(chain, chain.blobs["a"].data, np.float32([[10, 20]]), 1)


def test_after_weights_were_shared(net, chain):
    chain.forward(x=np.ones((1, 2)))
    other = net(CHAIN)
    other.params["b"][0].data[...] = [[7, 8]]
    chain.share_with(other)
    chain.blobs["b"].diff[...] = 1
    chain.backward()
    check_b(chain, chain.blobs["a"].data, np.float32([[7, 8]]), 1)


def test_after_a_bottom_was_written_through_a_view_that_was_taken_before(chain):
    view = chain.blobs["a"].data
    chain.forward(x=np.ones((1, 2)))
    view[...] = [[100, 200]]
    chain.blobs["b"].diff[...] = 1
    chain.backward()
    check_b(chain, np.float32([[100, 200]]), chain.params["b"][0].data, 1)


def test_after_weights_were_written_through_a_view_that_is_gone(chain):
    """In bf16, where autograd has a converted copy of them."""
    caffe.set_precision("bf16")
    try:
        view = chain.params["b"][0].data
        chain.forward(x=np.ones((1, 2)))
        view[...] = [[16, 32]]
        del view
        chain.blobs["b"].diff[...] = 1
        chain.backward()
    finally:
        caffe.set_precision("tf32")
    np.testing.assert_array_equal(chain.blobs["a"].diff, [[16, 32]])


def test_a_forward_pass_after_weights_were_written_through_a_view_that_is_gone(net):
    made = net(CHAIN.removeprefix("force_backward: true\n").replace(
        'name: "a"', 'name: "a" param { lr_mult: 0 } param { lr_mult: 0 }').replace(
        'name: "b"', 'name: "b" param { lr_mult: 0 } param { lr_mult: 0 }'))
    made.params["a"][0].data[...] = 1
    caffe.set_precision("bf16")
    try:
        view = made.params["b"][0].data
        made.forward(x=np.ones((1, 2)))
        view[...] = [[16, 32]]
        del view
        found = made.forward(x=np.ones((1, 2)))["b"].copy()
    finally:
        caffe.set_precision("tf32")
    np.testing.assert_array_equal(found, [[96]])


def test_after_a_bottom_was_written_through_a_view_that_is_gone(net):
    """Of Normalize autograd has the norm, which belongs to the old values."""
    text = INPUT + 'layer { name: "n" type: "Normalize" bottom: "x" top: "n" }'
    found = []
    for is_gone in (True, False):
        made = net(text)
        view = made.blobs["x"].data
        view[...] = [[1, 2]]
        made.forward()
        view[...] = [[3, 1]]
        if is_gone:
            del view
        made.blobs["n"].diff[...] = [[1, 0]]
        made.backward()
        found.append(made.blobs["x"].diff.copy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("label", [7, -1])
def test_labels_that_were_written_through_a_view_are_looked_at_again(net, label):
    made = net(INPUT + 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 } } }'
               'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" }')
    view = made.blobs["t"].data
    made.forward()
    view[...] = label
    with pytest.raises(LayerError, match=f"label {label} is outside \\[0, 1\\]"):
        made.backward()


X = np.float32([[-2, 0.5, 1, 3]])
Y = np.float32([[0.1, 0.2, 0.3, 0.4]])
# layer: the gradient by x for a gradient of 1 by y, with no forward pass before
WITHOUT_FORWARD = {
    "ReLU": ("", X > 0), "Sigmoid": ("", Y * (1 - Y)), "TanH": ("", 1 - Y ** 2), "Exp": ("", Y),
    "Power": ("power_param { scale: 3 }", np.full_like(X, 3)),
    "ELU": ("", np.where(X > 0, 1, 1 + Y)), "Softmax": ("", Y * (1 - Y.sum())),
    "Flatten": ("", np.ones_like(X)), "Split": ("", np.ones_like(X)),
    "Reshape": ("reshape_param { shape { dim: 0 dim: -1 } }", np.ones_like(X)),
    "BNLL": ("", 1 / (1 + np.exp(-X))), "Clip": ("clip_param { min: 0 max: 2 }",
                                                 (X >= 0) & (X <= 2)),
    "Scale": ("scale_param { filler { value: 4 } }", np.full_like(X, 4)),
}


@pytest.mark.parametrize("kind", WITHOUT_FORWARD)
def test_layers_without_state_need_no_forward_pass(build, kind):
    param, expected = WITHOUT_FORWARD[kind]
    net = build(f'type: "{kind}" bottom: "x" top: "y" {param}', x=X)
    net.blobs["y"].data[...], net.blobs["y"].diff[...] = Y, 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("layer", [
    'type: "Dropout" bottom: "x" top: "y"', 'type: "LRN" bottom: "x" top: "y"',
    'type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 }',
    'type: "Eltwise" bottom: "x" bottom: "x" top: "y" eltwise_param { operation: MAX }',
    'type: "BatchNorm" bottom: "x" top: "y"',
    'type: "EuclideanLoss" bottom: "x" bottom: "x" top: "y"'])
def test_layers_with_state_need_one(net, layer):
    made = net('force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape '
               '{ dim: 1 dim: 2 dim: 4 dim: 4 } } }\n'
               f'layer {{ name: "y" {layer} }}', phase=caffe.TRAIN)
    made.blobs["y"].diff[...] = 1
    with pytest.raises(LayerError, match="layer 'y'.*backward needs a forward pass of this layer"):
        made.backward()
    made.forward()
    made.backward()


class Free(caffe.Layer):
    """A user's layer, with names that the engine uses for its own layers."""

    loss, no_gradient, keeps_state, weights = True, (0,), True, None

    def setup(self, bottom, top):
        self.layer_param = self.propagate_down = "mine"

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff


def test_attributes_of_python_layers_mean_nothing_to_the_engine(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "free_layers", SimpleNamespace(Free=Free, __file__="here"))
    made = net(INPUT + 'layer { name: "y" type: "Python" bottom: "x" top: "y" python_param { '
               'module: "free_layers" layer: "Free" } }')
    assert made.blob_loss_weights["y"] == 0 and made.layers[1].type == "Python"
    made.forward(x=np.ones((1, 2)))
    assert (made.backward(y=np.ones((1, 2)))["x"] == 2).all()
    with pytest.raises(AttributeError):
        made.layers[1].blobs = []


def test_weights_that_stand_in_the_prototxt(net):
    made = net(INPUT + """layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
        inner_product_param { num_output: 1 }
        blobs { shape { dim: 1 dim: 2 } data: 3 data: 4 } blobs { shape { dim: 1 } data: 5 } }
        layer { name: "r" type: "ReLU" bottom: "a" top: "r" blobs { shape { dim: 1 } data: 7 } }""")
    assert made.params["a"][0].data.tolist() == [[3, 4]] and made.params["a"][1].data == 5
    assert made.params["r"][0].data.tolist() == [7]
    assert made.forward(x=np.ones((1, 2)))["r"] == 12


@pytest.mark.parametrize("blobs, complaint", [
    ("blobs { shape { dim: 1 dim: 2 } data: 3 data: 4 }", "2 parameters, but 1 blobs"),
    ("blobs { shape { dim: 2 dim: 1 } data: 3 data: 4 } blobs { shape { dim: 1 } data: 5 }",
     r"parameter 0 has the shape \(1, 2\), but \(2, 1\)")])
def test_weights_in_the_prototxt_that_do_not_fit(net, blobs, complaint):
    with pytest.raises(LayerError, match=f"layer 'a'.*{complaint}"):
        net(INPUT + 'layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" '
            f'inner_product_param {{ num_output: 1 }} {blobs} }}')
