"""Mean field inference, and the lattice that it filters with."""

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.layers.kernels.lattice import Lattice
from caffe.errors import LayerError
from golden_runs import GOLDEN
from layer_checks import backward, check_refused, normal, output, softmax

CASES = sorted((GOLDEN / "crf").glob("*.npz"))
CRF = ('type: "DenseCRF" bottom: "x" bottom: "size" bottom: "image" top: "y" dense_crf_param {{ '
       'max_iter: {} pos_w: {} pos_xy_std: {} bi_w: {} bi_xy_std: {} bi_rgb_std: {} }}')


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_inference_is_that_of_pydensecrf(build, path):
    case = dict(np.load(path))
    pos_w, pos_xy, bi_w, bi_xy, bi_rgb, steps = case["settings"]
    size = case["unary"].shape[1:]
    net = build(CRF.format(int(steps), pos_w, pos_xy, bi_w, bi_xy, bi_rgb), x=-case["unary"][None],
                size=[[[size]]], image=case["image"].transpose(2, 0, 1)[None])
    y = output(net)[0]
    assert (y.argmax(0) == case["q"].argmax(0)).all()
    np.testing.assert_allclose(y, case["q"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3, 5])
def test_a_filter_is_near_the_gaussian(dimensions):
    """Held against brute force: the lattice is an approximation, best where points are dense."""
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(3000, dimensions, generator=generator) * 2
    values = torch.rand(3000, 2, generator=generator) + (features[:, :1] > 1)
    distance = torch.cdist(features, features).square()
    weights = (-distance / 2).exp()
    exact = weights @ values / weights.sum(1, keepdim=True)
    found = Lattice(features).mean(values)
    assert (found - exact).abs().max() < 0.1 and (found - exact).abs().mean() < 0.03
    assert ((found[:, 0] > 1) == (exact[:, 0] > 1)).float().mean() > 0.97


def test_a_filter_is_linear_and_has_its_adjoint_for_a_gradient():
    generator = torch.Generator().manual_seed(2)
    lattice = Lattice(torch.rand(40, 5, generator=generator) * 8)
    identity = torch.eye(40, requires_grad=True)
    matrix = lattice.filter(identity)
    weights = torch.rand(40, 40, generator=generator)
    (matrix * weights).sum().backward()
    torch.testing.assert_close(identity.grad, matrix.detach().t() @ weights)
    torch.testing.assert_close(lattice.filter(weights), matrix @ weights)


def test_the_gradient_of_a_mean_is_its_adjoint():
    generator = torch.Generator().manual_seed(4)
    lattice = Lattice(torch.rand(30, 5, generator=generator) * 8)
    identity, weights = torch.eye(30, requires_grad=True), torch.rand(30, 30, generator=generator)
    matrix = lattice.mean(identity)
    (matrix * weights).sum().backward()
    torch.testing.assert_close(identity.grad, matrix.detach().t() @ weights)
    torch.testing.assert_close(matrix.sum(1), torch.ones(30))
    torch.testing.assert_close(matrix, lattice.filter(torch.eye(30)) /
                               lattice.filter(torch.ones(30, 1)))


def test_features_that_cannot_be_filtered():
    with pytest.raises(LayerError, match="not finite"):
        Lattice(torch.full((4, 2), torch.nan))
    # beyond what float32 tells apart; and of more places than there are numbers
    for features in (torch.rand(4, 2) * 1e5, torch.rand(4, 5) * 1e9, torch.rand(400, 5) * 3e3):
        with pytest.raises(LayerError, match="deviations.*too small"):
            Lattice(features)


def crf_inputs(batch=1, size=(9, 12)):
    return dict(x=normal(batch, 3, *size), size=np.full((batch, 1, 1, 2), size),
                image=np.random.default_rng(3).uniform(0, 255, (batch, 3, *size)))


def test_each_image_of_a_batch_is_used_for_its_own_scores(build):
    layer, inputs = CRF.format(3, 3, 3, 5, 50, 10), crf_inputs(2)
    both = output(build(layer, **inputs))
    for i in range(2):
        own = {name: array[i:i + 1] for name, array in inputs.items()}
        np.testing.assert_allclose(output(build(layer, **own))[0], both[i], atol=1e-6)


def test_without_an_image_places_alone_count(build):
    inputs = crf_inputs()
    without = build('type: "DenseCRF" bottom: "x" bottom: "size" top: "y" dense_crf_param { '
                    'max_iter: 4 pos_w: 3 pos_xy_std: 3 }', x=inputs["x"], size=inputs["size"])
    given = build(CRF.format(4, 3, 3, 0, 1, 1), **inputs)
    np.testing.assert_allclose(output(without), output(given), atol=1e-6)


def test_padding_is_left_out_and_0(build):
    inputs = crf_inputs(size=(12, 16))
    inputs["size"][...] = 8, 11
    y = output(build(CRF.format(3, 3, 3, 5, 50, 10), **inputs))
    inside = {name: array if name == "size" else array[:, :, :8, :11]
              for name, array in inputs.items()}
    np.testing.assert_allclose(y[:, :, :8, :11], output(build(CRF.format(3, 3, 3, 5, 50, 10),
                                                              **inside)), atol=1e-6)
    y[:, :, :8, :11] = 0
    assert not y.any()


