"""Every net of the paper against the published prototxts of shelhamer/fcn.berkeleyvision.org.

tests/golden/published_prototxts.sha256 has the checksums of the thirty published ones for training
and validation, at its commit 1305c73.
"""

import ast
import hashlib

import pytest

from fcn import nets
from fcn.nets.source import ROOT

CHECKSUMS = {path: digest for digest, path in map(
    str.split, (ROOT / "tests" / "golden" / "published_prototxts.sha256").read_text().splitlines())}
# the keys of the data layer's param_str in the order in which they were published, and the
# directories that they name
PARAMS = {"voc": {"sbdd_dir": "sbdd/dataset", "voc_dir": "pascal/VOC2011", "seed": None,
                  "split": None, "mean": None},
          "nyud": {"tops": None, "seed": None, "nyud_dir": "nyud", "split": None},
          "siftflow": {"siftflow_dir": "sift-flow", "seed": None, "split": None},
          "pascalcontext": {"context_dir": "pascal-context", "seed": None, "split": None,
                            "voc_dir": "pascal"}}
TWO_FOLDERS_UP = ("voc-fcn16s", "pascalcontext-fcn32s", "pascalcontext-fcn16s",
                  "pascalcontext-fcn8s")
SPLITS = {"trainval": "train", "test": "val"}       # what the published call otherwise


def net(name, split="train", **options):
    row = nets.TABLE[name]
    return nets.fcn(row.head, split, row.source(), **row.options, **options)


def layers(name, split="train", **options):
    return {layer.name: layer for layer in net(name, split, **options).layer}


def learning(layer):
    return [(param.lr_mult, param.decay_mult) for param in layer.param]


def as_published(name, param_str):
    """The param_str of a data layer with the published directories, in the published order."""
    own = ast.literal_eval(param_str)
    data = "../../data" if name in TWO_FOLDERS_UP else "../data"
    directories = PARAMS[name.partition("-")[0]]
    assert own.keys() <= directories.keys()
    return str({key: f"{data}/{folder}" if folder else own[key]
                for key, folder in directories.items() if key in own})


@pytest.mark.parametrize("path", CHECKSUMS)
def test_prototxts_equal_the_published_byte_for_byte(path):
    name, split = path.removesuffix(".prototxt").split("/")
    message = net(name, SPLITS.get(split, split))
    python = message.layer[0].python_param
    python.param_str = as_published(name, python.param_str)
    assert hashlib.sha256(str(message).encode()).hexdigest() == CHECKSUMS[path]


def test_there_are_thirty_published_ones():
    assert len(CHECKSUMS) == 30 and {path.split("/")[0] for path in CHECKSUMS} < set(nets.TABLE)


def test_the_deploy_prototxt_equals_the_published_but_for_its_comment_and_line_breaks():
    text = str(net("voc-fcn8s", "deploy"))
    assert hashlib.sha256(text.encode()).hexdigest() == \
        "702ca009956ed2c00050d136b6d8b89c2b2250d66949f03d00bb808765d81149"


SEM_AND_GEO = {
    "siftflow-fcn32s": ["score_fr{}", "upscore{}", "score{}"],
    "siftflow-fcn16s": ["score_fr{}", "upscore2{}", "score_pool4{}", "score_pool4{}c",
                        "fuse_pool4{}", "upscore16{}", "score{}"],
    "siftflow-fcn8s": ["score_fr{}", "upscore2{}", "score_pool4{}", "score_pool4{}c",
                       "fuse_pool4{}", "upscore_pool4{}", "score_pool3{}", "score_pool3{}c",
                       "fuse_pool3{}", "upscore8{}", "score{}"]}


@pytest.mark.parametrize("name", SEM_AND_GEO)
def test_siftflow_has_two_heads(name):
    found = layers(name)
    assert list(found["data"].top) == ["data", "sem", "geo"]
    names = list(found)
    assert names[names.index("drop7") + 1:] == [
        *(layer.format("_sem") for layer in SEM_AND_GEO[name]), "loss",
        *(layer.format("_geo") for layer in SEM_AND_GEO[name]), "loss_geo"]
    assert list(found["loss"].bottom) == ["score_sem", "sem"]
    assert list(found["loss_geo"].bottom) == ["score_geo", "geo"]
    for task, classes in (("sem", 33), ("geo", 3)):
        assert found[f"score_fr_{task}"].convolution_param.num_output == classes
    for loss in ("loss", "loss_geo"):
        assert found[loss].loss_param.ignore_label == 255 and not found[loss].loss_param.normalize


