"""The nets against the facts that were published: names, geometry, rates, crop offsets."""

import os
import subprocess
import sys

import pytest

from caffe.formats import prototxt
from fcn import nets
from fcn.nets import heads
from fcn.nets.source import ROOT, folder
from segdata.files import WriteError


def layers(head, split="train", **options):
    return {layer.name: layer for layer in nets.fcn(head, split, **options).layer}


OFFSETS = {"fcn32s": {"score": 19}, "fcn16s": {"score_pool4c": 5, "score": 27},
           "fcn8s": {"score_pool4c": 5, "score_pool3c": 9, "score": 31},
           "fcn8s-atonce": {"score_pool4c": 5, "score_pool3c": 9, "score": 31}}


TRUNK = [name for block, depth in enumerate((2, 2, 3, 3, 3), 1) for name in (
    *(f"{kind}{block}_{i}" for i in range(1, depth + 1) for kind in ("conv", "relu")),
    f"pool{block}")] + ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "score_fr"]
POOL4 = ["score_pool4", "score_pool4c", "fuse_pool4"]
POOL3 = ["score_pool3", "score_pool3c", "fuse_pool3"]
HEADS = {"fcn32s": ["upscore"],
         "fcn16s": ["upscore2", *POOL4, "upscore16"],
         "fcn8s": ["upscore2", *POOL4, "upscore_pool4", *POOL3, "upscore8"],
         "fcn8s-atonce": ["upscore2", "scale_pool4", *POOL4, "upscore_pool4", "scale_pool3",
                          *POOL3, "upscore8"]}


@pytest.mark.parametrize("head", HEADS)
def test_layers_have_the_published_names_and_order(head):
    body = [*TRUNK, *HEADS[head], "score"]
    assert list(layers(head)) == ["data", *body, "loss"]
    assert list(layers(head, "val")) == ["data", *body, "loss"]
    assert list(layers(head, "deploy")) == [
        "input", *(name for name in body if name not in ("drop6", "drop7"))]


def test_a_head_that_fuses_more_than_the_trunk_hands_over_is_refused(monkeypatch):
    monkeypatch.setitem(heads.HEADS, "fcn9s", heads.Head(9))
    with pytest.raises(ValueError, match="fuses 9 skips.*hands over only 2: pool4, pool3; add"):
        nets.fcn("fcn9s", "deploy")


@pytest.mark.parametrize("head", OFFSETS)
def test_crop_offsets_come_out_as_published(head):
    crops = {name: list(layer.crop_param.offset) for name, layer in layers(head).items()
             if layer.type == "Crop"}
    assert crops == {name: [offset] for name, offset in OFFSETS[head].items()}
    assert all(layer.crop_param.axis == 2 for layer in layers(head).values()
               if layer.type == "Crop")


def test_the_trunk_is_vgg16_made_convolutional():
    net = layers("fcn32s")
    convolutions = {name: (c.num_output, c.kernel_size[0], c.pad[0])
                    for name, layer in net.items() if layer.type == "Convolution"
                    for c in [layer.convolution_param]}
    expected = {"conv1_1": (64, 3, 100), "conv1_2": (64, 3, 1)}
    for block, channels, depth in ((2, 128, 2), (3, 256, 3), (4, 512, 3), (5, 512, 3)):
        expected |= {f"conv{block}_{i}": (channels, 3, 1) for i in range(1, depth + 1)}
    expected |= {"fc6": (4096, 7, 0), "fc7": (4096, 1, 0), "score_fr": (21, 1, 0)}
    assert convolutions == expected
    for name in convolutions:
        assert net[name].convolution_param.bias_term
        assert list(net[name].convolution_param.stride) in ([1], [])
        assert not net[name].convolution_param.HasField("weight_filler")
        assert [(p.lr_mult, p.decay_mult) for p in net[name].param] == [(1, 1), (2, 0)]
    for name in ("relu1_1", "drop6", "drop7"):
        assert list(net[name].bottom) == list(net[name].top)
    for i in range(1, 6):
        pool = net[f"pool{i}"].pooling_param
        assert (pool.pool, pool.kernel_size, pool.stride) == (pool.MAX, 2, 2)
    assert net["drop6"].dropout_param.dropout_ratio == 0.5


