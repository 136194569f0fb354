"""The surgery of every experiment: from what it starts from, at a narrow width."""

import numpy as np
import pytest

import caffe
from fcn import nets, surgery


def build(tmp_path, name, seed=None):
    """A narrow net of the table, or classifier; with a seed, all its weights are random."""
    path = nets.write(name, tmp_path / name, width=1 / 64)["deploy"]
    net = caffe.Net(str(path), caffe.TEST)
    if seed is not None:
        rng = np.random.default_rng(seed)
        for blob in (blob for blobs in net.params.values() for blob in blobs):
            blob.data[...] = rng.normal(size=blob.data.shape)
    return net


def names(report):
    return {kind: [step.name for step in report if step.kind == kind]
            for kind in ("coerced", "dropped", "kept")}


def assert_same(new, old):
    for mine, theirs in zip(new, old, strict=True):
        np.testing.assert_array_equal(mine.data.ravel(), theirs.data.ravel())


FC = ["fc6[0]", "fc7[0]"]


@pytest.mark.parametrize("name, base, coerced, dropped, kept", [
    ("voc-fcn32s", "vgg16", FC, ["fc8"], ["score_fr", "upscore"]),
    ("voc-fcn-alexnet", "caffenet", FC, ["fc8"], ["score_fr", "upscore"]),
    ("voc-fcn-googlenet", "googlenet", [], ["loss3/classifier"], ["score_fr", "upscore"]),
    ("siftflow-fcn32s", "vgg16", FC, ["fc8"],
     ["score_fr_sem", "upscore_sem", "score_fr_geo", "upscore_geo"]),
    ("nyud-fcn32s-color-d", "vgg16", FC, ["conv1_1", "fc8"],
     ["conv1_1_bgrd", "score_fr", "upscore"])])
def test_classifiers_become_trunks(tmp_path, name, base, coerced, dropped, kept):
    net, classifier = build(tmp_path, name), build(tmp_path, base, seed=1)
    report = surgery.transplant(net, classifier)
    assert names(report) == dict(coerced=coerced, dropped=dropped, kept=kept)
    for layer in set(net.params) & set(classifier.params):
        assert_same(net.params[layer], classifier.params[layer])


@pytest.mark.parametrize("old, new, dropped", [
    ("{}-fcn32s", "{}-fcn16s", "upscore{}"), ("{}-fcn16s", "{}-fcn8s", "upscore16{}")])
@pytest.mark.parametrize("data, tasks", [("voc", [""]), ("siftflow", ["_sem", "_geo"])])
def test_stages_follow_each_other(tmp_path, old, new, dropped, data, tasks):
    before = build(tmp_path, old.format(data), seed=2)
    after = build(tmp_path, new.format(data))
    report = surgery.transplant(after, before)
    assert names(report)["dropped"] == [dropped.format(task) for task in tasks]
    for layer in set(before.params) & set(after.params):
        assert_same(after.params[layer], before.params[layer])
    skip = "score_pool4" if "16s" in new else "score_pool3"
    assert not any(after.params[skip + task][0].data.any() for task in tasks)


def test_two_trained_nets_are_fused_late(tmp_path):
    fused = build(tmp_path, "nyud-fcn32s-color-hha")
    trained = {"color": build(tmp_path, "nyud-fcn32s-color", seed=3),
               "hha": build(tmp_path, "nyud-fcn32s-hha", seed=4)}
    for suffix, net in trained.items():
        assert names(surgery.transplant(fused, net, suffix))["dropped"] == ["upscore"]
    for net in (fused, *trained.values()):
        surgery.interp(net, ["upscore"])
    images = {suffix: np.random.default_rng(5).normal(size=(1, 3, 40, 50)) for suffix in trained}
    scores = []
    for suffix, net in trained.items():
        for target, blob in ((net, "data"), (fused, suffix)):
            target.blobs[blob].reshape(1, 3, 40, 50)
            target.blobs[blob].data[...] = images[suffix]
        scores.append(net.forward()["score"].copy())
    expected = (scores[0] + scores[1]) / 2
    np.testing.assert_allclose(fused.forward()["score"] / abs(expected).max(),
                               expected / abs(expected).max(), atol=1e-5)


def test_the_late_fusion_goes_on_to_stride_16(tmp_path):
    before = build(tmp_path, "nyud-fcn32s-color-hha", seed=8)
    after = build(tmp_path, "nyud-fcn16s-color-hha")
    report = surgery.transplant(after, before)
    assert names(report) == dict(coerced=[], dropped=["upscore"], kept=[
        "score_pool4color", "score_pool4hha", "upscore2", "upscore16"])


def test_a_four_channel_net_computes_the_three_channel_one_where_depth_is_zero(tmp_path):
    early = build(tmp_path, "nyud-fcn32s-color-d")
    colour = build(tmp_path, "nyud-fcn32s-color", seed=6)
    surgery.transplant(early, colour)
    surgery.expand_image(early, "conv1_1_bgrd", colour, "conv1_1")
    for net, image in ((early, "color"), (colour, "data")):
        net.blobs[image].reshape(1, 3, 40, 50)
        net.blobs[image].data[...] = np.random.default_rng(7).normal(size=(1, 3, 40, 50))
    early.blobs["depth"].reshape(1, 1, 40, 50)
    early.blobs["depth"].data[...] = 0
    expected = colour.forward()["score"]
    np.testing.assert_allclose(early.forward()["score"], expected, rtol=1e-4,
                               atol=1e-5 * abs(expected).max())
