"""What users get wrong: each an exception with the facts, after which the interpreter goes on."""

import re
import sys
import types

import numpy as np
import pytest
import torch

import caffe
from caffe.engine import out_of_memory
from caffe.errors import CaffeError, LayerError, OutOfMemoryError, PrototxtError, WeightsError
from caffe.formats import reading


def inputs(**shapes):
    return "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {dim}" for dim in shape) + " } } }\n" for name, shape in shapes.items())


def layer(kind, bottoms, tops="y", more=""):
    blobs = " ".join([f'bottom: "{b}"' for b in bottoms.split()]
                     + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "bad" type: "{kind}" {blobs} {more} }}'


X = inputs(x=(2, 3, 8, 8))
CONV = layer("Convolution", "x", more="convolution_param { num_output: 4 kernel_size: 3 }")


@pytest.mark.parametrize("text, complaint", [
    (X + layer("Convolutoin", "x"),
     r"net.prototxt.*'bad'.*Unknown layer type: 'Convolutoin' .did you mean 'Convolution'"),
    (X + layer("ReLU", "y"),
     "'y' .layer 'bad', bottom index 0.: no layer above produces what this ReLU"),
    (inputs(pool5=(1, 2)) + layer("ReLU", "pol5"), "'pol5'.*did you mean 'pool5'"),
    (X + layer("ReLU", "x", "z") + layer("ReLU", "x", "z"), "produces the blob 'z'.* already"),
    (X + layer("Eltwise", "x"), r"'bad' .Eltwise.*takes 2 or more bottom blob.s., .* gives 1"),
    (X + layer("ReLU", "x x"), r"takes 1 bottom blob.s., .* gives 2"),
    (X + layer("Pooling", "x", "y z w", "pooling_param { kernel_size: 2 }"), "top blob.s."),
    (X + layer("Convolution", "x"), "'bad' .Convolution.*num_output|kernel"),
    (X + layer("ReLU", "x", more="param { lr_mult: 1 }"), "0 parameters but 1 param"),
    (X + layer("ReLU", "x", more="loss_weight: 1 loss_weight: 2"), "1 tops but 2 loss_weight"),
    (X + layer("ReLU", "x", more="propagate_down: true propagate_down: true"), "propagate_down"),
    (X + CONV.replace("kernel_size: 3", "kernel_size: 9"), r"'bad'.*\(2, 3, 8, 8\).*9"),
])
def test_a_net_that_cannot_be_built(net, text, complaint):
    with pytest.raises(LayerError, match=complaint):
        net(text)


@pytest.mark.parametrize("bottoms, bad, shapes", [
    (dict(a=(2, 3, 8, 8), b=(2, 3, 7, 8)), layer("Eltwise", "a b"),
     ["'a' (2, 3, 8, 8)", "'b' (2, 3, 7, 8)"]),
    (dict(a=(2, 3, 8, 8), b=(2, 3, 7, 8)),      # 'a' is split, but has no other name to users
     layer("ReLU", "a", "r").replace("bad", "r") + layer("Eltwise", "a b"),
     ["'a' (2, 3, 8, 8)", "'b' (2, 3, 7, 8)"]),
    (dict(a=(2, 3, 8, 8), b=(2, 3, 7, 8)), layer("Concat", "a b"),
     ["'a' (2, 3, 8, 8)", "'b' (2, 3, 7, 8)"]),
    (dict(a=(2, 3, 8, 8), b=(2, 9, 8)), layer("SoftmaxWithLoss", "a b"),
     ["'a' (2, 3, 8, 8)", "'b' (2, 9, 8)", "128", "(2, 9, 8)"]),
    (dict(a=(2, 3, 4, 4), b=(2, 3, 8, 8)), layer("Crop", "a b"),
     ["'a' (2, 3, 4, 4)", "'b' (2, 3, 8, 8)"])])
def test_shapes_that_do_not_fit(net, bottoms, bad, shapes):
    with pytest.raises(LayerError) as raised:
        net(inputs(**bottoms) + bad)
    for fact in ["net.prototxt", "'bad'", *shapes]:
        assert fact in str(raised.value)


