"""caffe upgrade_*, draw_net and export."""

import json

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file

import caffe
from caffe.cli import main
from caffe.formats import prototxt
from caffe.proto import caffe_pb2

V1 = """name: "old"
input: "x" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1
layers { name: "fc" type: INNER_PRODUCT bottom: "x" top: "fc"
         inner_product_param { num_output: 2 } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.prototxt").write_text(V1)
    return tmp_path


def test_upgrade_net_proto_text(folder):
    assert main(["upgrade_net_proto_text", "old.prototxt", "new.prototxt"]) == 0
    text = (folder / "new.prototxt").read_text()
    assert 'type: "InnerProduct"' in text and "layers" not in text
    assert prototxt.read_net("new.prototxt") == prototxt.read_net("old.prototxt")


def test_upgrade_net_proto_binary(folder):
    param = prototxt.parse(V1, caffe_pb2.NetParameter())
    param.layers[0].blobs.add(num=1, channels=1, height=2, width=2, data=[1, 2, 3, 4])
    param.layers[0].blobs.add(num=1, channels=1, height=1, width=2, data=[5, 6])
    (folder / "old.caffemodel").write_bytes(param.SerializeToString())
    assert main(["upgrade_net_proto_binary", "old.caffemodel", "new.caffemodel"]) == 0
    new = caffe_pb2.NetParameter.FromString((folder / "new.caffemodel").read_bytes())
    assert not new.layers and new.layer[1].type == "InnerProduct"
    net = caffe.Net("old.prototxt", "new.caffemodel", caffe.TEST)
    np.testing.assert_array_equal(net.params["fc"][0].data, [[1, 2], [3, 4]])


def test_upgrade_solver_proto_text(folder):
    (folder / "old_solver.prototxt").write_text('net: "n" solver_type: ADAM')
    assert main(["upgrade_solver_proto_text", "old_solver.prototxt", "new.prototxt"]) == 0
    assert prototxt.read_solver("new.prototxt").type == "Adam"


def test_what_cannot_be_upgraded_leaves_no_file(folder, capsys):
    (folder / "bad").write_bytes(b"")
    assert main(["upgrade_net_proto_binary", "bad", "new"]) == 1
    assert "bad: not a caffemodel, or a damaged one: it holds no layers" in capsys.readouterr().err
    (folder / "bad").write_bytes(b"\x0a\xff")
    for command in ("upgrade_net_proto_binary", "upgrade_net_proto_text"):
        assert main([command, "bad", "new"]) == 1
        assert "bad:" in capsys.readouterr().err
    assert not (folder / "new").exists()


WEIGHTS = np.float32([[1, 2], [3, 4]])


@pytest.fixture
def model():
    """The names of a prototxt and a caffemodel with those WEIGHTS and no bias."""
    net = caffe.Net("old.prototxt", caffe.TEST)
    net.params["fc"][0].data[...] = WEIGHTS
    net.save("w.caffemodel")
    return "old.prototxt", "w.caffemodel"


def test_export_as_hdf5(model):
    assert main(["export", *model, "-o", "w.h5"]) == 0
    again = caffe.Net("old.prototxt", "w.h5", caffe.TEST)
    np.testing.assert_array_equal(again.params["fc"][0].data, WEIGHTS)


def test_export_as_safetensors(model):
    assert main(["export", *model, "-o", "w.safetensors"]) == 0
    np.testing.assert_array_equal(load_file("w.safetensors")["fc.0"], WEIGHTS)


def test_export_as_onnx(model):
    assert main(["export", *model, "--output", "net.onnx"]) == 0
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    x = np.ones((1, 2, 1, 1), np.float32)
    np.testing.assert_array_equal(session.run(["fc"], {"x": x})[0], [[3, 7]])


def test_export_keeps_what_the_file_is_to_say(folder, model, capsys):
    (folder / "classes.txt").write_bytes("\ufeffcat\r\nchaise longue\r\nécran\r\n\r\n".encode())
    more = ["--classes", "classes.txt", "--mean", "104.5, 117",
            "--inputs", "depth", "--name", "mine"]
    assert main(["export", *model, "-o", "net.onnx", *more]) == 0
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    assert json.loads(found["classes"]) == ["cat", "chaise longue", "écran"]
    assert json.loads(found["mean"]) == [104.5, 117] and found["channels"] == "BGR"
    assert json.loads(found["inputs"]) == {"x": "depth"} and found["name"] == "mine"
    assert main(["export", *model, "-o", "w.h5", *more]) == 1
    assert "are for a name in .onnx" in capsys.readouterr().err


def test_export_to_what_it_does_not_know(capsys):
    assert main(["export", "old.prototxt", "old.prototxt", "-o", "w.pb"]) == 1
    assert "w.pb: expected a name that ends in .onnx" in capsys.readouterr().err
