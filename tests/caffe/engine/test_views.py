"""NumPy views that somebody holds, of blobs that share a memory in several shapes."""

import numpy as np
import pytest

CHAIN = """
layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "p" type: "Power" bottom: "d" top: "a" power_param { scale: 2 } }
layer { name: "r" type: "Reshape" bottom: "a" top: "r" reshape_param { shape { dim: 2 dim: 2 } } }
layer { name: "q" type: "Power" bottom: "r" top: "q" power_param { shift: 1 } }"""


@pytest.fixture
def chain(net):
    return net("force_backward: true\n" + CHAIN)


def test_a_held_view_shows_every_pass_whatever_else_is_read(chain):
    held = chain.blobs["a"].data
    for value in (3, 4):
        chain.blobs["r"].data               # only a look, in another shape
        chain.blobs["d"].data[...] = value
        chain.forward()
        assert (held == 2 * value).all()


def test_what_is_written_through_a_held_view_is_what_layers_read(chain):
    held = chain.blobs["a"].data
    chain.blobs["r"].data
    chain.blobs["d"].data[...] = 3
    chain.forward()
    held[...] = 100
    chain.forward(start="r")
    assert (chain.blobs["q"].data == 101).all()


def test_two_held_views_of_different_shapes_show_the_same(chain):
    one, other = chain.blobs["a"].data, chain.blobs["r"].data
    chain.blobs["d"].data[...] = 3
    chain.forward()
    assert (one == 6).all() and (other == 6).all()
    other[0, 1] = 7
    assert one.tolist() == [[6, 7, 6, 6]]


def test_a_held_view_of_a_gradient_shows_every_backward_pass(chain):
    held = chain.blobs["a"].diff
    for value in (1, 2):
        chain.blobs["r"].diff
        chain.forward()
        chain.blobs["q"].diff[...] = value
        chain.backward()
        assert (held == value).all()
        np.testing.assert_array_equal(chain.blobs["d"].diff, np.full((1, 4), 2 * value))
