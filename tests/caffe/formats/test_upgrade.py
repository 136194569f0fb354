"""Older formats: V1 nets and models, the legacy input fields, the solver's enum."""

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import PrototxtError
from caffe.formats import prototxt
from caffe.formats.upgrade import V1_TYPES, upgrade_net, upgrade_solver
from caffe.proto import caffe_pb2

V1 = Path(__file__).parents[2] / "golden" / "v1"


def upgraded(text):
    param = prototxt.parse(text, caffe_pb2.NetParameter())
    upgrade_net(param)
    return param


def test_v1_model_as_the_original_reads_it():
    recorded = np.load(V1 / "v1_tiny.npz")
    net = caffe.Net(str(V1 / "v1_tiny.prototxt"), str(V1 / "v1_tiny.caffemodel"), caffe.TEST)
    net.blobs["data"].data[...] = recorded["input/data"]
    net.forward()
    for key in recorded.files:
        kind, name, *index = key.split("/")
        if kind == "param":
            np.testing.assert_array_equal(net.params[name][int(index[0])].data, recorded[key])
        elif kind == "blob":
            np.testing.assert_allclose(net.blobs[name].data, recorded[key], rtol=1e-4, atol=5e-6)


def test_v1_layers():
    param = upgraded("""
        layers { name: "c" type: CONVOLUTION bottom: "x" top: "c" blobs_lr: 1 blobs_lr: 2
                 weight_decay: 1 weight_decay: 0 param: "w" blob_share_mode: PERMISSIVE
                 convolution_param { num_output: 4 kernel_size: 3 } include { phase: TRAIN } }
        layers { name: "l" type: SOFTMAX_LOSS bottom: "c" bottom: "y" top: "l" loss_weight: 2 }""")
    conv, loss = param.layer
    assert not param.layers
    assert (conv.type, conv.bottom, conv.top) == ("Convolution", ["x"], ["c"])
    assert [(p.name, p.share_mode, p.lr_mult, p.decay_mult) for p in conv.param] == [
        ("w", caffe_pb2.ParamSpec.PERMISSIVE, 1, 1), ("", caffe_pb2.ParamSpec.STRICT, 2, 0)]
    assert conv.convolution_param.num_output == 4
    assert conv.include[0].phase == caffe_pb2.TRAIN
    assert (loss.type, loss.loss_weight) == ("SoftmaxWithLoss", [2])


def test_v1_type_names():
    assert {"InnerProduct", "ReLU", "LRN", "SoftmaxWithLoss", "SigmoidCrossEntropyLoss",
            "HDF5Data", "EuclideanLoss", "TanH", "Im2col", "DummyData"} <= set(V1_TYPES.values())


@pytest.mark.parametrize("fields", [
    'input: "a" input: "b" input_shape { dim: 1 dim: 2 } input_shape { dim: 3 }',
    'input: "a" input: "b" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1 '
    'input_dim: 3 input_dim: 1 input_dim: 1 input_dim: 1'])
def test_legacy_inputs_become_a_first_layer(fields):
    param = upgraded(fields + ' layer { name: "s" type: "Silence" bottom: "a" bottom: "b" }')
    assert [layer.type for layer in param.layer] == ["Input", "Silence"]
    assert param.layer[0].top == ["a", "b"]
    shapes = [list(shape.dim) for shape in param.layer[0].input_param.shape]
    assert [np.prod(shape) for shape in shapes] == [2, 3]
    assert not (param.input or param.input_dim or param.input_shape)