@pytest.mark.parametrize("head, expected", [
    ("fcn32s", {"upscore": (64, 32)}),
    ("fcn16s", {"upscore2": (4, 2), "upscore16": (32, 16)}),
    ("fcn8s", {"upscore2": (4, 2), "upscore_pool4": (4, 2), "upscore8": (16, 8)})])
def test_deconvolutions_are_fixed_and_twice_their_stride(head, expected):
    found = {name: layer for name, layer in layers(head).items() if layer.type == "Deconvolution"}
    assert {name: (layer.convolution_param.kernel_size[0], layer.convolution_param.stride[0])
            for name, layer in found.items()} == expected
    for layer in found.values():
        assert [p.lr_mult for p in layer.param] == [0] and not layer.convolution_param.bias_term


def test_at_once_scales_the_skips():
    net = layers("fcn8s-atonce")
    for name, value in (("scale_pool4", 0.01), ("scale_pool3", 0.0001)):
        assert net[name].scale_param.filler.type == "constant"
        assert net[name].scale_param.filler.value == pytest.approx(value)
        assert list(net[name.replace("scale", "score")].bottom) == [name]
        assert net[name].param[0].lr_mult == 0


def test_splits_differ_in_data_loss_and_dropout_alone():
    train, val, deploy = (layers("fcn8s", split) for split in ("train", "val", "deploy"))
    assert train["data"].python_param.layer == "SBDDSegDataLayer"
    assert val["data"].python_param.layer == "VOCSegDataLayer"
    assert "seg11valid" in val["data"].python_param.param_str
    assert train["loss"].loss_param.ignore_label == 255
    assert train["loss"].loss_param.HasField("normalize") and not train["loss"].loss_param.normalize
    assert deploy["input"].type == "Input" and list(deploy["input"].top) == ["data"]
    body = [name for name in train if name not in ("data", "loss")]
    assert all(train[n] == val[n] for n in body)
    assert deploy.keys() - {"input"} == set(body) - {"drop6", "drop7"}
    assert all(train[n] == deploy[n] for n in deploy if n != "input")


def test_options_reach_the_layers(tmp_path):
    net = layers("fcn16s", width=0.125, filler="msra", scale=0.5, fc6_kernel=4,
                 source=folder(tmp_path, 11, mirror=True), start=40)
    assert net["conv1_1"].convolution_param.num_output == 8
    assert net["conv1_1"].convolution_param.weight_filler.type == "msra"
    assert list(net["conv1_1"].bottom) == ["scaled"] and net["scaled"].power_param.scale == 0.5
    assert net["fc6"].convolution_param.kernel_size[0] == 4
    assert not net["score_fr"].convolution_param.HasField("weight_filler")
    assert net["score_pool4"].convolution_param.num_output == 11
    for words in ("'mirror': True", "'start': 40", "'classes': 11", str(tmp_path)):
        assert words in net["data"].python_param.param_str


def test_the_classifier_scores_images_or_learns_from_batches():
    single = {layer.name: layer for layer in nets.classifier().layer}
    assert single["fc6"].inner_product_param.num_output == 4096
    assert single["fc8"].inner_product_param.num_output == 1000
    assert single["conv1_1"].convolution_param.pad[0] == 1 and single["prob"].type == "Softmax"
    batch = {layer.name: layer for layer in nets.classifier(size=64, batch=4, classes=6).layer}
    assert list(batch["label"].input_param.shape[0].dim) == [4]
    assert batch["loss"].type == "SoftmaxWithLoss"
    assert batch["fc8"].inner_product_param.num_output == 6


def test_the_command_writes_three_prototxts_without_torch(tmp_path):
    code = ("import sys; sys.argv = ['nets', 'voc-fcn8s', '-o', sys.argv[1]]; "
            "import fcn.nets.__main__ as m; m.main(); assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True,
                   env=_environment())
    for split in ("train", "val", "deploy"):
        assert prototxt.read_net(tmp_path / f"{split}.prototxt").layer[0].top[0] == "data"


