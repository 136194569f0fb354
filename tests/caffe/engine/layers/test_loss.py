"""What losses and measures say of scores and labels, and their gradients."""

import math

import numpy as np
import pytest

from caffe.errors import LayerError
from layer_checks import IMAGE, backward, check_refused, normal, output, softmax

FLT_MIN = np.finfo(np.float32).tiny


def labels(*shape, classes=4, seed=7):
    """Labels of which about a quarter are 255."""
    values = np.random.default_rng(seed).integers(0, classes + 1, shape)
    return np.where(values == classes, 255, values)


LOSS = 'type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" propagate_down: [true, false]'


@pytest.mark.parametrize("param, divisor", [
    ("", "VALID"), ("normalization: VALID", "VALID"), ("normalization: FULL", "FULL"),
    ("normalization: BATCH_SIZE", "BATCH_SIZE"), ("normalization: NONE", "NONE"),
    ("normalize: true", "VALID"), ("normalize: false", "BATCH_SIZE"),
    ("normalize: false normalization: FULL", "FULL"),
])
@pytest.mark.parametrize("weight", [1, 0.3])
def test_softmax_loss(build, param, divisor, weight):
    x, t = normal(2, 4, 5, 6), labels(2, 1, 5, 6)
    divisor = {"VALID": (t != 255).sum(), "FULL": 60, "BATCH_SIZE": 2, "NONE": 1}[divisor]
    net = build(f'{LOSS} loss_weight: {weight} loss_param {{ ignore_label: 255 {param} }}',
                x=x, t=t)
    target = (t == np.arange(4).reshape(1, 4, 1, 1)).astype(float)
    loss = -(target * np.log(softmax(x))).sum() / divisor
    assert output(net, "loss").shape == ()
    assert output(net, "loss") == pytest.approx(loss, rel=1e-5)
    expected = weight * (softmax(x) - target) * (t != 255) / divisor
    np.testing.assert_allclose(backward(net)["x"], expected, rtol=1e-4, atol=1e-7)


def test_softmax_loss_along_another_axis(build):
    x, t = normal(3, 5, 4), labels(3, 5)
    t = np.where(t == 255, 0, t)
    net = build(f'{LOSS} softmax_param {{ axis: -1 }} loss_param {{ normalization: NONE }}',
                x=x, t=t)
    expected = -np.log(np.take_along_axis(softmax(x, 2), t[..., None], 2)).sum()
    assert output(net, "loss") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("axis, divisor", [(1, 3), (2, 15)])
