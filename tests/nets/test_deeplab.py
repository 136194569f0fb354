"""DeepLab's nets against what was published: names, geometry, rates, and where scores lie."""

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from fcn import nets
from fcn.analysis.geometry import parameters, places
from fcn.nets import deeplab
from fcn.nets.source import nyud


def layers(head, split="train", **options):
    return {layer.name: layer for layer in nets.fcn(head, split, **options).layer}


def built(tmp_path, head, split="deploy", **options):
    path = nets.write_prototxt(tmp_path / f"{head}.prototxt",
                               nets.fcn(head, split, width=1 / 32, filler="msra", **options))
    caffe.set_random_seed(1)        # with others, of the few channels none may be left
    return caffe.Net(str(path), caffe.TEST)


def kernel(layer):
    """(filters, kernel, pad, hole, stride)"""
    c = layer.convolution_param
    return (c.num_output, c.kernel_size[0], *(list(field)[0] if field else default for
            field, default in ((c.pad, 0), (c.dilation, 1), (c.stride, 1))))


FC = {"deeplab": [(4096, 4, 6, 4, 1)], "deeplab-7x7": [(4096, 7, 12, 4, 1)],
      "deeplab-4x4": [(4096, 4, 12, 8, 1)], "deeplab-largefov": [(1024, 3, 12, 12, 1)],
      "deeplab-msc": [(4096, 4, 6, 4, 1)], "deeplab-msc-largefov": [(1024, 3, 12, 12, 1)],
      "deeplab-aspp": [(1024, 3, hole, hole, 1) for hole in (6, 12, 18, 24)]}


