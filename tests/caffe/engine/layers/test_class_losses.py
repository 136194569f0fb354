"""InfogainLoss, MultinomialLogisticLoss and HingeLoss against their formulas, value by value."""

import re

import numpy as np
import pytest

from caffe.errors import LayerError
from caffe.proto import caffe_pb2
from layer_checks import backward, check_gradient, check_refused, normal, output, softmax

RNG = np.random.default_rng(9)
H = RNG.random((4, 4)).astype(np.float32)
XTH = 'bottom: "x" bottom: "t" bottom: "h" top: "y"'
XT = 'bottom: "x" bottom: "t" top: "y"'


def infogain(x, t, h, ignore=255):
    """The sum over positions, and its gradient; classes on axis 1."""
    p, total, gradient = softmax(x.astype(float)), 0.0, np.zeros(x.shape)
    for n, i in np.ndindex(t.shape):
        if t[n, i] != ignore:
            row = h[t[n, i]]
            total -= (row * np.log(np.maximum(p[n, :, i], 1e-20))).sum()
            gradient[n, :, i] = p[n, :, i] * row.sum() - row
    return total, gradient


@pytest.mark.parametrize("param, divisor", [
    ("", 7), ("normalization: FULL", 10), ("normalization: BATCH_SIZE", 2),
    ("normalization: NONE", 1)])
def test_infogain_loss(build, param, divisor):
    x, t = normal(2, 4, 5), RNG.integers(0, 4, (2, 5))
    t[0, :3] = 255
    net = build(f'type: "InfogainLoss" {XTH} top: "p" loss_weight: 1 loss_weight: 0 '
                f'loss_param {{ ignore_label: 255 {param} }}', x=x, t=t, h=H)
    total, gradient = infogain(x, t, H)
    assert output(net) == pytest.approx(total / divisor, rel=1e-5)
    np.testing.assert_allclose(net.blobs["p"].data, softmax(x), rtol=1e-5)
    np.testing.assert_allclose(backward(net)["x"], gradient / divisor, rtol=1e-4, atol=1e-6)


def test_infogain_matrix_from_a_file(build, tmp_path):
    path = tmp_path / "h.binaryproto"
    path.write_bytes(caffe_pb2.BlobProto(num=1, channels=1, height=4, width=4,
                                         data=H.ravel()).SerializeToString())
    x, t = normal(3, 4), np.array([0, 3, 1])
    net = build(f'type: "InfogainLoss" {XT} infogain_loss_param {{ source: "{path}" }}', x=x, t=t)
    total, _ = infogain(x[:, :, None], t[:, None], H)
    assert output(net) == pytest.approx(total / 3, rel=1e-5)


def test_infogain_along_another_axis(build):
    x, t = normal(2, 5, 4), RNG.integers(0, 4, (2, 5))
    net = build(f'type: "InfogainLoss" {XTH} infogain_loss_param {{ axis: -1 }}', x=x, t=t, h=H)
    total, gradient = infogain(x.transpose(0, 2, 1), t, H)
    assert output(net) == pytest.approx(total / 10, rel=1e-5)
    np.testing.assert_allclose(backward(net)["x"], gradient.transpose(0, 2, 1) / 10, rtol=1e-4,
                               atol=1e-6)


def test_infogain_with_the_identity_is_the_softmax_loss(build):
    x, t = 50 * normal(2, 4, 5), RNG.integers(0, 4, (2, 5))
    net = build(f'type: "InfogainLoss" {XTH}', x=x, t=t, h=np.eye(4))
    expected = -np.log(np.maximum(np.take_along_axis(softmax(x.astype(float)), t[:, None], 1),
                                  1e-20)).mean()
    assert output(net) == pytest.approx(expected, rel=1e-5)
    other = build(f'type: "SoftmaxWithLoss" {XT}', x=x, t=t)
    other.forward()
    net.forward()
    np.testing.assert_allclose(backward(net)["x"], backward(other)["x"], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("big", [1e3, np.inf])
def test_infogain_loss_is_bounded_but_its_gradient_is_not(build, big):
    net = build(f'type: "InfogainLoss" {XTH}', x=[[0, -big]], t=[1], h=[[1, 0], [2, 3]])
    assert output(net) == pytest.approx(-3 * np.log(1e-20), rel=1e-6)
    np.testing.assert_allclose(backward(net)["x"], [[3, -3]])


def test_ignored_positions_may_hold_anything(build):
    x = normal(2, 2)
    x[0, 0] = np.nan
    net = build(f'type: "InfogainLoss" {XTH} loss_param {{ ignore_label: 255 }}', x=x, t=[255, 1],
                h=H[:2, :2])
    total, gradient = infogain(x[1:, :, None], np.array([[1]]), H[:2, :2])
    assert output(net) == pytest.approx(total, rel=1e-5)
    np.testing.assert_allclose(backward(net)["x"], [[0, 0], gradient[0, :, 0]], rtol=1e-4)


@pytest.mark.parametrize("kind, field", [("SoftmaxWithLoss", "loss_param"),
                                         ("Accuracy", "accuracy_param")])
def test_void_that_the_prototxt_does_not_know_of(build, kind, field):
    """As the Accuracy of SegNet's tutorial, whose loss alone ignores CamVid's label 11. The remedy
    is what the message says."""
    scores, labels = normal(2, 3), np.array([0, 11])
    with pytest.raises(LayerError, match="label 11 is outside") as caught:
        build(f'type: "{kind}" {XT}', x=scores, t=labels).forward()
    advice = re.search(r"write (ignore_label: 11) into the layer's (\w+)", str(caught.value))
    assert advice[2] == field
    for beside in ("", "axis: 1" if kind == "Accuracy" else "normalization: FULL"):
        text = f'type: "{kind}" {XT} {field} {{ {beside} {advice[1]} }}'
        assert np.isfinite(output(build(text, x=scores, t=labels)))


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "InfogainLoss", "Accuracy"])
def test_of_no_items_it_is_zero(build, kind):
    matrix = {"h": H} if kind == "InfogainLoss" else {}
    net = build(f'type: "{kind}" {XTH if matrix else XT}', x=np.zeros((0, 4)), t=np.zeros(0),
                **matrix)
    assert output(net) == 0
    assert backward(net)["x"].shape == (0, 4)


