"""Dilated convolutions against what was published: geometry, margins, and how a context begins."""

import numpy as np
import pytest

import caffe
from fcn import nets, surgery
from fcn.analysis.geometry import places
from fcn.nets import dilated
from fcn.nets.source import nyud
from fcn.solvers.inference.fields import reaches

KEYS = ("num_output", "kernel_size", "pad", "dilation")


def net_of(tmp_path, head, split="deploy", **options):
    path = nets.write_prototxt(tmp_path / f"{head}.prototxt", nets.fcn(
        head, split, width=1 / 64, filler="msra", **options))
    return caffe.Net(str(path), caffe.TEST)


def convolutions(head):
    """{layer: (outputs, kernel, pad, dilation)}"""
    found = {}
    for layer in nets.fcn(head, "deploy").layer:
        if layer.type == "Convolution" and layer.name != "inside":
            c = layer.convolution_param
            found[layer.name] = (c.num_output, c.kernel_size[0], *(
                values[0] if values else default
                for values, default in ((c.pad, 0), (c.dilation, 1))))
    return found


def test_the_front_end_is_as_published():
    found = convolutions("dilated-frontend")
    for block, channels in enumerate((64, 128, 256, 512, 512), 1):
        for i in range(1, (2 if block < 3 else 3) + 1):
            assert found.pop(f"conv{block}_{i}") == (channels, 3, 0, 2 if block == 5 else 1)
    assert found == {"fc6": (4096, 7, 0, 4), "fc7": (4096, 1, 0, 1), "final": (21, 1, 0, 1)}
    pools = [layer.name for layer in nets.fcn("dilated-frontend", "deploy").layer
             if layer.type == "Pooling"]
    assert pools == ["pool1", "pool2", "pool3"]


@pytest.mark.parametrize("head, channels", [
    ("dilated-context", [21] * 8), ("dilated-context-large", [42, 42, 84, 168, 336, 672, 672, 21])])
def test_contexts_are_as_published(head, channels):
    found = [value for name, value in convolutions(head).items() if name.startswith("ct_")]
    assert [value[0] for value in found] == channels
    assert [value[1:] for value in found] == [
        (3, 33, 1), (3, 0, 1), (3, 0, 2), (3, 0, 4), (3, 0, 8), (3, 0, 16), (3, 0, 1), (1, 0, 1)]


def test_the_margin_is_the_published_one():
    assert dilated.margin() == 186
    assert [dilated.margin(kernel) for kernel in (2, 4)] == [106, 138]


@pytest.mark.parametrize("kernel", [7, 2])
@pytest.mark.parametrize("size", [(24, 40), (17, 31), (1, 1)])
def test_scores_have_the_size_of_the_image_and_lie_on_its_pixels(tmp_path, kernel, size):
    """Scores at stride 8 of what lies in the middle of blocks of 8×8 pixels."""
    net = net_of(tmp_path, "dilated-frontend", fc6_kernel=kernel)
    margin = dilated.margin(kernel)
    net.blobs["data"].reshape(1, 3, *(side + 2 * margin for side in size))
    net.forward()
    assert net.blobs["score"].data.shape == (1, 21, *size)
    assert net.blobs["final"].data.shape[2:] == tuple(-(-side // 8) for side in size)
    place = places(nets.fcn("dilated-frontend", "deploy", fc6_kernel=kernel))["final"]
    assert (place.stride, place.field) == (8, 2 * margin + 8)
    for reach in reaches(tmp_path / "dilated-frontend.prototxt", "score", margin):
        assert reach.before == reach.behind


@pytest.mark.parametrize("head", dilated.HEADS[1:])
def test_a_context_begins_as_the_identity(tmp_path, head):
    """Behind any scores its own are those above 0, whatever the place."""
    net = net_of(tmp_path, head, source=nets.TABLE["voc-dilated-context"].source(classes=5))
    surgery.identity(net, dilated.context_layers(head), 5)
    scores = np.random.default_rng(0).normal(size=(1, 5, 9, 12)).astype(np.float32)
    net.blobs["final"].reshape(*scores.shape)
    net.blobs["final"].data[...] = scores
    net.forward(start="ct_conv1_1", end="ct_final")
    assert np.allclose(net.blobs["ct_final"].data, np.maximum(scores, 0), atol=1e-6)


def test_context_layers_learn_and_the_front_end_does_not():
    for head in dilated.HEADS[1:]:
        rates = {layer.name: [spec.lr_mult for spec in layer.param]
                 for layer in nets.fcn(head, "train").layer if layer.type == "Convolution"}
        learning = [name for name, rate in rates.items() if rate == [1, 2]]
        assert learning == dilated.context_layers(head)
        assert all(not any(rate) for name, rate in rates.items() if name not in learning)


def test_data_layers_have_the_margin():
    for split in ("train", "val"):
        layer = nets.fcn("dilated-frontend", split).layer[0]
        assert "'margin': 186" in layer.python_param.param_str
    train = nets.fcn("dilated-frontend", "train",
                     nets.TABLE["voc-dilated-frontend"].source()).layer[0].python_param.param_str
    assert "'crop': 128" in train and "'batch': 14" in train    # 128 + 2 · 186 = 500
    assert "(102.93, 111.36, 116.52)" in train


def test_one_image_alone():
    with pytest.raises(ValueError, match="'dilated-context' takes one image and one label"):
        nets.fcn("dilated-context", "train", nyud(("color", "hha")))
