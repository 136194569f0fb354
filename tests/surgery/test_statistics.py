"""The statistics of SegNet's BN, measured and folded."""

import numpy as np
import pytest

import caffe
from caffe.formats.prototxt import read_net
from caffe.proto import caffe_pb2
from fcn import surgery

BN = 'scale_filler {{ type: "gaussian" std: 1 }} shift_filler {{ type: "gaussian" std: 1 }} {}'
NET = """
layer {{ name: "data" type: "Input" top: "data" top: "label" input_param {{
  shape {{ dim: 3 dim: 2 dim: 5 dim: 6 }} shape {{ dim: 3 dim: 1 dim: 5 dim: 6 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
  num_output: 4 kernel_size: 3 pad: 1 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "conv_bn" type: "BN" bottom: "conv" top: "conv" bn_param {{ {bn} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "score" type: "Convolution" bottom: "conv" top: "score" convolution_param {{
  num_output: 2 kernel_size: 1 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "score_bn" type: "BN" bottom: "score" top: "score" bn_param {{ {bn} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }}
"""


@pytest.fixture
def written(tmp_path):
    def written(mode, change=lambda param: param):
        path = tmp_path / f"{mode or 'as it is'}.prototxt"
        path.write_text(NET.format(bn=BN.format(f"bn_mode: {mode}" if mode else "")))
        path.write_text(str(change(read_net(str(path)))))
        return path
    return written


def filled(path, learnt=None, batch=0):
    net = caffe.Net(str(path), caffe.TEST)
    if learnt:
        net.copy_from(str(learnt))
    if "data" in net.blobs:
        net.blobs["data"].data[...] = np.random.default_rng(batch).normal(3, 2, (3, 2, 5, 6))
    return net


@pytest.mark.parametrize("mode", [None, "LEARN"])
def test_of_one_batch_inference_says_what_learning_says(written, tmp_path, mode):
    learning = filled(written(mode))
    learning.save(str(tmp_path / "learnt.caffemodel"))
    learning.forward()
    expected = learning.blobs["score"].data.copy()
    measured = filled(written(mode, surgery.with_statistics), tmp_path / "learnt.caffemodel")
    assert "loss" not in measured.blobs and measured.blobs["score_bn-var"].data.size == 2
    surgery.fold_statistics(measured, surgery.statistics(measured, 1))
    measured.save(str(tmp_path / "ready.caffemodel"))
    ready = filled(written("INFERENCE"), tmp_path / "ready.caffemodel")
    ready.forward()
    np.testing.assert_allclose(ready.blobs["score"].data, expected, atol=1e-4)
    # and single images, which learning would normalize by their own statistics
    ready.blobs["data"].reshape(1, 2, 5, 6)
    ready.blobs["label"].reshape(1, 1, 5, 6)
    ready.forward()
    np.testing.assert_allclose(ready.blobs["score"].data[0], expected[0], atol=1e-4)


def test_of_several_batches_they_are_the_means(written):
    net = filled(written("LEARN", surgery.with_statistics))
    batches = [np.random.default_rng(batch).normal(batch, 1, (3, 2, 5, 6)) for batch in (1, 2, 3)]
    coming = iter(batches)

    class Fed:
        """The net, given a batch before each pass."""
        layer_dict, blobs, top_names = net.layer_dict, net.blobs, net.top_names

        def forward(self):
            net.blobs["data"].data[...] = next(coming)
            net.forward()
    mean, variance = surgery.statistics(Fed(), 3)["conv_bn"]
    found = []
    for batch in batches:
        net.blobs["data"].data[...] = batch
        net.forward(end="conv")
        x = net.blobs["conv"].data.astype(float)
        found.append((x.mean((0, 2, 3)), x.var((0, 2, 3))))
    np.testing.assert_allclose(mean, np.mean([one[0] for one in found], 0), rtol=1e-4)
    np.testing.assert_allclose(variance, np.mean([one[1] for one in found], 0), rtol=1e-4)


def test_what_has_no_statistics(written):
    with pytest.raises(surgery.SurgeryError, match="no BN of SegNet's fork in bn_mode: LEARN"):
        written("INFERENCE", surgery.with_statistics)
    with pytest.raises(surgery.SurgeryError, match="net with 0 BN layers.*with_statistics"):
        surgery.statistics(filled(written("LEARN")), 1)
    net = filled(written("LEARN", surgery.with_statistics))
    with pytest.raises(surgery.SurgeryError, match="in 0 passes"):
        surgery.statistics(net, 0)
    before = net.params["conv_bn"][0].data.copy()
    with pytest.raises(surgery.SurgeryError, match="'score_bn' has 2 channels, the statistics 3"):
        surgery.fold_statistics(net, {"conv_bn": (np.ones(4), np.ones(4)),
                                      "score_bn": (np.ones(3), np.ones(3))})
    np.testing.assert_array_equal(net.params["conv_bn"][0].data, before)
    net.params["conv"][0].data[...] = np.inf
    with pytest.raises(surgery.SurgeryError, match="statistics of layer 'conv_bn' are not finite"):
        surgery.statistics(net, 1)


def test_pspnets_bn_has_its_own():
    layer = caffe_pb2.LayerParameter(type="BN")
    layer.bn_param.frozen = False
    assert not surgery.learns_statistics(layer)