def test_the_batch_size_counts_all_before_the_classes(build, axis, divisor):
    x, t = normal(3, 5, 4), np.zeros((3, 20 // (5, 4)[axis - 1]))
    net = build(f'{LOSS} softmax_param {{ axis: {axis} }} '
                'loss_param { normalization: BATCH_SIZE }', x=x, t=t)
    first = softmax(x, axis).take(0, axis)
    assert output(net, "loss") == pytest.approx(-np.log(first).sum() / divisor, rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (2, 5, 6), (2, 30), (2, 6, 5)])
def test_labels_may_have_any_shape_of_their_number(build, shape):
    x, t = normal(2, 4, 5, 6), np.random.default_rng(3).integers(0, 4, (2, 1, 5, 6))
    net = build(LOSS, x=x, t=t.reshape(shape))
    expected = -np.log(np.take_along_axis(softmax(x), t, 1)).mean()
    assert output(net, "loss") == pytest.approx(expected, rel=1e-5)


def test_softmax_loss_with_nothing_to_learn_is_zero(build):
    net = build(f'{LOSS} loss_param {{ ignore_label: 255 }}', x=normal(1, 3, 2, 2),
                t=np.full((1, 1, 2, 2), 255))
    assert output(net, "loss") == 0
    assert not backward(net)["x"].any()


def test_ignored_positions_may_hold_anything(build):
    x = normal(1, 2, 1, 2)
    x[..., 0] = np.nan
    net = build(f'{LOSS} loss_param {{ ignore_label: 255 }}', x=x, t=[[[[255, 1]]]])
    assert np.isfinite(output(net, "loss"))
    assert np.isfinite(backward(net)["x"]).all()


def test_softmax_loss_is_bounded_but_its_gradient_is_not(build):
    net = build(LOSS, x=[[1000, 0]], t=[[1]])
    assert output(net, "loss") == pytest.approx(-math.log(FLT_MIN), rel=1e-6)
    np.testing.assert_array_equal(backward(net)["x"], [[1, -1]])


def test_softmax_loss_shows_its_probabilities(build):
    x = normal(2, 4, 3)
    net = build(LOSS.replace('top: "loss"', 'top: "loss" top: "y" loss_weight: 1 loss_weight: 0'),
                x=x, t=np.zeros((2, 1, 3)))
    np.testing.assert_allclose(output(net), softmax(x), rtol=1e-5)
    diff = backward(net, y=0)["x"]
    net.forward()
    np.testing.assert_array_equal(backward(net, y=9)["x"], diff)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_accuracy(build, top_k):
    x, t = normal(3, 4, 5), labels(3, 5)
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "each" accuracy_param { '
                f'ignore_label: 255 top_k: {top_k} }}', x=x, t=t)
    best = np.argsort(-x, axis=1)[:, :top_k]
    right = (best == t[:, None]).any(1)
    assert output(net, "a").shape == ()
    assert output(net, "a") == pytest.approx(right[t != 255].mean(), rel=1e-6)
    expected = [right[t == label].mean() for label in range(4)]
    np.testing.assert_allclose(output(net, "each"), expected, rtol=1e-6)


def test_a_tie_is_no_success(build):
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a"', x=[[1, 1], [2, 1]], t=[0, 0])
    assert output(net, "a") == 0.5


def test_scores_that_are_not_numbers_are_no_success(build):
    """No comparison with NaN holds, so that no score would be better than the label's."""
    nan = float("nan")
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "each"',
                x=[[nan, nan], [2, 1]], t=[0, 0])
    assert output(net, "a") == 0.5
    np.testing.assert_array_equal(output(net, "each"), [0.5, 0])


def test_accuracy_of_nothing_is_zero(build):
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "each" accuracy_param { '
                'ignore_label: 0 }', x=[[1, 2]], t=[0])
    assert output(net, "a") == 0
    np.testing.assert_array_equal(output(net, "each"), [0, 0])


REFUSED = {
    "labels": (LOSS, {**IMAGE, "t": (1, 1, 5, 5)}, ["30 labels", "(1, 3, 5, 6)", "(1, 1, 5, 5)"]),
    "label batch": (LOSS, {"x": (2, 3, 5), "t": (5, 2)}, ["(2, 3, 5)", "(5, 2)"]),
    "top_k": ('type: "Accuracy" bottom: "x" bottom: "t" top: "y" accuracy_param { top_k: 4 }',
              {"x": (2, 3), "t": (2,)}, ["top_k 4", "3 classes"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


@pytest.mark.parametrize("kind, top", [("SoftmaxWithLoss", "loss"), ("Accuracy", "accuracy")])
@pytest.mark.parametrize("label", [-1, 3, 254])
def test_a_label_that_is_no_class(build, kind, top, label):
    param = "loss_param" if kind == "SoftmaxWithLoss" else "accuracy_param"
    t = np.zeros((1, 1, 2, 2))
    net = build(f'type: "{kind}" bottom: "x" bottom: "t" top: "{top}" {param} {{ '
                'ignore_label: 255 } propagate_down: [true, false]', x=normal(1, 3, 2, 2), t=t)
    net.forward()
    net.blobs["t"].data[0, 0, 1, 1] = label
    with pytest.raises(LayerError, match=rf"'layer'.*label {label}.*\[0, 2\].*255"):
        net.forward()
