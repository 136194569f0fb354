"""The names of the original's pycaffe, all of them, and what the less usual ones do."""

import json
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import other_names
from caffe.errors import CaffeError
from caffe.proto import caffe_pb2

SURFACE = json.loads((Path(__file__).parents[1] / "golden" / "pycaffe_surface.json").read_text())
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
        inner_product_param { num_output: 1 weight_filler { value: 2 } bias_filler { value: 1 } } }
layer { name: "sum" type: "Reduction" bottom: "fc" top: "sum" loss_weight: 3 }
"""


@pytest.mark.parametrize("path", SURFACE)
def test_every_name_is_there(net, path):
    """Where the original's class has a property, an instance here has the attribute."""
    instances = {"caffe.Net": lambda: net(NET), "caffe.SolverParameter": caffe.SolverParameter}
    thing = caffe
    for part in path.split(".")[1:]:
        thing = getattr(thing, part)
    thing = instances[path]() if path in instances else thing
    assert not [name for name in SURFACE[path] if not hasattr(thing, name)]


def test_versions_are_the_original_s():
    assert caffe.__version__ == caffe._caffe.__version__ == "1.0.0"


def test_messages_are_those_of_solvers_and_layers(net):
    assert caffe._caffe.LayerParameter is caffe.LayerParameter is caffe_pb2.LayerParameter
    assert isinstance(net(NET).layers[0].layer_param, caffe.LayerParameter)


def test_layers_run_by_number(net):
    built = net("force_backward: true " + NET)
    built.blobs["x"].data[...] = 1
    loss = built._forward(0, 2)
    assert isinstance(loss, float) and loss == 3 * 2 * (3 * 2 + 1)
    assert built._forward(0, 1) == 0
    built._backward(2, 1)
    np.testing.assert_array_equal(built.blobs["x"].diff, np.full((2, 3), 3 * 2))
    for numbers in ((0, 3), (-1, 2)):
        with pytest.raises(CaffeError, match="no layer number (3|-1), its layers are 0 to 2"):
            built._forward(*numbers)


def test_arrays_in_batches(net):
    batches = list(net(NET)._batch({"x": np.ones((5, 3))}))
    assert [batch["x"].shape for batch in batches] == [(2, 3)] * 3
    np.testing.assert_array_equal(batches[2]["x"], [[1, 1, 1], [0, 0, 0]])


def test_set_input_arrays_by_its_private_name(net):
    built = net("""
        layer { name: "data" type: "MemoryData" top: "data" top: "label" memory_data_param {
                batch_size: 2 channels: 1 height: 1 width: 2 } }""")
    built._set_input_arrays(np.ones((4, 1, 1, 2), np.float32),
                            np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1))
    built.forward()
    np.testing.assert_array_equal(built.forward()["label"].flatten(), [2, 3])


def test_vectors_take_items_of_one_kind(net):
    built = net(NET)
    blob = built.blobs["x"]
    for vector, item, other in (
            (caffe._caffe.BlobVec, blob, 1), (caffe._caffe.RawBlobVec, blob, "x"),
            (caffe._caffe.LayerVec, built.layers[0], blob), (caffe._caffe.NetVec, built, blob),
            (caffe._caffe.StringVec, "x", 1), (caffe._caffe.IntVec, 2, "x"),
            (caffe._caffe.DtypeVec, 0.5, "x"), (caffe._caffe.BoolVec, True, "x")):
        made = vector()
        made.append(item)
        made.extend([item, item])
        made[0] = made[1:][0] = item
        assert len(made) == 3 and item in made and list(made) == [item] * 3
        del made[0]
        assert len(made) == 2
        for change, *arguments in ((made.append, other), (made.extend, [other]),
                                   (made.__setitem__, 0, other)):
            with pytest.raises(TypeError, match=vector.__name__):
                change(*arguments)
        assert len(made) == 2
    parameters = built.layers[1].blobs
    assert isinstance(parameters, caffe._caffe.BlobVec)
    assert parameters.add_blob(4, 5).shape == (4, 5)
    assert isinstance(built._blobs, caffe._caffe.BlobVec)
    assert isinstance(built._bottom_ids(1), caffe._caffe.IntVec)


def test_what_is_not_installed_says_so_when_it_is_used(monkeypatch):
    monkeypatch.setitem(other_names._PLACES, "zoom", "no_such_package:zoom")
    for use in (lambda: caffe.io.zoom(1), lambda: caffe.io.zoom.order):
        with pytest.raises(CaffeError, match="'zoom' needs the package no_such_package"):
            use()
    with pytest.raises(AttributeError, match="'zooom'"):
        caffe.io.zooom


def test_rate_multipliers_of_a_drawn_layer():
    layer = caffe_pb2.LayerParameter(type="Convolution")
    assert caffe.draw.get_layer_lr_mult(layer) == (1, 1)
    layer.param.add(lr_mult=3)
    assert caffe.draw.get_layer_lr_mult(layer) == (3, 1)
    layer.param.add(lr_mult=0)
    assert caffe.draw.get_layer_lr_mult(layer) == (3, 0)
    with pytest.raises(ValueError, match="ReLU"):
        caffe.draw.get_layer_lr_mult(caffe_pb2.LayerParameter(type="ReLU"))


# wrong arguments


def test_weights_in_place_of_the_level(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    with pytest.raises(CaffeError, match="net.prototxt: a level .* 'w.caffemodel'.*weights='"):
        caffe.Net(str(path), caffe.TEST, "w.caffemodel")
    with pytest.raises(CaffeError, match=r"net.prototxt: stages is a list, stages=.'deploy'."):
        caffe.Net(str(path), caffe.TEST, stages="deploy")


def test_a_loss_cannot_be_put_together_from_batches(net):
    with pytest.raises(CaffeError, match="net.prototxt: the blob 'sum' is one number.*forward"):
        net(NET).forward_all(x=np.ones((4, 3)))


@pytest.mark.parametrize("value", [{"split": "train"}, ["a", "b"]])
def test_text_that_is_no_text(value):
    with pytest.raises(TypeError, match=r"^Python: .*param_str is a single value.*"
                                        r"param_str=str\(...\)"):
        caffe.layers.Python(module="m", layer="L", param_str=value)
