"""SegNet and SegNet-Basic: the layers of the release, and what the nets say."""

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError
from fcn import nets
from fcn.nets import segnet
from fcn.nets.source import folder


def layers(head, split="train", **options):
    return {layer.name: layer for layer in nets.fcn(head, split, **options).layer}


def of_type(found, kind):
    return [name for name, layer in found.items() if layer.type == kind]


def test_segnet_has_the_layers_of_the_release():
    found = layers("segnet")
    decoder = [f"conv{block}_{i}_D" for block, depth in ((5, 3), (4, 3), (3, 3), (2, 2), (1, 2))
               for i in range(depth, 0, -1)][:-1]       # of the last there are the scores
    channels = {name: found[name].convolution_param.num_output for name in decoder}
    assert list(channels.values()) == [512] * 5 + [256] * 3 + [128] * 2 + [64] * 2
    assert channels["conv4_1_D"] == 256 and channels["conv3_1_D"] == 128
    convolutions = of_type(found, "Convolution")
    assert convolutions[13:] == [*decoder, "score"]
    assert of_type(found, "BN") == [f"{name}_bn" for name in convolutions[:-1]]
    assert {found[name].bn_param.shift_filler.value for name in of_type(found, "BN")} == {
        np.float32(0.001)}
    assert not of_type(found, "Dropout")
    for block in range(1, 6):
        assert list(found[f"pool{block}"].top) == [f"pool{block}", f"pool{block}_mask"]
        assert found[f"upsample{block}"].bottom[1] == f"pool{block}_mask"


def test_segnet_basic_has_the_layers_of_the_release():
    found = layers("segnet-basic")
    assert of_type(found, "Convolution") == [
        "conv1", "conv2", "conv3", "conv4", "conv_decode4", "conv_decode3", "conv_decode2",
        "conv_decode1", "score"]
    assert of_type(found, "ReLU") == ["relu1", "relu2", "relu3", "relu4"]
    assert found["norm"].type == "LRN" and found["norm"].bottom[0] == "data"
    assert {(*found[name].convolution_param.kernel_size, *found[name].convolution_param.pad,
             found[name].convolution_param.num_output)
            for name in of_type(found, "Convolution")[:-1]} == {(7, 3, 64)}


@pytest.mark.parametrize("head, names", [
    ("segnet-bayesian", ["encdrop3", "encdrop4", "encdrop5", "decdrop5", "decdrop4", "decdrop3"]),
    ("segnet-basic-bayesian", ["encdrop3", "encdrop4", "decdrop4", "decdrop3"])])
def test_dropout_acts_in_the_deploy_net_of_a_bayesian_one(head, names):
    for split, draws in (("train", False), ("val", False), ("deploy", True)):
        found = layers(head, split)
        assert of_type(found, "Dropout") == names
        assert {found[name].dropout_param.sample_weights_test for name in names} == {draws}


def test_bn_learns_in_training_alone():
    for split, mode in (("train", 0), ("val", 1), ("deploy", 1)):
        found = layers("segnet", split)
        assert {found[name].bn_param.bn_mode for name in of_type(found, "BN")} == {mode}
    for split in ("train", "val"):
        assert "'multiple': 32" in layers("segnet", split)["data"].python_param.param_str


@pytest.mark.parametrize("head", segnet.VARIANTS)
def test_scores_are_as_large_as_images_whose_sides_fit(tmp_path, head):
    multiple = segnet.VARIANTS[head].multiple
    path = nets.write_prototxt(tmp_path / "net.prototxt", nets.fcn(
        head, "deploy", folder(tmp_path, 5), width=1 / 32))
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs["data"].reshape(2, 3, multiple, 2 * multiple)
    net.reshape()
    assert net.blobs["score"].data.shape == (2, 5, multiple, 2 * multiple)
    net.blobs["data"].reshape(1, 3, multiple, 2 * multiple + 9)
    with pytest.raises(LayerError, match=r"'upsample\d'.*holds places in.*multiples of 2"):
        net.reshape()


def test_the_original_caffe_has_no_upsample(monkeypatch):
    monkeypatch.delattr(segnet.caffe_pb2, "UpsampleParameter")
    with pytest.raises(ValueError, match="head 'segnet' needs the layers Upsample and BN"):
        nets.fcn("segnet", "deploy")