@pytest.mark.parametrize("kind, more, shape", [
    ("InnerProduct", "inner_product_param { num_output: 2 }", (2, 3, 4, 8)),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }", (2, 5, 8, 8))])
def test_an_input_that_outgrows_the_weights(net, kind, more, shape):
    built = net(X + layer(kind, "x", more=more))
    built.blobs["x"].reshape(*shape)
    for run in (built.forward, built.reshape):
        with pytest.raises(LayerError, match="'bad'.*'x' ") as raised:
            run()
        assert str(shape) in str(raised.value)
        assert str(built.params["bad"][0].shape) in str(raised.value) or "expected 3" in str(
            raised.value)
    built.blobs["x"].reshape(2, 3, 8, 8)
    built.forward()


def test_a_label_that_is_no_class(net):
    built = net(inputs(a=(1, 3, 2, 2), b=(1, 1, 2, 2))
                + layer("SoftmaxWithLoss", "a b", more="loss_param { ignore_label: 255 }"))
    built.blobs["b"].data[...] = [[[[0, 1], [255, 7]]]]
    with pytest.raises(LayerError, match=r"'bad'.*label 7 is outside \[0, 2\].*255"):
        built.forward()


def test_an_unknown_field(net):
    with pytest.raises(PrototxtError, match=r"net.prototxt:2:\d+.*'kernel_sise'.*'kernel_size'"):
        net(X + CONV.replace("kernel_size", "kernel_sise"))


def test_missing_files(net, tmp_path):
    with pytest.raises(PrototxtError, match="absent.prototxt: no such file"):
        caffe.Net(str(tmp_path / "absent.prototxt"), caffe.TEST)
    with pytest.raises(WeightsError, match="absent.caffemodel: no such file"):
        net(X + CONV, str(tmp_path / "absent.caffemodel"))
    with pytest.raises(PrototxtError, match="absent.prototxt: no such file"):
        caffe.get_solver(str(tmp_path / "absent.prototxt"))


def test_a_net_without_a_phase(tmp_path):
    with pytest.raises(CaffeError, match="needs a phase, caffe.TRAIN or caffe.TEST"):
        caffe.Net(str(tmp_path / "net.prototxt"))


@pytest.mark.parametrize("other, facts", [
    ("num_output: 5 kernel_size: 3",
     ["(4, 3, 3, 3)", "(5, 3, 3, 3)", "Cannot copy param 0 weights from layer 'bad'"]),
    ("num_output: 4 kernel_size: 1", ["(4, 3, 3, 3)", "(4, 3, 1, 1)"]),
    ("num_output: 4 kernel_size: 3 bias_term: false", ["2 parameters", "has 1"])])
def test_weights_that_do_not_fit(net, tmp_path, other, facts):
    path = str(tmp_path / "good.caffemodel")
    net(X + CONV).save(path)
    built = net(X + CONV.replace("num_output: 4 kernel_size: 3", other))
    before = built.params["bad"][0].data.copy()
    with pytest.raises(WeightsError) as raised:
        built.copy_from(path)
    for fact in ["good.caffemodel", "'bad'", "net.prototxt", *facts]:
        assert fact in str(raised.value)
    np.testing.assert_array_equal(built.params["bad"][0].data, before)


def test_a_truncated_model_leaves_the_net_as_it_was(net, tmp_path):
    built, path = net(X + CONV), tmp_path / "cut.caffemodel"
    built.save(str(path))
    path.write_bytes(path.read_bytes()[:-5])
    before = built.params["bad"][0].data.copy()
    with pytest.raises(WeightsError, match="cut.caffemodel.*truncated"):
        built.copy_from(str(path))
    np.testing.assert_array_equal(built.params["bad"][0].data, before)


def test_saving_into_a_folder_that_is_not_there(net, tmp_path):
    built = net(X + CONV)
    with pytest.raises(WeightsError, match="absent/net.caffemodel: cannot be written: No such"):
        built.save(str(tmp_path / "absent" / "net.caffemodel"))
    assert [path.name for path in tmp_path.iterdir()] == ["net.prototxt"]


def test_a_snapshot_into_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "net.prototxt").write_text(X + CONV)
    lines = f'net: "net.prototxt" snapshot_prefix: "{tmp_path}/absent/run" '
    path = tmp_path / "solver.prototxt"
    path.write_text(lines)
    with pytest.raises(WeightsError, match="absent/run.*cannot be written"):
        caffe.get_solver(str(path)).snapshot()
    path.write_text(lines + "snapshot: 4000")
    with pytest.raises(WeightsError, match="solver.prototxt: snapshots cannot be written.*absent: "
                                           "there is no such folder; make it"):
        caffe.get_solver(str(path))
    path.write_text(lines.replace("absent", "net.prototxt") + "snapshot: 4000")
    with pytest.raises(WeightsError, match="net.prototxt: it is not a folder$"):
        caffe.get_solver(str(path))
    assert {path.name for path in tmp_path.iterdir()} == {"net.prototxt", "solver.prototxt"}


