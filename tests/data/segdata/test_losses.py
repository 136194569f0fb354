"""Losses with weights, held against NumPy: of classes (InfogainLoss) and of pixels."""

import numpy as np
import pytest

import caffe
from caffe import layers as L
from fcn.nets import weighted, write_prototxt
from segdata.errors import DataError

SHAPE = (2, 3, 4, 5)
CLASS_WEIGHTS = [0.5, 0.0, 3.0]


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (2, 1, 4, 5)).astype(np.float32)
    label[0, 0, 1] = label[1, 0, :, 2:] = 255
    return {"score": rng.normal(size=SHAPE).astype(np.float32) * 3, "label": label,
            "weight": rng.uniform(0, 4, label.shape).astype(np.float32)}


def built(tmp_path, weigh, normalize, blobs, shapes=None, force_backward=True):
    """The net of a SoftmaxWithLoss that `weigh` changed, filled with the blobs."""
    n = caffe.NetSpec()
    for name, array in blobs.items():
        n[name] = L.Input(shape=dict(dim=list((shapes or {}).get(name, array.shape))))
    n.loss = L.SoftmaxWithLoss(n.score, n.label,
                               loss_param=dict(normalize=normalize, ignore_label=255))
    param = n.to_proto()
    param.force_backward = force_backward
    weigh(param)
    net = caffe.Net(str(write_prototxt(tmp_path / "net.prototxt", param)), caffe.TRAIN)
    for name, array in blobs.items():
        if not shapes:
            net.blobs[name].data[...] = array
    return net


def expected(blobs, weight, normalize):
    """(loss, gradient) of weights of the pixels (N, 1, height, width), in float64."""
    score, label = blobs["score"].astype(np.float64), blobs["label"].astype(int)
    counts = label != 255
    weight = np.where(counts, weight, 0)
    probability = np.exp(score) / np.exp(score).sum(1, keepdims=True)
    one_hot = np.arange(3)[:, None, None] == label
    divisor = counts.sum() if normalize else len(score)
    losses = -np.log(probability.sum(1, keepdims=True, where=one_hot, initial=0)
                     + ~counts) * weight
    return losses.sum() / divisor, (probability - one_hot) * weight / divisor


def of_classes(label):
    return np.asarray(CLASS_WEIGHTS)[np.where(label == 255, 0, label).astype(int)]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", ["classes", "pixels", "both"])
def test_weighted_losses_and_gradients_are_the_formula_s(tmp_path, blobs, kind, normalize):
    by_class = CLASS_WEIGHTS if kind != "pixels" else ()
    weight = 1 if kind == "classes" else blobs["weight"]
    if by_class:
        weight = weight * of_classes(blobs["label"])

    def weigh(param):
        if kind == "classes":
            path = weighted.write_class_weights(tmp_path / "weights.binaryproto", CLASS_WEIGHTS)
            weighted.weigh_classes(param, {"label": path})
        else:
            weighted.weigh_pixels(param, "weight", by_class)

    if kind == "classes":
        blobs.pop("weight")
    net = built(tmp_path, weigh, normalize, blobs)
    loss, gradient = expected(blobs, weight, normalize)
    assert float(net.forward()["loss"]) == pytest.approx(loss, rel=1e-5)
    net.backward()
    np.testing.assert_allclose(net.blobs["score"].diff, gradient, atol=2e-6)


def test_weights_of_classes_are_in_terms_of_the_original_caffe(tmp_path, blobs):
    path = weighted.write_class_weights(tmp_path / "weights.binaryproto", CLASS_WEIGHTS)
    np.testing.assert_allclose(weighted.read_class_weights(path), CLASS_WEIGHTS)
    net = built(tmp_path, lambda param: weighted.weigh_classes(param, {"label": path}), False,
                {name: blobs[name] for name in ("score", "label")})
    text = (tmp_path / "net.prototxt").read_text()
    assert 'type: "InfogainLoss"' in text and "normalization: BATCH_SIZE" in text
    assert f'source: "{path}"' in text and "normalize:" not in text
    assert np.isfinite(net.forward()["loss"])


def test_extreme_scores_stay_finite(tmp_path, blobs):
    blobs["score"] *= 1000
    net = built(tmp_path, lambda param: weighted.weigh_pixels(param, "weight"), False, blobs)
    net.forward()
    net.backward()
    assert np.isfinite(net.blobs["loss"].data).all() and net.blobs["loss"].data > 1000
    assert np.isfinite(net.blobs["score"].diff).all()


@pytest.mark.parametrize("by_class, change, words", [
    ([1, 2], {}, "there are 2 class_weights, expected are 3, as the scores have channels"),
    ((), {"weight": (2, 1, 4, 4)}, r"weights are \(2, 1, 4, 4\), expected is \(2, 1, 4, 5\)"),
    ((), {"label": (2, 3, 4, 5)}, r"labels are \(2, 3, 4, 5\), expected is \(2, 1, 4, 5\)")])
def test_blobs_that_do_not_fit(tmp_path, blobs, by_class, change, words):
    with pytest.raises(DataError, match=words):
        built(tmp_path, lambda param: weighted.weigh_pixels(param, "weight", by_class), False,
              blobs, change)


def test_a_label_beyond_the_classes(tmp_path, blobs):
    blobs["label"][0, 0, 0, 0] = 3
    net = built(tmp_path, lambda param: weighted.weigh_pixels(param, "weight"), False, blobs)
    with pytest.raises(DataError, match="labels are 0 to 3, expected are 0 to 2, and 255"):
        net.forward()
