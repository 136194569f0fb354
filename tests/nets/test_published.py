"""Every net of the paper against the published prototxts of shelhamer/fcn.berkeleyvision.org.

Whole messages are compared by their length, which any difference but a swap of equals changes.
"""

import ast

import pytest

import nets

MEAN = (104.00699, 116.66877, 122.67892)
SBD, VOC = dict(sbdd_dir="../data/sbdd/dataset", mean=MEAN), dict(
    voc_dir="../data/pascal/VOC2011", mean=MEAN)
NYUD, SIFT = dict(nyud_dir="../../data/nyud"), dict(siftflow_dir="../../data/sift-flow")
CONTEXT = dict(voc_dir="../../data/pascal", context_dir="../../data/pascal-context")

# name, split of ours, its param_str, length of the published file
PUBLISHED = [
    ("voc-fcn32s", "train", dict(SBD, split="train"), 7254),            # at 6c59617
    ("voc-fcn32s", "val", dict(VOC, split="seg11valid"), 7259),
    ("voc-fcn16s", "train", dict(SBD, sbdd_dir="../../data/sbdd/dataset", split="train"), 8063),
    ("voc-fcn16s", "val", dict(VOC, voc_dir="../../data/pascal/VOC2011", split="seg11valid"), 8068),
    ("voc-fcn8s", "train", dict(SBD, split="train"), 8876),
    ("voc-fcn8s-atonce", "train", dict(SBD, split="train"), 9282),
    ("voc-fcn8s-atonce", "val", dict(VOC, split="seg11valid"), 9287),
    ("voc-fcn-alexnet", "train", dict(SBD, split="train"), 3812),
    ("voc-fcn-alexnet", "val", dict(VOC, split="seg11valid"), 3817),
    ("nyud-fcn32s-color", "val", dict(NYUD, nyud_dir="../data/nyud", tops=["color", "label"],
                                      split="test"), 7235),             # at e7ec2be
    ("nyud-fcn32s-hha", "val", dict(NYUD, tops=["hha", "label"], split="test"), 7236),  # 3f83b8d
    ("nyud-fcn32s-color-d", "train", dict(NYUD, tops=["color", "depth", "label"],
                                          split="trainval"), 7387),
    ("nyud-fcn32s-color-hha", "train", dict(NYUD, tops=["color", "hha", "label"],
                                            split="trainval"), 14810),
    ("siftflow-fcn32s", "val", dict(SIFT, split="test"), 8082),         # at 11a101c
    ("siftflow-fcn16s", "train", dict(SIFT, split="trainval"), 9800),
    ("siftflow-fcn8s", "train", dict(SIFT, split="trainval"), 11534),
    ("pascalcontext-fcn32s", "train", dict(CONTEXT, split="train"), 7272),      # at 98d4b38
    ("pascalcontext-fcn16s", "train", dict(CONTEXT, split="train"), 8078),
    ("pascalcontext-fcn8s", "val", dict(CONTEXT, split="val"), 8892)]


def net(name, split="train", **options):
    row = nets.TABLE[name]
    return nets.fcn(row.head, split, row.source(), **row.options, **options)


def layers(name, split="train", **options):
    return {layer.name: layer for layer in net(name, split, **options).layer}


def learning(layer):
    return [(param.lr_mult, param.decay_mult) for param in layer.param]


@pytest.mark.parametrize("name, split, params, length", PUBLISHED)
def test_prototxts_are_as_long_as_the_published(name, split, params, length):
    message = net(name, split)
    python = message.layer[0].python_param
    own = ast.literal_eval(python.param_str)
    assert {**own, **params, "seed": 1337}.keys() == own.keys()
    assert own["split"] == params["split"] and own.get("tops") == params.get("tops")
    python.param_str = str(dict(params, seed=1337))
    assert len(str(message)) == length


def test_the_deploy_prototxt_is_as_long_as_the_published():
    """At c779f6c; 127 of its characters are a comment and a blank line, and its shape stands on
    one line of 46, ours on six of 74 in all."""
    assert len(str(net("voc-fcn8s", "deploy"))) == 8438 - 127 - 46 + 74


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


@pytest.mark.parametrize("name", nets.TABLE)
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
