"""Blobs that share memory do so whichever layers run, as in the original."""

import numpy as np
import pytest

from caffe.errors import LayerError

INPUT = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 4 } } }\n'
FAN = INPUT + """
layer { name: "p" type: "Power" bottom: "d" top: "a" power_param { scale: 2 } }
layer { name: "b" type: "Power" bottom: "a" top: "b" power_param { shift: 1 } }
layer { name: "c" type: "Power" bottom: "a" top: "c" power_param { shift: 2 } }
"""
SAME = {        # layers whose top is their bottom's memory
    "split": 'layer { name: "s" type: "Split" bottom: "a" top: "s" top: "t" }',
    "reshape": 'layer { name: "s" type: "Reshape" bottom: "a" top: "s" '
               'reshape_param { shape { dim: 2 dim: 2 } } }',
    "flatten": 'layer { name: "s" type: "Flatten" bottom: "a" top: "s" }',
    "concat of one": 'layer { name: "s" type: "Concat" bottom: "a" top: "s" }',
    "slice into one": 'layer { name: "s" type: "Slice" bottom: "a" top: "s" }'}


@pytest.fixture
def fan(net):
    made = net(FAN)
    made.blobs["d"].data[...] = 7
    made.forward()
    return made


def test_a_part_of_the_net_sees_what_the_layer_below_the_split_has_computed(fan):
    fan.blobs["d"].data[...] = 50
    fan.forward(end="p")
    fan.forward(start="b")
    assert (fan.blobs["b"].data == 101).all() and (fan.blobs["c"].data == 102).all()


def test_a_part_of_the_net_sees_what_was_written_before_the_split(fan):
    fan.blobs["d"].data[...] = 50
    fan.forward(end="p")
    fan.blobs["a"].data[...] = 1000
    fan.forward(start="b")
    assert (fan.blobs["b"].data == 1001).all()


@pytest.mark.parametrize("layer", SAME.values(), ids=SAME)
def test_writing_to_one_writes_to_the_other(net, layer):
    made = net(INPUT + 'layer { name: "p" type: "Power" bottom: "d" top: "a" }\n' + layer)
    made.blobs["d"].data[...] = 3
    made.forward()
    made.blobs["s"].data[...] = 5
    assert (made.blobs["a"].data == 5).all()
    made.blobs["a"].data[...] = 6
    assert (made.blobs["s"].data == 6).all()


@pytest.mark.parametrize("layer", SAME.values(), ids=SAME)
def test_a_layer_in_place_on_the_top_changes_the_bottom(net, layer):
    made = net(INPUT + 'layer { name: "p" type: "Power" bottom: "d" top: "a" }\n' + layer
               + '\nlayer { name: "q" type: "Power" bottom: "s" top: "s" power_param { shift: 1 } }')
    made.blobs["d"].data[...] = 3
    made.forward()
    assert (made.blobs["a"].data == 4).all() and (made.blobs["s"].data == 4).all()
    assert (made.blobs["d"].data == 3).all()


def test_a_layer_in_place_on_a_parameter_s_top_changes_the_parameter(net):
    made = net('layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 3 } } }'
               '\nlayer { name: "q" type: "Power" bottom: "p" top: "p" power_param { shift: 1 } }')
    for _ in range(2):
        made.forward()
    assert (made.params["p"][0].data == 2).all()


def test_who_reads_a_blob_that_a_failed_pass_has_not_reached_is_told(net, monkeypatch):
    made = net(FAN + """
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "t" top: "loss" }
layer { name: "late" type: "Power" bottom: "b" top: "late" }""")
    made.blobs["t"].data[...] = 1
    made.forward()
    made.blobs["t"].data[...] = 9
    with pytest.raises(LayerError, match="label 9"):
        made.forward()
    with pytest.raises(LayerError, match="the forward pass that was to make them ended before"):
        made.blobs["late"].data
    made.blobs["t"].data[...] = 2
    made.forward()
    np.testing.assert_array_equal(made.blobs["late"].data, made.blobs["b"].data)