def test_v0_layers():
    param = upgraded("""
        layers { layer { name: "data" type: "data" source: "db" meanfile: "m" batchsize: 8
                         cropsize: 7 mirror: true scale: 0.5 rand_skip: 3 } top: "x" top: "y" }
        layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "p" }
        layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 group: 2 stride: 2
                         biasterm: false weight_filler { type: "xavier" } blobs_lr: 1 blobs_lr: 2
                         weight_decay: 1 weight_decay: 0 } bottom: "p" top: "c" }
        layers { layer { name: "d" type: "dropout" dropout_ratio: 0.2 } bottom: "c" top: "c" }
        layers { layer { name: "h" type: "hdf5_output" hdf5_output_param { file_name: "f" } }
                 bottom: "c" bottom: "y" }""")
    data, conv, dropout, output = param.layer
    assert [layer.type for layer in param.layer] == ["Data", "Convolution", "Dropout",
                                                     "HDF5Output"]
    assert conv.bottom == ["x"] and conv.convolution_param.pad == [2]
    assert conv.convolution_param == caffe_pb2.ConvolutionParameter(
        num_output=4, kernel_size=[5], group=2, stride=[2], pad=[2], bias_term=False,
        weight_filler=dict(type="xavier"))
    assert [(p.lr_mult, p.decay_mult) for p in conv.param] == [(1, 1), (2, 0)]
    assert data.data_param == caffe_pb2.DataParameter(source="db", batch_size=8, rand_skip=3)
    assert data.transform_param == caffe_pb2.TransformationParameter(
        scale=0.5, mirror=True, crop_size=7, mean_file="m")
    assert dropout.dropout_param.dropout_ratio == np.float32(0.2)
    assert output.hdf5_output_param.file_name == "f"


def test_what_is_done_to_images_has_a_message_of_its_own():
    layer, = upgraded("""layers { name: "d" type: IMAGE_DATA top: "x" image_data_param {
                         source: "s" scale: 2 mean_file: "m" mirror: true } }""").layer
    assert layer.transform_param == caffe_pb2.TransformationParameter(scale=2, mean_file="m",
                                                                      mirror=True)
    assert layer.image_data_param == caffe_pb2.ImageDataParameter(source="s")


def test_in_todays_form_old_fields_of_data_layers_have_no_effect_and_are_named(caplog):
    """As in the original, which upgrades them in V1 nets alone. WindowData's scale is read."""
    given = """layer { name: "d" type: "%s" top: "x" %s { source: "s" scale: 2 mirror: true } }"""
    for kind, place, named in (("Data", "data_param", ["scale", "mirror"]),
                               ("ImageData", "image_data_param", ["scale", "mirror"]),
                               ("WindowData", "window_data_param", ["mirror"])):
        caplog.clear()
        layer, = upgraded(given % (kind, place)).layer
        assert not layer.HasField("transform_param") and getattr(layer, place).scale == 2
        assert [record.getMessage() for record in caplog.records] == [
            f"layer 'd' ({kind}): as in the original, {field} has no effect in {place}; write it "
            "into transform_param" for field in named]


def test_batch_norm_statistics_are_no_weights():
    three, two = upgraded("""
        layer { name: "a" type: "BatchNorm" param {} param { lr_mult: 2 } param {} }
        layer { name: "b" type: "BatchNorm" param {} param {} }""").layer
    assert [(p.lr_mult, p.decay_mult) for p in three.param] == [(0, 0)] * 3
    assert [(p.lr_mult, p.decay_mult) for p in two.param] == [(1, 1)] * 2


@pytest.mark.parametrize("text, complaint", [
    ('layer { name: "a" } layers { name: "b" type: RELU }', "not both"),
    ('layers { layer { name: "old" type: "cnov" } }', "'old' has the unknown type 'cnov'"),
    ('layers { layer { name: "old" type: "relu" stride: 2 } }', "'old' .* no parameter 'stride'"),
    ('layers { layer { name: "p" type: "padding" } bottom: "x" top: "p" } '
     'layers { layer { name: "old" type: "relu" } bottom: "p" top: "y" }', "'p' serves .*'old'"),
    ('layers { name: "b" }', "'b' has no known type"),
    ('input: "a" input_dim: 1 input_dim: 2', "2 input_dim"),
    ('input: "a" input: "b" input_shape { dim: 1 }', "1 input_shape")])
def test_what_cannot_be_upgraded(text, complaint):
    with pytest.raises(PrototxtError, match=complaint):
        upgraded(text)


def test_solver_type():
    param = caffe_pb2.SolverParameter(solver_type=caffe_pb2.SolverParameter.NESTEROV)
    upgrade_solver(param, "solver.prototxt")
    assert param.type == "Nesterov" and not param.HasField("solver_type")


def test_snapshots_are_named_after_the_solver_where_no_name_is_given(tmp_path):
    for given, expected in ((None, "some/fast"), (str(tmp_path), f"{tmp_path}/fast"),
                            ("snap/run", "snap/run")):
        param = caffe_pb2.SolverParameter(snapshot_prefix=given)
        upgrade_solver(param, "some/fast.prototxt")
        assert param.snapshot_prefix == expected