def test_multinomial_logistic_loss(build):
    p, t = RNG.random((4, 4, 1, 1)).astype(np.float32), np.array([0, 3, 1, 2])
    p[2, 1], p[3, 2] = 0, -1
    net = build(f'type: "MultinomialLogisticLoss" {XT}', x=p, t=t)
    at = np.maximum(p[range(4), t].ravel().astype(float), 1e-20)
    assert output(net) == pytest.approx(-np.log(at).mean(), rel=1e-5)
    expected = np.zeros(p.shape)
    expected[range(4), t] = -1 / at[:, None, None] / 4
    np.testing.assert_allclose(backward(net)["x"], expected, rtol=1e-5)


@pytest.mark.parametrize("norm, power", [("L1", 1), ("L2", 2)])
def test_hinge_loss(build, norm, power):
    x, t = normal(3, 4), np.array([0, 3, 1])
    layer = f'type: "HingeLoss" {XT} hinge_loss_param {{ norm: {norm} }}'
    sign = np.where(t[:, None] == np.arange(4), -1, 1)
    expected = np.maximum(0, 1 + sign * x) ** power
    assert output(build(layer, x=x, t=t)) == pytest.approx(expected.sum() / 3, rel=1e-5)
    check_gradient(build, layer, {"x": (3, 4)}, fixed={"t": t})


@pytest.mark.parametrize("shape", [(3, 1), (3, 2), (3, 1, 1, 1, 1)])
def test_of_more_labels_than_items_hinge_loss_takes_the_first(build, shape):
    """As in the original, which asks for one batch size alone."""
    x, t = normal(3, 4), np.resize([0, 3, 1, 2, 2, 2], shape)
    net = build(f'type: "HingeLoss" {XT}', x=x, t=t)
    first = build(f'type: "HingeLoss" {XT}', x=x, t=t.ravel()[:3])
    assert output(net) == output(first)
    np.testing.assert_array_equal(backward(net)["x"], backward(first)["x"])


@pytest.mark.parametrize("layer, shapes, facts", [
    (f'type: "HingeLoss" {XT}', {"x": (2, 3, 1, 1, 1), "t": (2,)}, ["4 axes", "(2, 3, 1, 1, 1)"]),
    (f'type: "MultinomialLogisticLoss" {XT}', {"x": (2, 3), "t": (2, 1, 1, 1, 1)}, ["4 axes"]),
    (f'type: "InfogainLoss" {XTH} loss_param {{ normalize: true }}',
     {"x": (2, 3), "t": (2,), "h": (3, 3)}, ["normalize", "normalization"]),
    (f'type: "HingeLoss" {XT}', {"x": (2, 3), "t": (3,)}, ["one batch size", "(2, 3)", "(3,)"]),
    (f'type: "MultinomialLogisticLoss" {XT}', {"x": (2, 3), "t": (2, 2)},
     ["each of 2 items", "(2, 2)"]),
    (f'type: "HingeLoss" {XT}', {"x": (), "t": ()}, ["one batch size"]),
    (f'type: "InfogainLoss" {XTH}', {"x": (2, 3), "t": (2,), "h": (4, 4)}, ["3 x 3", "(4, 4)"]),
    (f'type: "InfogainLoss" {XT}', {"x": (2, 3), "t": (2,)}, ["source"])])
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


@pytest.mark.parametrize("kind", ["HingeLoss", "MultinomialLogisticLoss"])
def test_a_label_that_is_no_class(build, kind):
    net = build(f'type: "{kind}" {XT}', x=normal(2, 3), t=np.array([0, 3]))
    with pytest.raises(LayerError, match=r"'layer'.*label 3 is outside \[0, 2\]"):
        net.forward()