@pytest.mark.parametrize("head", deeplab.VARIANTS)
def test_geometry_is_as_published(head):
    net = layers(head)
    for block, (channels, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        pool = net[f"pool{block}"].pooling_param
        assert (pool.pool, pool.kernel_size, pool.pad) == (pool.MAX, 3, 1)
        assert pool.stride == (2 if block < 4 else 1)
        space = 2 if block == 5 else 1
        for i in range(1, depth + 1):
            assert kernel(net[f"conv{block}_{i}"]) == (channels, 3, space, space, 1)
    names = deeplab.VARIANTS[head].branches
    assert [kernel(net["fc6" + name]) for name in names] == FC[head]
    for name in names:
        channels = FC[head][0][0]
        assert kernel(net["fc7" + name]) == (channels, 1, 0, 1, 1)
        assert kernel(net["fc8_voc12" + name]) == (21, 1, 0, 1, 1)
        assert net["drop6" + name].dropout_param.dropout_ratio == 0.5
    assert ("pool5a" in net) == (FC[head][0][0] == 1024)
    assert net["label_shrink"].interp_param.shrink_factor == 8
    assert net["loss"].loss_param.ignore_label == 255


@pytest.mark.parametrize("head, millions, field", [
    ("deeplab", 65.1, 128), ("deeplab-7x7", 134.3, 224), ("deeplab-4x4", 65.1, 224),
    ("deeplab-largefov", 20.5, 224)])
def test_parameters_and_fields_of_view_of_table_2(head, millions, field):
    """The paper's field is that of fc6 in samples of stride 8, of 4 by the classifier's 32."""
    net = nets.fcn(head, "deploy")
    assert parameters(net) / 1e6 == pytest.approx(millions, abs=0.06)
    _, taps, _, hole, _ = FC[head][0]
    assert 8 * (hole * (taps - 1) + 4) == field
    assert places(net)["fc8_voc12"].stride == 8


@pytest.mark.parametrize("head", deeplab.VARIANTS)
def test_a_miniature_has_all_filters_of_the_classifier_and_scores_as_fast_as_the_trunk(head):
    net = layers(head, width=1 / 8, fc6_kernel=2, all_filters=True, score_rate=1)
    multiscale = deeplab.VARIANTS[head].multiscale
    for name in deeplab.VARIANTS[head].branches:
        assert [net[fc + name].convolution_param.num_output for fc in ("fc6", "fc7")] == [512, 512]
        rates = [p.lr_mult for p in net["fc8_voc12" + name].param]
        assert rates == ([0, 0] if multiscale else [1, 2])
    assert not multiscale or [p.lr_mult for p in net["fc8_pool4"].param] == [10, 20]


def test_rates_of_the_score_layer_and_of_what_is_fixed():
    for head, variant in deeplab.VARIANTS.items():
        rates = {name: [(p.lr_mult, p.decay_mult) for p in layer.param]
                 for name, layer in layers(head).items() if layer.type == "Convolution"}
        for name, rate in rates.items():
            new = "_ms" in name or name in ("fc8_data", *(f"fc8_pool{i}" for i in range(1, 5)))
            if variant.multiscale and not new:
                assert rate == [(0, 0)] * 2, name
            elif name.startswith("fc8_"):
                assert rate == [(10, 1), (20, 0)]
            else:
                assert rate == [(1, 1), (2, 0)]


@pytest.mark.parametrize("side, fc6", [(4, {"deeplab": (4, 3, 2), "deeplab-7x7": (4, 6, 4),
                                            "deeplab-4x4": (4, 6, 4),
                                            "deeplab-largefov": (3, 6, 6)}),
                                       (2, {"deeplab": (2, 1, 2), "deeplab-7x7": (2, 2, 4),
                                            "deeplab-4x4": (2, 2, 4),
                                            "deeplab-largefov": (2, 2, 4)})])
def test_holes_shrink_as_the_view_of_the_classifier_does(side, fc6):
    for head, expected in fc6.items():
        assert kernel(layers(head, fc6_kernel=side)["fc6"])[1:4] == expected


@pytest.mark.parametrize("size", [(33, 65), (40, 30), (31, 32)])
@pytest.mark.parametrize("head", ["deeplab-msc-largefov", "deeplab-aspp"])
def test_scores_lie_on_every_eighth_pixel_of_images_of_any_size(tmp_path, head, size):
    net = built(tmp_path, head, fc6_kernel=4)
    image = np.random.default_rng(1).normal(size=(1, 3, *size)).astype(np.float32)
    net.blobs["data"].reshape(*image.shape)
    scores = net.forward(data=image)["score"]
    assert scores.shape == (1, 21, *size)
    last = "fc8_sum" if "fc8_sum" in net.blobs else "fc8_voc12"
    np.testing.assert_allclose(scores[:, :, ::8, ::8], net.blobs[last].data[
        :, :, :(size[0] + 7) // 8, :(size[1] + 7) // 8], atol=1e-6)


def test_a_mirrored_image_has_mirrored_scores_of_the_image_and_of_all_poolings(tmp_path):
    """Of a size 8k + 1 nothing is to be padded: each branch lies where the main one does."""
    net = built(tmp_path, "deeplab-msc", fc6_kernel=4)
    for name in net.params:
        net.params[name][0].data[...] = (net.params[name][0].data
                                         + net.params[name][0].data[..., ::-1]) / 2
    image = np.random.default_rng(2).normal(size=(1, 3, 33, 41)).astype(np.float32)
    net.blobs["data"].reshape(*image.shape)
    for blob in ("fc8_voc12", "fc8_datac", "fc8_pool1c", "fc8_pool2c", "fc8_pool3", "score"):
        scores, mirrored = (net.forward(blobs=[blob], data=data)[blob].copy()
                            for data in (image, image[..., ::-1]))
        np.testing.assert_allclose(mirrored[..., ::-1], scores, rtol=1e-3, atol=1e-6)
        assert scores.any()


@pytest.mark.parametrize("side, shift", [(7, 0), (2, 16)])
def test_without_holes_the_same_net_has_stride_32(tmp_path, side, shift):
    net = layers("deeplab-largefov", stride=32, fc6_kernel=side)
    assert [net[f"pool{i}"].pooling_param.stride for i in range(1, 6)] == [2] * 5
    assert kernel(net["conv5_1"])[2:] == (1, 1, 1)
    assert kernel(net["fc6"])[1:] == ((3, 3, 3, 1) if side == 7 else (2, 1, 1, 1))
    assert list(net["loss"].bottom) == ["score", "label"]
    net = built(tmp_path, "deeplab-largefov", fc6_kernel=side, stride=32)
    net.blobs["data"].reshape(1, 3, 50, 66)
    scores = net.forward()["score"]
    assert scores.shape == (1, 21, 50, 66)
    np.testing.assert_allclose(scores[:, :, 32 - shift::32, 32 - shift::32], net.blobs[
        "fc8_voc12"].data[:, :, 1:, 1:][:, :, :2 if shift else 1, :2], atol=1e-6)
    with pytest.raises(ValueError, match="stride is 32; of the head 'deeplab-msc' it can be 8"):
        nets.fcn("deeplab-msc", "train", stride=32)
    with pytest.raises(ValueError, match="stride is 16; of DeepLab it can be 8 or 32"):
        nets.fcn("deeplab", "train", stride=16)


def test_what_does_not_fit_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="one image and one label, not color, hha, label"):
        nets.fcn("deeplab", "train", nyud(("color", "hha")))
    with pytest.raises(ValueError, match="fc6_kernel is 5; of DeepLab it can be 2 or 4 or 7"):
        nets.fcn("deeplab", "train", fc6_kernel=5)
    with pytest.raises(TypeError, match="wdith"):
        nets.fcn("deeplab", "train", wdith=1)
    monkeypatch.delattr(caffe_pb2, "InterpParameter")
    with pytest.raises(ValueError, match="'deeplab-aspp' needs the layer Interp of DeepLab's fork"):
        nets.fcn("deeplab-aspp", "train")