class Raises(caffe.Layer):
    def setup(self, bottom, top):
        raise ZeroDivisionError("of the user's own")


class Lacking(caffe.Layer):
    pass


@pytest.fixture
def python_layer(monkeypatch):
    module = types.ModuleType("user_layers")
    module.__file__ = "user_layers.py"
    module.Raises, module.Lacking, module.text = Raises, Lacking, "no class"
    monkeypatch.setitem(sys.modules, "user_layers", module)
    return lambda module, name: X + layer(
        "Python", "x", more=f'python_param {{ module: "{module}" layer: "{name}" }}')


@pytest.mark.parametrize("module, name, error, complaint", [
    ("absent_layers", "A", LayerError, "'bad'.*no Python module 'absent_layers'.*PYTHONPATH"),
    ("user_layers", "Raise", LayerError, "user_layers.*no class 'Raise' .did you mean 'Raises'"),
    ("user_layers", "text", LayerError, "'user_layers.text' is not a subclass of caffe.Layer"),
    ("", "A", LayerError, "'bad'.*module"),
    ("user_layers", "Raises", ZeroDivisionError, "of the user's own")])
def test_python_layers(net, python_layer, module, name, error, complaint):
    with pytest.raises(error, match=complaint):
        net(python_layer(module, name))


def test_an_exception_of_a_python_layer_has_a_note_that_names_the_layer(net, python_layer):
    """Its type and traceback stay, so that scripts which catch it still do."""
    with pytest.raises(ZeroDivisionError) as caught:
        net(python_layer("user_layers", "Raises"))
    assert caught.traceback[-1].name == "setup"
    if sys.version_info >= (3, 11):
        assert re.search("layer 'bad' .Python., bottoms 'x' .2, 3, 8, 8. raised this: class Raises "
                         "of the module user_layers", "".join(caught.value.__notes__))


def test_a_python_layer_that_lacks_a_method(net, python_layer):
    built = net(python_layer("user_layers", "Lacking"))
    with pytest.raises(LayerError, match=r"'bad'.*Lacking.*no forward\(\)"):
        built.forward()


@pytest.mark.parametrize("shape", [((1, 2),), ("1",), (1.5,), (-1, 2)])
def test_shapes_that_are_none(net, shape):
    blob = net(X).blobs["x"]
    with pytest.raises(LayerError, match="expected whole numbers"):
        blob.reshape(*shape)
    assert blob.shape == (2, 3, 8, 8)


def test_a_label_that_is_no_number(net):
    made = net(inputs(x=(1, 2), t=(1,)) + layer("SoftmaxWithLoss", "x t"))
    made.blobs["t"].data[...] = np.nan
    with pytest.raises(LayerError, match="'bad'.*label NaN or infinite is outside"):
        made.forward()


def test_what_torch_complains_about_names_the_layer(net, monkeypatch):
    from caffe.engine.layers.activation import ReLU
    made = net(X + layer("ReLU", "x"))

    def fail(self, x):
        raise RuntimeError("out of memory")
    monkeypatch.setattr(ReLU, "compute", fail)
    with pytest.raises(LayerError, match="'bad' .ReLU.*'x' .2, 3, 8, 8.*out of memory"):
        made.forward()


# what the original says at its checks, by which people search

@pytest.mark.parametrize("text, phrase, remedy", [
    (layer("ReLU", "y"), r"Unknown bottom blob 'y' .layer 'bad', bottom index 0.", "correct the"),
    (layer("Relux", "x"), "Unknown layer type: 'Relux'.*did you mean 'ReLU'", "Python layer"),
    (layer("ReLU", "x") + layer("ReLU", "x"), "Top blob '.*' produced by multiple sources",
     "name one of them otherwise"),
    (layer("Convolution", "x", more="convolution_param { num_output: 2 kernel_size: 99 }"),
     "kernel .99, 99. .* does not fit into .2, 3, 8, 8.", "larger image"),
    (layer("Crop", "x x", more="crop_param { offset: 3 }"), "the crop is out-of-bounds",
     "coord_map.crop"),
    (layer("SoftmaxWithLoss", "x x"), "Number of labels must match number of predictions",
     "crop the scores"),
])
def test_the_original_s_words_stand_in_errors(net, text, phrase, remedy):
    with pytest.raises(LayerError, match=f"{phrase}.*{remedy}"):
        net(X + text)


# memory that does not suffice

CUDA = ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.81 GiB "
        "of which 1.06 GiB is free. Including non-PyTorch memory, ...")