def test_importing_the_nets_changes_nothing_in_pycaffe():
    code = ("import caffe.coord_map as c; before = list(c.PASS_THROUGH_LAYERS); "
            "from fcn import nets; assert c.PASS_THROUGH_LAYERS == before")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=_environment())


def test_files_say_what_generated_them(tmp_path):
    path = nets.write("voc-fcn32s", tmp_path, width=0.125)["val"]
    assert path.read_text().startswith("# Generated by nets.write('voc-fcn32s', width=0.125);")
    assert prototxt.read_net(path) == nets.fcn("fcn32s", "val", width=0.125)


@pytest.mark.parametrize("name", ["vgg16", "caffenet", "googlenet"])
def test_classifiers_are_written_for_deployment(tmp_path, name):
    paths = nets.write(name, tmp_path, width=0.125, classes=6)
    assert list(paths) == ["deploy"]
    assert prototxt.read_net(paths["deploy"]) == nets.classifier(name, width=0.125, classes=6)


@pytest.mark.parametrize("name", nets.TABLE)
def test_every_net_of_the_paper_is_written(tmp_path, name):
    row = nets.TABLE[name]
    for split, path in nets.write(name, tmp_path).items():
        assert prototxt.read_net(path) == nets.fcn(row.head, split, row.source(), **row.options)


def test_options_replace_those_of_the_table(tmp_path):
    paths = nets.write("voc-fcn-alexnet", tmp_path, source=folder(tmp_path, 4), normalize=False)
    net = {layer.name: layer for layer in prototxt.read_net(paths["train"]).layer}
    assert not net["loss"].loss_param.normalize and "conv5" in net
    assert net["score_fr"].convolution_param.num_output == 4


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WriteError, match="disk full"):
        nets.write("voc-fcn32s", tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="wdith"):
        nets.fcn("fcn8s", "train", wdith=0.5)


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_a_width_that_is_not_positive_is_refused(width):
    with pytest.raises(ValueError, match="width"):
        nets.fcn("fcn8s", "deploy", width=width)


def test_the_command_reports_what_it_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    folder = str(tmp_path / "x")
    for status, more, said in (
            (1, ["-o", str(tmp_path / "file")], f"error: {tmp_path / 'file'}: cannot be made: File "
             f"exists: {tmp_path / 'file'}; a file has that name: take another"),
            (2, ["-o", folder, "--width", "-1"], "above 0 and at most 1"),
            (2, ["-o", folder, "--width", "5"], "at most 1, got '5'")):
        result = subprocess.run([sys.executable, "-m", "nets", "voc-fcn8s", *more], cwd=ROOT,
                                capture_output=True, text=True, env=_environment())
        assert result.returncode == status and "Traceback" not in result.stderr
        assert said in result.stderr


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="voc-fcn8s-atonce"):
        nets.write("voc-fcn9s", "unused")
    result = subprocess.run([sys.executable, "-m", "nets", "voc-fcn9s"], cwd=ROOT,
                            capture_output=True, text=True, env=_environment())
    assert result.returncode == 2 and "voc-fcn8s" in result.stderr


@pytest.mark.parametrize("head, split, trunk, words", [
    ("fcn9s", "train", "vgg16", "'fcn9s'.*fcn8s-atonce"),
    ("fcn8s", "test", "vgg16", "'test'.*deploy"),
    ("fcn8s", "train", "vgg19", "'vgg19'.*caffenet")])
def test_an_unknown_head_split_or_trunk_is_refused(head, split, trunk, words):
    with pytest.raises(ValueError, match=words):
        nets.fcn(head, split, trunk=trunk)


@pytest.mark.parametrize("head", ["unet", "segnet", "deeplab", "dilated-frontend"])
@pytest.mark.parametrize("option", [{"trunk": "caffenet"}, {"normalize": True}, {"learned": True},
                                    {"fusion": "late"}, {"skip_scales": (1, 2)}])
def test_options_that_a_head_does_not_take_are_refused(head, option):
    with pytest.raises(ValueError, match=f"'{head}' .* does not take {next(iter(option))}"):
        nets.fcn(head, "deploy", **option)


def test_a_classifier_of_an_unknown_trunk_is_refused():
    with pytest.raises(ValueError, match="'vgg19'.*googlenet"):
        nets.classifier("vgg19")


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
