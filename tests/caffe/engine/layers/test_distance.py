"""EuclideanLoss, ContrastiveLoss and SigmoidCrossEntropyLoss."""

import numpy as np
import pytest

from layer_checks import Z, backward, check_gradient, check_refused, normal, output

RNG = np.random.default_rng(10)
PAIR = 'type: "ContrastiveLoss" bottom: "x" bottom: "z" bottom: "s" top: "y"'
SIGMOID = f'type: "SigmoidCrossEntropyLoss" {Z}'


def test_euclidean_loss(build):
    x, z = normal(3, 2, 2), normal(3, 4, seed=1)
    net = build(f'type: "EuclideanLoss" {Z}', x=x, z=z)
    assert output(net) == pytest.approx(((x.reshape(3, 4) - z) ** 2).sum() / 6, rel=1e-5)
    check_gradient(build, f'type: "EuclideanLoss" {Z}', {"x": (3, 2, 2), "z": (3, 4)})


@pytest.mark.parametrize("legacy", ["true", "false"])
def test_contrastive_loss(build, legacy):
    x, z, alike = normal(6, 3), normal(6, 3, seed=1), np.array([1, 0, 1, 0, 0, 0])
    layer = f'{PAIR} contrastive_loss_param {{ margin: 3 legacy_version: {legacy} }}'
    d = np.linalg.norm(x - z, axis=1)
    apart = np.maximum(3 - d ** 2, 0) if legacy == "true" else np.maximum(3 - d, 0) ** 2
    assert (apart[alike == 0] > 0).any()
    expected = np.where(alike, d ** 2, apart).sum() / 12
    assert output(build(layer, x=x, z=z, s=alike)) == pytest.approx(expected, rel=1e-5)
    check_gradient(build, layer, {"x": (6, 3), "z": (6, 3)}, fixed={"s": alike},
                   values=lambda rng, count: rng.normal(size=count))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 1, 1, 1)])
def test_contrastive_loss_of_one_channel(build, shape):
    x, z = normal(*shape), normal(*shape, seed=1)
    net = build(PAIR, x=x, z=z, s=np.ones(4))
    assert output(net) == pytest.approx(((x - z) ** 2).sum() / 8, rel=1e-5)
    np.testing.assert_allclose(backward(net)["z"], (z - x) / 4, rtol=1e-5)


def test_contrastive_gradient_divides_by_a_little_more_than_the_distance(build):
    d = 1e-4
    net = build(PAIR, x=[[d, 0]], z=[[0, 0]], s=[0])
    net.forward()
    expected = -(1 - d) / (d + 1e-4) * d
    gradients = backward(net)
    np.testing.assert_allclose(gradients["x"], [[expected, 0]], rtol=1e-4)
    np.testing.assert_allclose(gradients["z"], [[-expected, 0]], rtol=1e-4)


def test_contrastive_gradient_of_what_coincides_is_finite(build):
    x = normal(2, 3)
    net = build(PAIR, x=x, z=x, s=np.array([0, 1]))
    net.forward()
    gradients = backward(net)
    assert not gradients["x"].any() and not gradients["z"].any()


@pytest.mark.parametrize("param, divisor", [
    ("", 3), ("normalization: FULL", 12), ("normalization: VALID", 10), ("normalize: true", 10),
    ("normalization: NONE", 1)])
def test_sigmoid_cross_entropy(build, param, divisor):
    x, t = 3 * normal(3, 4), RNG.random((3, 4))
    t[0, :2] = 7
    net = build(f'{SIGMOID} loss_param {{ ignore_label: 7 {param} }}', x=x, z=t)
    s, counts = 1 / (1 + np.exp(-x.astype(float))), t != 7
    terms = -(t * np.log(s) + (1 - t) * np.log(1 - s))
    assert output(net) == pytest.approx(terms[counts].sum() / divisor, rel=1e-5)
    np.testing.assert_allclose(backward(net)["x"], (s - t) * counts / divisor, rtol=1e-4, atol=1e-7)


def test_ignored_targets_may_go_with_anything(build):
    net = build(f'{SIGMOID} loss_param {{ ignore_label: 7 }}', x=[[np.nan, 0]], z=[[7, 1]])
    assert output(net) == pytest.approx(np.log(2))
    np.testing.assert_allclose(backward(net)["x"], [[0, -0.5]])


def test_sigmoid_cross_entropy_of_large_scores_is_finite(build):
    net = build(SIGMOID, x=np.array([[1e4, -1e4]]), z=np.array([[0, 1]]))
    assert output(net) == pytest.approx(2e4)


@pytest.mark.parametrize("layer, shapes, facts", [
    (f'type: "EuclideanLoss" {Z}', {"x": (2, 3), "z": (2, 4)}, ["(2, 3)", "(2, 4)"]),
    (f'type: "EuclideanLoss" {Z}', {"x": (2, 3), "z": (3, 2)}, ["(2, 3)", "(3, 2)"]),
    (SIGMOID, {"x": (2, 3), "z": (2, 4)}, ["(2, 3)", "(2, 4)"]),
    (PAIR, {"x": (2, 3), "z": (2, 3), "s": (3,)}, ["(N,)", "(3,)"]),
    (PAIR, {"x": (2, 3, 2), "z": (2, 3, 2), "s": (2,)}, ["(2, 3, 2)"])])
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


def test_contrastive_loss_leaves_what_learns_below_its_labels_alone(net):
    text = "".join(f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ dim: 2 '
                   f'dim: {d} }} }} }}\n' for n, d in (("a", 3), ("b", 3), ("w", 1)))
    built = net(text + """
        layer { name: "label" type: "InnerProduct" bottom: "w" top: "label"
                inner_product_param { num_output: 1 } }
        layer { name: "loss" type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "label"
                top: "loss" }""")
    built.forward()
    built.backward()
    assert not built.params["label"][0].diff.any()


@pytest.mark.parametrize("shapes", [((2, 3, 1, 1, 1), (2, 3), (2,)),
                                    ((2, 3), (2, 3), (2, 1, 1, 1, 1)),
                                    ((2, 3), (2, 3, 1, 1, 1), (2,))])
def test_contrastive_loss_knows_four_axes(build, shapes):
    check_refused(build, 'type: "ContrastiveLoss" bottom: "x" bottom: "z" bottom: "t" top: "y"',
                  dict(zip("xzt", shapes)), ["4 axes"])


def test_euclidean_loss_knows_four_axes(build):
    check_refused(build, 'type: "EuclideanLoss" bottom: "x" bottom: "z" top: "y"',
                  {"x": (2, 3, 1, 1, 1), "z": (2, 3)}, ["4 axes", "(2, 3, 1, 1, 1)"])