def test_early_fusion_sees_four_channels():
    found = layers("nyud-fcn32s-color-d")
    assert list(found)[:5] == ["color", "data", "conv1_1_bgrd", "relu1_1", "conv1_2"]
    assert list(found["color"].top) == ["color", "depth", "label"]
    assert (found["data"].type, list(found["data"].bottom)) == ("Concat", ["color", "depth"])
    deploy = net("nyud-fcn32s-color-d", "deploy").layer
    assert [(layer.name, layer.input_param.shape[0].dim[1]) for layer in deploy
            if layer.type == "Input"] == [("color", 3), ("depth", 1)]


def test_late_fusion_averages_the_scores_of_two_trunks():
    found = layers("nyud-fcn32s-color-hha")
    single = list(layers("nyud-fcn32s-color"))
    trunk = single[single.index("conv1_1"):single.index("score_fr") + 1]
    assert list(found) == ["color", *(layer + "color" for layer in trunk),
                           *(layer + "hha" for layer in trunk), "score_fused", "upscore", "score",
                           "loss"]
    assert list(found["conv1_1hha"].bottom) == ["hha"]
    assert list(found["score_fused"].bottom) == ["score_frcolor", "score_frhha"]
    assert list(found["score_fused"].eltwise_param.coeff) == [0.5, 0.5]
    assert list(found["score"].bottom) == ["upscore", "color"]


def test_late_fusion_at_stride_16_averages_the_scores_of_both_skips():
    found = layers("nyud-fcn16s-color-hha")
    assert list(found["score_pool4color"].bottom) == ["pool4color"]
    assert list(found["score_pool4hha"].bottom) == ["pool4hha"]
    assert list(found["score_pool4"].bottom) == ["score_pool4color", "score_pool4hha"]
    assert list(found["score_pool4"].eltwise_param.coeff) == [0.5, 0.5]
    names = list(found)
    assert names[names.index("score_fused"):] == [
        "score_fused", "upscore2", "score_pool4", "score_pool4c", "fuse_pool4", "upscore16",
        "score", "loss"]


# U-Net's loss, of weighted pixels, is a Python layer's
@pytest.mark.parametrize("name", [name for name in nets.TABLE if not name.endswith("-unet")])
def test_the_loss_is_the_mean_for_accumulated_gradients_and_else_the_sum(name):
    loss = layers(name)["loss"].loss_param
    assert loss.normalize == (name in ("voc-fcn-alexnet", "voc-fcn-googlenet"))
    assert loss.ignore_label == 255


def test_alexnet_is_caffenet_made_convolutional():
    found = layers("voc-fcn-alexnet")
    names = list(found)
    assert names[1:names.index("conv3")] == ["conv1", "relu1", "pool1", "norm1",
                                             "conv2", "relu2", "pool2", "norm2"]
    convolutions = {name: (c.num_output, c.kernel_size[0], c.pad[0], c.stride[0], c.group)
                    for name, layer in found.items() if layer.type == "Convolution"
                    and name != "score_fr" for c in [layer.convolution_param]}
    assert convolutions == {
        "conv1": (96, 11, 100, 4, 1), "conv2": (256, 5, 2, 1, 2), "conv3": (384, 3, 1, 1, 1),
        "conv4": (384, 3, 1, 1, 2), "conv5": (256, 3, 1, 1, 2), "fc6": (4096, 6, 0, 1, 1),
        "fc7": (4096, 1, 0, 1, 1)}
    assert all(learning(found[name]) == [] for name in convolutions)
    assert learning(found["score_fr"]) == [(1, 1), (2, 0)]
    up = found["upscore"].convolution_param
    assert (up.kernel_size[0], up.stride[0]) == (63, 32)
    assert list(found["score"].crop_param.offset) == [18]


def test_of_the_fixed_net_only_the_scores_learn():
    rates = {name: learning(layer) for name, layer in layers("voc-fcn32s-fixed").items()
             if layer.type in ("Convolution", "Deconvolution")}
    assert rates.pop("score_fr") == [(1, 1), (2, 0)]
    assert rates.pop("upscore")[0][0] == 0
    assert len(rates) == 15 and all(rate == [(0, 0)] * 2 for rate in rates.values())
    assert list(layers("voc-fcn32s-fixed")) == list(layers("voc-fcn32s"))