@pytest.mark.parametrize("error, said", [
    (torch.OutOfMemoryError(CUDA), "on the GPU: asked for 2.00 GiB, free are 1.06 GiB"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
     "on the GPU: asked for an unknown amount"),
    (RuntimeError("FIND was unable to find an engine to execute this computation after trying 9 "
                  "plans."), "on the GPU: asked for an unknown amount"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 "
                  "bytes. Error code 12"), "on the host: asked for 4 GiB"),
    (MemoryError(), "on the host: asked for an unknown amount")])
def test_out_of_memory_says_what_uses_it_and_what_helps(net, monkeypatch, error, said):
    built = net(X + layer("Convolution", "x", more="convolution_param { num_output: 5 "
                                                   "kernel_size: 3 }"))

    def fail(*_):
        raise error
    monkeypatch.setattr(type(built.layers[1]), "compute", fail)
    with pytest.raises(OutOfMemoryError, match=rf"layer 'bad' .Convolution.*{said}.*largest blobs.*"
                                               r" x .2, 3, 8, 8. 1.5 KiB.*largest parameters.*bad.0"
                                               ".*What helps: smaller images"):
        built.forward()


SIXTEEN = "".join(f'layer {{ name: "p{i}" type: "Power" bottom: "x" top: "p{i}" }}'
                  for i in range(16))


def test_the_blobs_of_a_net_together_are_held_against_the_memory_there_is(net, monkeypatch):
    """Each of them would fit; nothing is allocated before."""
    monkeypatch.setattr(out_of_memory, "available_memory", lambda: 1 << 30)
    made = net(inputs(x=(1, 3, 100, 100)) + SIXTEEN)
    made.blobs["x"].reshape(1, 3, 4000, 4000)
    said = ("net.prototxt: out of memory on the host: all blobs together take 3.04 GiB, there are "
            r"1 GiB. The largest: .*p\d \(1, 3, 4000, 4000\) 183.1 MiB.*What helps: smaller images")
    with pytest.raises(OutOfMemoryError, match=said):
        made.reshape()
    with pytest.raises(OutOfMemoryError, match=said):
        net(inputs(x=(1, 3, 4000, 4000)) + SIXTEEN)
    made.blobs["x"].reshape(1, 3, 200, 200)
    made.reshape()
    assert made.forward()["p3"].shape == (1, 3, 200, 200)


LEARNING = inputs(x=(2, 3), t=(2, 4)) + (
    'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" '
    'inner_product_param { num_output: 4 } }'
    'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }')


@pytest.fixture
def solver(tmp_path):
    (tmp_path / "net.prototxt").write_text(LEARNING)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" type: "Adam" momentum: 0.9')
    return lambda: caffe.get_solver(str(tmp_path / "solver.prototxt"))


def test_out_of_memory_in_the_histories_and_the_update_of_a_solver(solver, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError(CUDA)
    made = solver()
    monkeypatch.setattr(type(made), "update", fail)
    said = (r".*on the GPU: asked for 2.00 GiB, free are 1.06 GiB.*largest parameters.*fc.0. .4, 3."
            ".*What helps")
    with pytest.raises(OutOfMemoryError, match="solver.prototxt: the update of iteration 0" + said):
        made.step(1)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "zeros_like", fail)
        with pytest.raises(OutOfMemoryError, match="the histories of the 2 parameters" + said):
            solver()
    monkeypatch.setattr(reading, "NOTABLE", 100)
    monkeypatch.setattr(reading, "available_memory", lambda: 127)
    with pytest.raises(OutOfMemoryError, match="solver.prototxt: the histories of the 2 parameters "
                                               "takes 128 bytes of memory, there are 127"):
        solver()


def test_a_limit_of_products_can_be_lifted(net, monkeypatch):
    text = inputs(x=(1, 1, 400, 400)) + layer(
        "Convolution", "x", more="convolution_param { num_output: 1 kernel_size: 300 }")
    monkeypatch.setenv("FCN_MAX_PRODUCTS", "1000000")
    with pytest.raises(LayerError, match="would take 918,090,000 products in each pass, at most "
                                         "1,000,000 are .*or set FCN_MAX_PRODUCTS to a number"):
        net(text)
    monkeypatch.setenv("FCN_MAX_PRODUCTS", "918090000")
    net(text)


@pytest.mark.parametrize("device", ["a", "0", 1.0, None])
def test_a_device_is_a_whole_number(device):
    """On the CPU, too, where it is only kept for GPU mode."""
    with pytest.raises(caffe.errors.DeviceError, match=f"the number of a GPU, got {device!r}"):
        caffe.set_device(device)
