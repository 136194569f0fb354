"""The trunks against the paper's numbers (table 1), and in any combination with the heads."""

import pytest

import caffe
from fcn import nets
from fcn.nets import dilated
from net_geometry import learned, places, window

TRUNKS = ("vgg16", "caffenet", "googlenet")
HEADS = ("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce", "fcn32s-fixed")


@pytest.mark.parametrize("trunk, millions", [("vgg16", 134), ("caffenet", 57), ("googlenet", 6)])
def test_parameters_are_the_papers(trunk, millions):
    assert round(learned(nets.fcn("fcn32s", "deploy", trunk=trunk)) / 1e6) == millions


@pytest.mark.parametrize("trunk, last, field", [
    ("vgg16", "fc7", 404), ("caffenet", "fc7", 355),
    ("googlenet", "inception_5b/output", 715)])    # and 907, the paper's, with average pooling
def test_receptive_fields_and_strides_are_the_papers(trunk, last, field):
    found = places(nets.fcn("fcn32s", "deploy", trunk=trunk))
    assert found[last][1:3] == found["score_fr"][1:3] == (32, field)


def test_googlenet_sees_907_pixels_with_its_average_pooling():
    assert places(nets.classifier("googlenet"))["pool5/7x7_s1"][1:3] == (32, 907)


@pytest.mark.parametrize("trunk, skips", [
    ("vgg16", ("pool4", "pool3")), ("caffenet", ("pool2", "pool1")),
    ("googlenet", ("pool3/3x3_s2", "pool2/3x3_s2"))])
def test_skips_lie_at_strides_16_and_8(trunk, skips):
    found = places(nets.fcn("fcn8s", "deploy", trunk=trunk))
    assert [found[name].stride for name in skips] == [16, 8]
    scores = {layer.bottom[0] for layer in nets.fcn("fcn8s", "deploy", trunk=trunk).layer
              if layer.name.startswith("score_pool") and layer.type == "Convolution"}
    assert scores == set(skips)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_scores_are_of_the_images_size(tmp_path, trunk, head):
    net = build(tmp_path, nets.fcn(head, "deploy", trunk=trunk, width=1 / 32))
    sizes = [(1, 1), (31, 32), (33, 64), (65, 97), *((n, n + 7) for n in range(70, 102))]
    for height, width in sizes:
        net.blobs["data"].reshape(1, 3, height, width)
        net.reshape()
        assert net.blobs["score"].data.shape == (1, 21, height, width)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_blobs_that_meet_are_aligned_and_scores_lie_on_the_pixels(trunk, head):
    net = nets.fcn(head, "deploy", trunk=trunk)
    found = places(net)
    for layer in net.layer:
        if layer.type in ("Eltwise", "Concat"):
            assert len({(found[name].stride, found[name].centre) for name in layer.bottom}) == 1
    assert (found["score"].stride, found["score"].centre) == (1, 0)


@pytest.mark.parametrize("name", nets.TABLE)
def test_every_net_of_the_paper_scores_an_image(tmp_path, name):
    row = nets.TABLE[name]
    source = row.source()
    net = build(tmp_path, nets.fcn(row.head, "deploy", source, **row.options, width=1 / 32))
    assert list(net.inputs) == list(source.images)
    margins = {"dilated": dilated.margin(), "unet": nets.unet.margin()}
    margin = 2 * margins.get(row.head.partition("-")[0], 0)
    for image, channels in source.images.items():
        net.blobs[image].reshape(2, channels, 45 + margin, 38 + margin)
    shapes = sorted(blob.shape for blob in net.forward().values())
    assert shapes == sorted((2, classes, 45, 38) for classes in source.labels.values())


def test_inception_modules_have_the_published_channels():
    found = places(nets.classifier("googlenet"))
    outputs = {name[10:12]: place.channels for name, place in found.items()
               if name.endswith("/output")}
    assert outputs == {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832,
                       "5a": 832, "5b": 1024}


def test_googlenet_has_bvlcs_names():
    names = [layer.name for layer in nets.classifier("googlenet").layer]
    assert names[:11] == [
        "data", "conv1/7x7_s2", "conv1/relu_7x7", "pool1/3x3_s2", "pool1/norm1",
        "conv2/3x3_reduce", "conv2/relu_3x3_reduce", "conv2/3x3", "conv2/relu_3x3", "conv2/norm2",
        "pool2/3x3_s2"]
    assert [name for name in names if name.startswith("inception_4c")] == [
        f"inception_4c/{kind}" for kind in (
            "1x1", "relu_1x1", "3x3_reduce", "relu_3x3_reduce", "3x3", "relu_3x3", "5x5_reduce",
            "relu_5x5_reduce", "5x5", "relu_5x5", "pool", "pool_proj", "relu_pool_proj", "output")]
    assert names[-4:] == ["pool5/7x7_s1", "pool5/drop_7x7_s1", "loss3/classifier", "prob"]
    fcn = [layer.name for layer in nets.fcn("fcn32s", "deploy", trunk="googlenet").layer]
    assert set(names) - set(fcn) == {
        "data", "pool5/7x7_s1", "pool5/drop_7x7_s1", "loss3/classifier", "prob"}


@pytest.mark.parametrize("trunk, size", [("vgg16", 224), ("caffenet", 227), ("googlenet", 224)])
def test_classifiers_have_the_sides_that_their_fcns_expect(tmp_path, trunk, size):
    net = build(tmp_path, nets.classifier(trunk, width=1 / 32, classes=5))
    assert net.blobs["data"].data.shape == (1, 3, size, size)
    assert net.blobs["prob"].data.shape[:2] == (1, 5)
    last = {"vgg16": "pool5", "caffenet": "pool5", "googlenet": "inception_5b/output"}[trunk]
    fc6 = {layer.name: window(layer)[0] for layer in nets.fcn("fcn32s", "deploy", trunk=trunk).layer
           if layer.name == "fc6"}
    assert net.blobs[last].data.shape[2] == fc6.get("fc6", 7)


@pytest.mark.parametrize("size", [31, 62, 63, 64, 94, 95, 128])
def test_googlenet_pools_all_of_its_last_module_at_any_size(tmp_path, size):
    net = build(tmp_path, nets.classifier("googlenet", size=size, width=1 / 32))
    assert net.blobs["pool5/7x7_s1"].data.shape[2:] == (1, 1)


@pytest.mark.parametrize("width", [1 / 100, 1 / 7, 0.3])
def test_groups_divide_the_channels_at_any_width(tmp_path, width):
    build(tmp_path, nets.fcn("fcn32s", "deploy", trunk="caffenet", width=width))


@pytest.mark.parametrize("trunk", TRUNKS)
def test_interpolation_between_stages_can_learn_the_last_never_does(trunk):
    rates = {learned: [layer.param[0].lr_mult for layer in nets.fcn(
                 "fcn8s", "train", trunk=trunk, learned=learned).layer
                 if layer.type == "Deconvolution"] for learned in (False, True)}
    assert rates == {False: [0, 0, 0], True: [1, 1, 0]}


def build(tmp_path, message):
    return caffe.Net(str(nets.write_prototxt(tmp_path / "net.prototxt", message)), caffe.TEST)
