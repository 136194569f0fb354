"""Each solver type against its formula, in float64."""

import numpy as np
import pytest

import caffe
from caffe.engine.solvers.gradients import PIECE
from caffe.errors import CaffeError

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 } } }
layer { name: "fit" type: "InnerProduct" bottom: "x" top: "p"
        param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "Eltwise" bottom: "p" bottom: "p" top: "loss" loss_weight: 0.5
        eltwise_param { operation: PROD } }
"""
RATE, MU, DELTA, STEPS = 0.1, 0.5, 1e-3, 4


def sgd(g, h, rate, t):
    h[0] = MU * h[0] + rate * g
    return h[0]


def nesterov(g, h, rate, t):
    before = h[0]
    h[0] = MU * h[0] + rate * g
    return (1 + MU) * h[0] - MU * before


def ada_grad(g, h, rate, t):
    h[0] = h[0] + g ** 2
    return rate * g / (np.sqrt(h[0]) + DELTA)


def rms_prop(g, h, rate, t):
    h[0] = 0.9 * h[0] + 0.1 * g ** 2
    return rate * g / (np.sqrt(h[0]) + DELTA)


def ada_delta(g, h, rate, t):
    h[0] = MU * h[0] + (1 - MU) * g ** 2
    update = g * np.sqrt((h[1] + DELTA) / (h[0] + DELTA))
    h[1] = MU * h[1] + (1 - MU) * update ** 2
    return rate * update


def adam(g, h, rate, t):
    h[0] = MU * h[0] + (1 - MU) * g
    h[1] = 0.99 * h[1] + 0.01 * g ** 2
    rate *= np.sqrt(1 - 0.99 ** t) / (1 - MU ** t)
    return rate * h[0] / (np.sqrt(h[1]) + DELTA)


RULES = {"SGD": (sgd, "momentum: 0.5"), "Nesterov": (nesterov, "momentum: 0.5"),
         "AdaGrad": (ada_grad, ""), "RMSProp": (rms_prop, "rms_decay: 0.9"),
         "AdaDelta": (ada_delta, "momentum: 0.5"),
         "Adam": (adam, "momentum: 0.5 momentum2: 0.99")}


@pytest.fixture
def fit(tmp_path):
    """fit(type, lines): a solver of that type."""
    def build(kind, lines):
        (tmp_path / "net.prototxt").write_text(NET)
        path = tmp_path / "solver.prototxt"
        path.write_text(f'net: "net.prototxt" type: "{kind}" base_lr: {RATE} lr_policy: "fixed" '
                        f'delta: {DELTA} random_seed: 2 snapshot_prefix: "{tmp_path}/s" {lines}')
        solver = caffe.get_solver(str(path))
        solver.net.blobs["x"].data[...] = np.random.default_rng(1).normal(size=(4, 2))
        return solver
    return build


@pytest.mark.parametrize("piece", [PIECE, 1, 5], ids=["whole", "by row", "by two rows"])
@pytest.mark.parametrize("kind", RULES)
def test_update(fit, kind, piece, monkeypatch):
    monkeypatch.setattr("caffe.engine.solvers.gradients.PIECE", piece)
    rule, lines = RULES[kind]
    solver = fit(kind, lines + " weight_decay: 0.3")
    x = solver.net.blobs["x"].data.astype(float)
    w, b = (blob.data.astype(float) for blob in solver.net.params["fit"])
    of_w, of_b = [0, 0], [0, 0]
    for t in range(1, STEPS + 1):
        p = x @ w.T + b
        w, b = (w - rule(p.T @ x + 0.3 * w, of_w, RATE, t),
                b - rule(p.sum(0), of_b, 2 * RATE, t))
        solver.step(1)
    for blob, expected in zip(solver.net.params["fit"], (w, b)):
        np.testing.assert_allclose(blob.data, expected, rtol=1e-4)


@pytest.mark.parametrize("lines", ["", "momentum: 0.5", "momentum: 0.5 debug_info: true",
                                   "momentum: 0.5 regularization_type: 'L1'"])
def test_sgd_leaves_what_it_subtracted_as_the_gradient(fit, lines):
    solver = fit("SGD", lines + " weight_decay: 0.3 iter_size: 2")
    weights, bias = solver.net.params["fit"]
    view = bias.diff        # somebody who looks at it all the time
    for _ in range(3):
        before = [blob.data.copy() for blob in (weights, bias)]
        solver.step(1)
        for blob, data in zip((weights, bias), before):
            np.testing.assert_allclose(data - blob.diff, blob.data, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(view, bias.diff)
        assert np.abs(view).min() > 1e-6


def test_an_update_again_goes_on_from_the_one_before(fit):
    """As in Caffe, which takes whatever `diff` holds for the gradient."""
    solver = fit("SGD", "momentum: 0.5")
    solver.step(1)
    weights = solver.net.params["fit"][0]
    first, before = weights.diff.copy(), weights.data.copy()
    solver.apply_update()
    np.testing.assert_allclose(weights.data, before - (0.5 + RATE) * first, rtol=1e-5)


def test_a_rule_derived_from_sgd(fit, monkeypatch):
    class Halved(caffe.SGDSolver):
        def update(self, diff, rate, history):
            diff.mul_(rate / 2)
    solver = fit("SGD", "momentum: 0.5")
    monkeypatch.setattr(solver, "__class__", Halved)
    before = solver.net.params["fit"][1].data.copy()
    solver.step(1)
    gradient = solver.net.blobs["p"].data.sum(0)
    np.testing.assert_allclose(solver.net.params["fit"][1].data, before - RATE * gradient,
                               rtol=1e-5)     # lr_mult is 2


@pytest.mark.parametrize("kind", RULES)
def test_weights_may_lie_in_memory_in_any_order(fit, kind):
    """As kernels on a GPU do, whose order changes with the precision."""
    both = [fit(kind, RULES[kind][1]) for _ in range(2)]
    for step in range(3):
        weights = both[0].net.params["fit"][0]
        if step == 1:
            weights.set_data(weights.data_tensor.t().contiguous().t())
        for solver in both:
            solver.step(1)
        for blob, other in zip(*(solver.net.params["fit"] for solver in both)):
            np.testing.assert_allclose(blob.data_tensor, other.data_tensor, rtol=1e-4)


@pytest.mark.parametrize("rate", [0, 1e-45])
def test_a_rate_of_zero_changes_nothing(fit, rate):
    """Nor does one that is 0 in float32, as policies come to."""
    solver = fit("SGD", "momentum: 0.5 weight_decay: 0.3")
    solver.param.base_lr = rate
    before = [blob.data.copy() for blob in solver.net.params["fit"]]
    solver.step(2)
    for blob, data in zip(solver.net.params["fit"], before):
        np.testing.assert_array_equal(blob.data, data)
        assert not blob.diff.any()


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", RULES)
def test_a_snapshot_holds_all_that_the_rule_remembers(fit, kind, form):
    lines = RULES[kind][1] + f" snapshot_format: {form}"
    solver, again = fit(kind, lines), fit(kind, lines)
    solver.step(2)
    solver.snapshot()
    again.restore(f"{solver.param.snapshot_prefix}_iter_2.solverstate"
                  + (".h5" if form == "HDF5" else ""))
    for each in (solver, again):
        each.step(2)
    for mine, theirs in zip(solver.net.params["fit"], again.net.params["fit"]):
        np.testing.assert_array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("kind, lines, complaint", [
    ("AdaGrad", "momentum: 0.9", "momentum 0.9 cannot be used with the solver type AdaGrad"),
    ("RMSProp", "momentum: 0.9", "momentum 0.9 cannot be used with the solver type RMSProp"),
    ("RMSProp", "rms_decay: 1", r"rms_decay in \[0, 1\), got 1")])
def test_settings_that_a_rule_cannot_use(fit, kind, lines, complaint):
    with pytest.raises(CaffeError, match=complaint):
        fit(kind, lines)


def test_the_classes_have_pycaffe_s_names(fit):
    for kind in RULES:
        assert type(fit(kind, "")) is getattr(caffe, kind + "Solver")
