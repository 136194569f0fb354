"""What the net starts from, the settings of the solver, and what is said while it trains."""

import hashlib
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2
from fcn import nets, surgery
from fcn.nets.source import siftflow, voc
from fcn.solvers import training
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import family_of
from fcn.solvers.experiments.splits import training_names
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures.miniature import ACCUMULATED, SMALL
from fcn.solvers.preflight import PreflightError, divergence, first_loss, recipe, weights
from fcn.solvers.training import loop
from fcn.solvers.training.loss_watch import LossError
from segdata.download import catalog
from segdata.embedded import voc as embedded_voc
from voc_layers import SBDDSegDataLayer

HEAD = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "label" type: "Input" top: "label"
  input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
"""
LOSS = ('layer { name: "loss" type: "SoftmaxWithLoss" bottom: "%s" bottom: "label" top: "loss" '
        'loss_param { ignore_label: 255 %s } }')


def conv(name, bottom, outputs=4, filler="msra", kind="Convolution", kernel=1, more=""):
    weight = f'weight_filler {{ type: "{filler}" }}' if filler else ""
    return (f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {more} '
            f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {weight} }} }}\n")


@pytest.fixture
def build(tmp_path):
    def make(layers):
        path = tmp_path / "net.prototxt"
        path.write_text(HEAD + layers)
        return (caffe.Net(str(path), caffe.TRAIN),
                text_format.Parse(HEAD + layers, caffe_pb2.NetParameter()))
    return make


RELU = 'layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }\n'


@pytest.mark.parametrize("layers, stuck", [
    (conv("a", "data") + RELU + conv("score", "a", filler="") + LOSS % ("score", ""), []),
    (conv("a", "data", filler="") + RELU + conv("score", "a") + LOSS % ("score", ""), ["a"]),
    (conv("a", "data", filler="") + conv("score", "a") + LOSS % ("score", ""), []),
    (conv("a", "data", filler="") + conv("score", "a", filler="") + LOSS % ("score", ""),
     ["a", "score"]),
    # its bias learns, then it, then what is below
    (conv("a", "data", filler="") + conv("b", "a", filler="") + conv("score", "b")
     + LOSS % ("score", ""), ["a", "b"]),
    (conv("score", "data", filler="") + conv("up", "score", filler="", kind="Deconvolution")
     + LOSS % ("up", ""), ["score", "up"]),
    (conv("score", "data", filler="") + conv("up", "score", kind="Deconvolution",
                                             more="param { lr_mult: 0 }") + LOSS % ("up", ""), []),
    (conv("score", "data") + conv("up", "score", filler="", kind="Deconvolution",
                                  more="param { lr_mult: 0 }") + LOSS % ("up", ""), ["up"]),
    (conv("unread", "data", filler="") + conv("score", "data", filler="") + LOSS % ("score", ""),
     []),
])
def test_weights_that_stay_zero_are_those_that_training_leaves_zero(build, layers, stuck):
    """Held against training: what is found is what is still zero after some updates."""
    net, param = build(layers)
    assert weights.zero_for_ever(net, param) == stuck
    rng = np.random.default_rng(0)
    net.blobs["data"].data[...] = rng.normal(size=(1, 3, 8, 8))
    net.blobs["label"].data[...] = rng.integers(0, 4, (1, 1, 8, 8))
    rates = {layer.name: [p.lr_mult for p in layer.param] or [1, 1] for layer in param.layer}
    for _ in range(6):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        for name, blobs in net.params.items():
            for blob, rate in zip(blobs, [*rates[name], 1]):
                blob.data[...] -= 0.01 * rate * blob.diff
    still = [name for name in net.params if not net.params[name][0].data.any()]
    assert [name for name in still if name != "unread"] == stuck


def test_zero_weights_are_told_with_the_remedy(build):
    found = list(weights.findings(*build(
        conv("score", "data", filler="") + conv("up", "score", filler="", kind="Deconvolution")
        + LOSS % ("up", ""))))
    assert len(found) == 1 and found[0].stops
    assert re.search("score, up are all zero and would stay.*surgery.interp", str(found[0]), re.S)


def test_deconvolutions_that_do_not_interpolate(build):
    text = conv("a", "data") + conv("upscore", "a", kind="Deconvolution", kernel=4) \
        + LOSS % ("a", "")
    net, param = build(text)
    assert "upscore do not interpolate" in str(list(weights.findings(net, param))[0])
    surgery.interp(net, ["upscore"])
    assert list(weights.findings(net, param)) == []
    net.params["a"][0].data[0] = np.inf
    assert "weights of a are not finite" in str(list(weights.findings(net, param))[0])


@pytest.fixture
def experiment(data, tmp_path):
    return Experiment("tiny", {"": "base"}, 1e-9, "fcn32s", voc(data, len(embedded_voc.CLASSES)),
                      {"label": embedded_voc.CLASSES}, iterations=3, interval=3, build=tmp_path,
                      net=dict(width=1 / 64))


def base(tmp_path, **renamed):
    """A classifier of that width, with layers renamed."""
    param = nets.classifier("vgg16", width=1 / 64, filler="msra", size=64)
    for one in param.layer:
        one.name = renamed.get(one.name, one.name)
    return {"": caffe.Net(str(nets.write_prototxt(tmp_path / "base.prototxt", param)), caffe.TEST)}


def test_what_the_weights_did_not_fill_and_what_no_layer_took(experiment, tmp_path):
    training.train(replace(experiment, net=dict(width=1 / 64, fc6_kernel=2)), base(tmp_path))
    run = replace(experiment, name="other", net=dict(width=1 / 64, fc6_kernel=2))
    with pytest.raises(PreflightError, match="(?s)3 findings.*filled no conv4_2.*no layer of the "
                                             "net took the weights of conv4_two.*conv4_2, score_fr "
                                             "are all zero"):
        training.train(run, base(tmp_path, conv4_2="conv4_two"))


@pytest.mark.parametrize("head, first", [("fcn16s", "FCN-32s"), ("fcn8s", "FCN-16s")])
def test_a_later_stage_that_starts_from_the_classifier(experiment, tmp_path, head, first):
    run = replace(experiment, head=head, net=dict(width=1 / 64, fc6_kernel=2))
    with pytest.raises(PreflightError, match=f"(?s){head} starts from weights without score_.*"
                                             f"train {first} first"):
        training.train(run, base(tmp_path))
    training.train(replace(run, head="fcn8s-atonce", name="atonce"), base(tmp_path))


@pytest.mark.parametrize("options, learnt, new", [
    (dict(trunk="caffenet"), ["score_fr", "score_pool2"], ["score_pool1"]),
    (dict(source=siftflow()), ["score_pool4_sem", "score_pool4_geo"],
     ["score_pool3_sem", "score_pool3_geo"])])
def test_the_scores_of_the_stage_before_are_missed_whatever_their_names(options, learnt, new):
    param = nets.fcn("fcn8s", "train", **options)

    def found(names):
        report = [surgery.Outcome("kept", name, "") for name in names]
        return list(weights.unplaced("fcn8s", [report], param))

    for name in learnt:
        assert f"starts from weights without {name}" in str(found([name, *new])[0])
    assert found(new) == []


def test_weights_under_another_name(tmp_path, monkeypatch):
    path = tmp_path / "vgg.caffemodel"
    path.write_bytes(b"weights")
    digest = "sha1:" + hashlib.sha1(b"weights").hexdigest()
    monkeypatch.setitem(weights.KNOWN, "caffenet", digest)
    found = list(weights.not_what_its_name_says("vgg16", path))
    assert "be the ILSVRC-trained VGG-16, but is the ILSVRC-trained CaffeNet" in str(found[0])
    assert found[0].stops and "make vgg16" in found[0].remedy
    monkeypatch.setitem(weights.KNOWN, "vgg16", digest)
    assert list(weights.not_what_its_name_says("vgg16", path)) == []
    assert set(weights.KNOWN) == {"vgg16", "caffenet", "googlenet"}
    assert catalog.ITEMS["vgg16"].checksum.startswith("sha1:")


# the recipe

SIZED = SimpleNamespace(blobs={"label": SimpleNamespace(data=np.zeros((1, 1, 375, 500)))})


def judged(normalize="", **settings):
    solver = caffe_pb2.SolverParameter(**{"iter_size": 1, **settings})
    net = text_format.Parse(HEAD + LOSS % ("score", normalize), caffe_pb2.NetParameter())
    return list(recipe.findings(solver, net, SIZED))


@pytest.mark.parametrize("settings, said, stops", [
    (dict(base_lr=1e-4, momentum=0.99, normalize="normalize: false"),
     "summed over about 187,500 pixels: it acts as 18.7 would", True),
    (dict(base_lr=1e-4, momentum=0.9, normalize="normalization: NONE"), "187,500 times", True),
    (dict(base_lr=1e-10, momentum=0.9, normalize="normalize: true"),
     "averaged over pixels: nothing would be learnt.*--lr 2e-05", True),
    (dict(base_lr=1e-10, momentum=0.99), "nothing would be learnt", True),
    (dict(base_lr=math.nan, momentum=0.9), "base_lr is nan", True),
    (dict(base_lr=math.inf), "base_lr is inf", True),
    (dict(base_lr=-1e-3), "base_lr is -0.001", True),
    (dict(base_lr=1e-3, weight_decay=-1), "weight_decay is -1", True),
    (dict(base_lr=1e-3, momentum=1.0), "momentum is 1, so that gradients never fade", True),
    (dict(base_lr=1e-3, momentum=0.99, iter_size=20), "updates of about 2,000 images", True),
    (dict(base_lr=1e-3, momentum=0.5), "outside the recipes of the paper", False),
])
def test_settings_that_do_not_fit(settings, said, stops):
    found, = judged(**settings)
    assert re.search(said, str(found), re.S) and found.stops == stops and found.remedy


def test_the_recipes_of_the_paper_and_of_the_demo_have_no_finding():
    for name, row in EXPERIMENTS.items():
        averaged = row.net.get("normalize", family_of(row.head).loss_is_mean)
        kind = f"normalize: {str(averaged).lower()}"
        for lr, iter_size in ((row.lr, row.iter_size),
                              (SMALL[name].lr, min(row.iter_size, ACCUMULATED))):
            assert judged(kind, base_lr=lr, momentum=row.momentum, iter_size=iter_size) == []


def test_a_momentum_that_workers_share_out_has_no_finding():
    for workers in 2, 3, 8:
        assert judged(base_lr=1e-3, momentum=0.99 ** workers) == []


# losses

def test_the_first_loss_is_said_in_three_ways(experiment, tmp_path, capsys):
    training.train(replace(experiment, net=dict(width=1 / 64, fc6_kernel=2)), base(tmp_path))
    printed = capsys.readouterr().out
    summed, pixels, each = re.search(r"first loss of 'label': ([\d.]+) summed over ([\d,]+) valid "
                                     r"pixels, ([\d.]+) per pixel; guessing among 7 classes costs "
                                     r"ln\(7\) = 1.946: as expected of scores that start at zero",
                                     printed).groups()
    assert float(summed) / int(pixels.replace(",", "")) == pytest.approx(float(each), rel=1e-3)


@pytest.mark.parametrize("loss, zero, said", [
    (first_loss.Loss("label", 100, 7, 194.6, 1.946), True, "as expected of scores that start"),
    (first_loss.Loss("label", 100, 7, 194.6, 1.8), False, "0.93 times that, as expected of a net"),
    (first_loss.Loss("label", 100, 1, 0.0, 0.0), True, "of one class there is nothing to be"),
    (first_loss.Loss("label", 100, 7, np.nan, np.nan), True, "warning: no finite number"),
    (first_loss.Loss("label", 100, 7, 0.0, np.nan), True, "all weights of the first image are 0"),
    (first_loss.Loss("label", 100, 7, 300.0, 3.0), False, "1.54 times that, as untrained scores "
     "often cost. Worry only if it is still above 1.95 per pixel after some hundred iterations"),
    (first_loss.Loss("label", 100, 7, 250.0, 2.5), True, "warning: scores that start at zero"),
    (first_loss.Loss("label", 100, 7, 900.0, 9.0), False, "warning: far worse than guessing"),
    (first_loss.Loss("label", 100, 7, 50.0, 0.5), False, "starts with what it has learnt"),
    (first_loss.Loss("label", 0, 7, 0.0, math.nan), True, "void throughout"),
])
def test_verdicts_on_the_first_loss(loss, zero, said):
    assert said in first_loss.described(loss, zero)


def test_a_cheap_first_loss_of_random_weights_is_nothing_learnt():
    loss = first_loss.Loss("label", 100, 2, 40.0, 0.4)
    assert "0.58 times that: this image is mostly of a class" in first_loss.described(
        loss, False, is_new=True)
    nothing = first_loss.Loss("label", 100, 2, 0.0, math.nan)
    assert "all weights of the first image are 0" in first_loss.described(nothing, False)


def test_an_averaged_loss_is_summed_again(build):
    net, param = build(conv("score", "data", filler="") + LOSS % ("score", "normalize: true"))
    net.blobs["label"].data[...] = 1
    net.blobs["label"].data[0, 0, :2] = 255
    net.forward()
    loss, = first_loss.losses(net, param)
    assert loss.pixels == 48 and loss.classes == 4
    assert loss.per_pixel == pytest.approx(math.log(4), rel=1e-5)
    assert loss.summed == pytest.approx(48 * math.log(4), rel=1e-5)


@pytest.fixture
def bad_image(experiment, monkeypatch):
    """(a run of whose images one is not finite, the name of that, its first position from 0)"""
    run = replace(experiment, iterations=20, interval=20, net=dict(width=1 / 64, fc6_kernel=2))
    name = labels_name(run, 2)
    read = SBDDSegDataLayer.decode_image

    def spoilt(self, top, path):
        array = read(self, top, path)
        if name in str(path):
            array[0, 0, 0] = np.nan
        return array
    monkeypatch.setattr(SBDDSegDataLayer, "decode_image", spoilt)
    return run, name, next(i for i in range(20) if labels_name(run, i) == name)


def test_an_image_that_is_not_finite_is_named_with_its_iteration(bad_image, tmp_path):
    """It spoils the first layer, and the run ends in that very iteration."""
    run, name, position = bad_image
    with pytest.raises(LossError, match=f"the loss is nan at iteration {position + 1}, of the "
                       f"image {name}; the first layer whose output is not finite is 'data' .*in "
                       "this order: an image holds numbers that are not finite"):
        training.train(run, base(tmp_path))


def test_where_losses_are_not_looked_at_one_by_one_all_images_since_are_named(
        bad_image, monkeypatch, tmp_path):
    """As on a GPU, with four images of which the others come after the bad one."""
    run, name, position = bad_image
    monkeypatch.setattr(loop, "runs_on_gpu", lambda: True)
    monkeypatch.setattr(loop, "LONGEST_WAIT", 1e9)
    with pytest.raises(LossError) as caught:
        training.train(replace(run, iterations=position + 10), base(tmp_path))
    told = str(caught.value)
    iterations, images = re.search(r"since iteration (\d+: .*?), of the images (.*?);",
                                   told).groups()
    first, last = map(int, re.search(r"from any of (\d+) to (\d+)", iterations).groups())
    assert first <= position + 1 < last and name in images
    assert told.index("an image holds") < told.index("the run started from were damaged")


def test_of_several_images_of_an_update_each_is_looked_at(bad_image, tmp_path):
    """The bad one is not the last, so that the loss that the net has is finite."""
    run, name, position = bad_image
    run = replace(run, iter_size=position + 2)
    names = training_names(run.source, 0, run.iter_size)
    assert names[-1] != name
    with pytest.raises(LossError, match=f"gradients are not finite at iteration 1, of the images "
                       f".*{name}.*in this order: an image holds"):
        training.train(run, base(tmp_path))
    assert not run.run.snapshots()


def labels_name(run, position):
    return training_names(run.source, position, 1)[0]


# progress

def test_a_training_that_predicts_one_class_says_so_once(experiment, tmp_path, capsys):
    training.train(replace(experiment, interval=1, net=dict(width=1 / 64, fc6_kernel=2)),
                   base(tmp_path))
    assert capsys.readouterr().err.count("for every pixel. Likely causes, in this order") == 1


def test_a_loss_that_stands_still_is_told_once():
    rng = np.random.default_rng(0)

    def told(losses):
        standstill = divergence.Standstill()
        return [text for loss in losses if (text := standstill.warning(loss, math.log(21)))]
    still = told(3.04 + rng.normal(0, 0.05, 300))
    assert len(still) == 1 and "stands still at 3.0" in still[0]
    assert told(3.04 * np.exp(-np.arange(300) / 100)) == []
    assert told(0.3 + rng.normal(0, 0.01, 300)) == []

