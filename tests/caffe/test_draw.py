"""Drawings of nets."""

import shutil
import sys
import types

import pytest

import caffe
import caffe.draw
from caffe.errors import CaffeError
from caffe.formats import prototxt
from caffe.proto import caffe_pb2

NET = prototxt.parse("""
name: "a \\"net\\""
layer { name: "data" type: "Data" top: "data" data_param { batch_size: 7 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 }
        convolution_param { num_output: 5 kernel_h: 3 kernel_w: 1 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" include { phase: TRAIN }
        pooling_param { pool: AVE kernel_size: 2 } }
""", caffe_pb2.NetParameter())


def test_labels():
    data, conv, _, pool = NET.layer
    assert caffe.draw.get_layer_label(conv, "LR") == (
        r'"conv\n(Convolution)\nkernel size: 3x1\nstride: 2\npad: 0"')
    assert caffe.draw.get_layer_label(pool, "BT") == (
        '"pool (Pooling AVE) kernel size: 2 stride: 1 pad: 0"')
    edges = [caffe.draw.get_edge_label(layer) for layer in (data, conv, pool)]
    assert edges == ["Batch 7", "5", '""']


@pytest.mark.parametrize("rates, shown", [
    ((), "lr mult: 1.0, 1.0"), ((2,), "lr mult: 2.0, 1.0"), ((0.5, 2), "lr mult: 0.5, 2.0")])
def test_rate_multipliers(rates, shown):
    layer = caffe_pb2.LayerParameter(name="fc", type="InnerProduct",
                                     param=[dict(lr_mult=rate) for rate in rates])
    assert caffe.draw.get_layer_label(layer, "TB", True) == f'"fc (InnerProduct) {shown}"'


def test_rate_multipliers_of_what_does_not_learn_are_not_shown():
    fixed = caffe_pb2.LayerParameter(name="fc", type="InnerProduct", param=[dict(lr_mult=0)] * 2)
    relu = caffe_pb2.LayerParameter(name="relu", type="ReLU")
    assert caffe.draw.get_layer_label(fixed, "LR", True) == r'"fc\n(InnerProduct)"'
    assert caffe.draw.get_layer_label(relu, "LR", True) == r'"relu\n(ReLU)"'


def test_colors():
    color = caffe.draw.choose_color_by_layertype
    assert color("Convolution") == color("Deconvolution") != color("Pooling")
    assert color("InnerProduct") != color("ReLU") == color("LRN")


def test_graph(tmp_path):
    path = tmp_path / "net.dot"
    caffe.draw.draw_net_to_file(NET, str(path), "TB")
    text = path.read_text()
    assert text.startswith('digraph "a \\"net\\"" {\nrankdir=TB;')
    for line in ('"blob data" -> "layer conv";', '"layer conv" -> "blob conv" [label="5"];',
                 '"blob conv" -> "layer relu";', '"blob conv" -> "layer pool";'):
        assert line in text
    assert text.count('"blob conv" [label="conv"') == 1
    assert '"layer relu" -> "blob conv";' in text      # no label
    assert caffe.draw.draw_net(NET, "TB", "raw").decode() == text


def test_pydot(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(CaffeError, match="the package pydot"):
        caffe.draw.get_pydot_graph(NET, "LR")
    text = caffe.draw.dot(NET, "LR", label_edges=False)
    stand_in = types.SimpleNamespace(graph_from_dot_data=lambda given: [f"pydot of {given}"])
    monkeypatch.setitem(sys.modules, "pydot", stand_in)
    assert caffe.draw.get_pydot_graph(NET, "LR", label_edges=False) == f"pydot of {text}"


def test_the_layers_of_a_phase_alone():
    assert "pool" in caffe.draw.dot(NET, phase=caffe.TRAIN)
    assert "pool" not in caffe.draw.dot(NET, phase=caffe.TEST)


def test_without_graphviz(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaffeError, match="png needs Graphviz"):
        caffe.draw.draw_net_to_file(NET, str(tmp_path / "net.png"))
    assert not list(tmp_path.glob("net.png*"))


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_with_graphviz(tmp_path):
    caffe.draw.draw_net_to_file(NET, str(tmp_path / "net.png"))
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
