"""Drawings of nets."""

import shutil

import pytest

import caffe
import caffe.draw
from caffe import prototxt
from caffe.errors import CaffeError
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
        "conv\n(Convolution)\nkernel size: 3x1\nstride: 2\npad: 0")
    assert caffe.draw.get_layer_label(conv, "TB", display_lrm=True).endswith("pad: 0 lr mult: 2")
    assert caffe.draw.get_layer_label(pool, "LR").startswith("pool\n(AVE Pooling)\nkernel size: 2")
    assert [caffe.draw.get_edge_label(each) for each in (data, conv, pool)] == ["Batch 7", "5", ""]


def test_graph(tmp_path):
    path = tmp_path / "net.dot"
    caffe.draw.draw_net_to_file(NET, str(path), "TB")
    text = path.read_text()
    assert text.startswith('digraph "a \\"net\\"" {\nrankdir=TB;')
    for line in ('"blob data" -> "layer conv";', '"layer conv" -> "blob conv" [label="5"];',
                 '"blob conv" -> "layer relu";', '"blob conv" -> "layer pool";'):
        assert line in text
    assert text.count('"blob conv" [label="conv"') == 1


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
