"""What somebody sees who writes a script: completion, signatures, and what objects print."""

import inspect
from pathlib import Path

import jedi
import pytest

import caffe
from caffe.proto import stubs

PACKAGE = Path(caffe.__file__).parent
NET = """
name: "tiny"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "score"
        inner_product_param { num_output: 4 } }
layer { name: "quiet" type: "Silence" bottom: "score" }
"""
MADE = "import caffe\nnet = caffe.Net('x', caffe.TEST)\n"


def script(code):
    project = jedi.Project(PACKAGE, added_sys_path=[str(PACKAGE.parent)])
    return jedi.Script(code, project=project)


def completed(code):
    return {found.name for found in script(code).complete()}


def signatures(code):
    return [found.to_string() for found in script(code).get_signatures()]


@pytest.mark.parametrize("name", stubs.STUBS)
def test_what_is_generated_is_current(name):
    """If not: python -m caffe.proto.stubs"""
    assert (PACKAGE / name).read_text() == stubs.STUBS[name]()


def test_type_checkers_may_use_the_hints():
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.parametrize("code, expected", [
    ("import caffe\ncaffe.", {"Net", "SGDSolver", "layers", "set_mode_gpu", "io", "Classifier"}),
    (MADE + "net.", {"blobs", "params", "forward", "backward", "copy_from", "save"}),
    (MADE + "net.blobs['data'].", {"data", "diff", "reshape", "shape", "count"}),
    (MADE + "net.params['conv1'][0].", {"data", "diff", "shape"}),
    (MADE + "net.forward()['score'].", {"shape", "argmax"}),
    (MADE + "net.layers[0].", {"type", "blobs"}),
    ("import caffe\ncaffe.get_solver('s').net.blobs['data'].", {"data"}),
    ("import caffe\ncaffe.layers.", {"Convolution", "SoftmaxWithLoss", "Silence", "Deconvolution"}),
    ("from caffe import layers as L\nL.Convolution(x, kern", {"kernel_size=", "kernel_h="}),
    ("from caffe import layers as L\nL.SoftmaxWithLoss(x, loss", {"loss_param=", "loss_weight="}),
    ("from caffe import params as P\nP.Pooling.", {"MAX", "AVE", "STOCHASTIC"}),
    ("from caffe.proto import caffe_pb2\ncaffe_pb2.", {"NetParameter", "TRAIN", "Datum"}),
    ("from caffe.proto import caffe_pb2\ncaffe_pb2.NetParameter().layer[0].convolution_param.",
     {"num_output", "HasField"}),
    ("from caffe.proto import caffe_pb2\ncaffe_pb2.NetParameter().layer.add().", {"bottom"})])
def test_completion(code, expected):
    assert expected <= completed(code)


def test_signatures():
    one, = signatures("from caffe import layers as L\nL.InnerProduct(")
    assert "num_output: int" in one and "bias_term: bool=True" in one and "*bottom" in one
    new, old = signatures("import caffe\ncaffe.Net(")
    assert "phase: int, level: int=0" in new and "weights: str, phase: int" in old
    assert list(inspect.signature(caffe.Net).parameters) == [
        "network_file", "phase", "level", "stages", "weights"]
    assert list(inspect.signature(caffe.Classifier).parameters)[1] == "pretrained_file"
    assert 'caffe.Net("deploy.prototxt", caffe.TEST' in caffe.Net.__doc__


def test_what_nets_blobs_and_layers_print(net):
    built = net(NET)
    source = built.program.source
    assert repr(built) == f"""Net 'tiny' of {source}, TEST, 3 layers
  x      Input                -> x (2, 3)
  fc     InnerProduct  x      -> score (2, 4)  parameters (4, 3), (4,)
  quiet  Silence       score"""
    assert repr(built.blobs["x"]) == "Blob 'x' (2, 3) float32"
    assert repr(built.params["fc"][1]) == "Blob 'fc[1]' (4,) float32"
    assert repr(caffe.Blob((2, 5))) == "Blob (2, 5) float32"
    assert repr(built.layer_dict["fc"]) == "Layer 'fc' (InnerProduct), parameters (4, 3), (4,)"
    built.blobs["x"].reshape(7, 3)
    built.reshape()
    assert "score (7, 4)" in repr(built)


def test_what_a_python_layer_prints(net, tmp_path, monkeypatch):
    (tmp_path / "printing_layer.py").write_text("""
import caffe

class Mine(caffe.Layer):
    def setup(self, bottom, top):
        self.name = 3           # its own business

    def reshape(self, bottom, top):
        top[0].reshape(1)
""")
    monkeypatch.syspath_prepend(tmp_path)
    built = net('layer { name: "l" type: "Python" top: "t" '
                'python_param { module: "printing_layer" layer: "Mine" } }')
    assert repr(built.layers[0]) == "Layer 'l' (Python Mine)"
    assert "l  Python    -> t (1,)" in repr(built)