MEANFIELD = ('type: "MultiStageMeanfield" bottom: "x" bottom: "q" bottom: "image" top: "y" '
             'multi_stage_meanfield_param { num_iterations: 2 theta_alpha: 8 theta_beta: 30 '
             'theta_gamma: 3 spatial_filter_weight: 2 bilateral_filter_weight: 4 }')

REFUSED = {
    "one class": (CRF.format(3, 3, 3, 5, 50, 10),
                  {"x": (1, 1, 4, 5), "size": (1, 1, 1, 2), "image": (1, 3, 4, 5)},
                  ["at least 2 classes", "(1, 1, 4, 5)"]),
    "another size": (CRF.format(3, 3, 3, 5, 50, 10),
                     {"x": (1, 2, 4, 5), "size": (1, 1, 1, 2), "image": (1, 3, 8, 10)},
                     ["(1, 3, 4, 5)", "(1, 3, 8, 10)", "Interp"]),
    "grey": (CRF.format(3, 3, 3, 5, 50, 10),
             {"x": (1, 2, 4, 5), "size": (1, 1, 1, 2), "image": (1, 1, 4, 5)}, ["3 channels"]),
    "sizes": (CRF.format(3, 3, 3, 5, 50, 10),
              {"x": (1, 2, 4, 5), "size": (1, 2), "image": (1, 3, 4, 5)}, ["(1, 1, 1, 2)"]),
    "deviations": (CRF.format(3, 3, 3, 5, 0, 10),
                   {"x": (1, 2, 4, 5), "size": (1, 1, 1, 2), "image": (1, 3, 4, 5)}, ["above 0"]),
    "one iteration": ('type: "MultiStageMeanfield" bottom: "x" bottom: "q" bottom: "image" '
                      'top: "y"',
                      {"x": (1, 2, 4, 5), "q": (1, 2, 4, 5), "image": (1, 3, 4, 5)},
                      ["num_iterations of at least 2"]),
    "one class in the net": (MEANFIELD, {"x": (1, 1, 4, 5), "q": (1, 1, 4, 5),
                                         "image": (1, 3, 4, 5)},
                             ["at least 2 classes", "(1, 1, 4, 5)"]),
    "another size in the net": (MEANFIELD, {"x": (1, 2, 4, 5), "q": (1, 2, 4, 5),
                                            "image": (1, 3, 8, 10)},
                                ["(1, 3, 4, 5)", "(1, 3, 8, 10)", "Interp"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


def meanfield(build, batch=1):
    shape = batch, 3, 5, 6
    return build(MEANFIELD, x=normal(*shape), q=normal(*shape, seed=1),
                 image=np.random.default_rng(3).uniform(0, 255, shape))


def test_mean_field_gradients_are_the_slopes(build):
    net = meanfield(build, 2)
    dy = normal(2, 3, 5, 6, seed=5)
    output(net)
    gradients = backward(net, y=dy)
    found = {name: gradients[name] for name in ("x", "q")}
    found.update((i, blob.diff.copy()) for i, blob in enumerate(net.params["layer"]))
    for key, gradient in found.items():
        blob = net.blobs[key] if isinstance(key, str) else net.params["layer"][key]
        direction, here = normal(*blob.shape, seed=7), blob.data.copy()
        sums = []
        for sign in (1, -1):
            blob.data[...] = here + sign * direction / 64
            sums.append((output(net).astype(float) * dy).sum())
        blob.data[...] = here
        assert (gradient * direction).sum() == pytest.approx(32 * (sums[0] - sums[1]), rel=2e-2,
                                                             abs=2e-2)


def test_first_weights(build, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spatial, bilateral, compatibility = (blob.data[0, 0] for blob in
                                         meanfield(build).params["layer"])
    np.testing.assert_array_equal(spatial, 2 * np.eye(3))
    np.testing.assert_array_equal(bilateral, 4 * np.eye(3))
    np.testing.assert_array_equal(compatibility, -np.eye(3))
    (tmp_path / "spatial.par").write_text("3 3.5 4\n")
    np.testing.assert_array_equal(meanfield(build).params["layer"][0].data[0, 0],
                                  np.diag([3, 3.5, 4]))
    (tmp_path / "bilateral.par").write_text("5 five 5\n")
    with pytest.raises(LayerError, match="bilateral.par: expected a number for each of 3 classes"):
        meanfield(build)


def test_without_weights_scores_are_what_they_were(build):
    net = meanfield(build)
    net.params["layer"][2].data[...] = 0
    np.testing.assert_allclose(output(net), net.blobs["x"].data, rtol=1e-6)
    assert np.allclose(softmax(output(net)).sum(1), 1)


def test_as_a_torch_module(build):
    net = meanfield(build)
    inputs = [torch.tensor(net.blobs[name].data) for name in ("x", "q", "image")]
    torch.testing.assert_close(caffe.to_torch(net)(*inputs).detach(), torch.tensor(output(net)))
