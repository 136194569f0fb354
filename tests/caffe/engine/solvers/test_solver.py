"""Solvers: recorded training runs, rates, accumulation, snapshots."""

import os
import re
import shutil

import h5py
import numpy as np
import pytest

import caffe
from caffe.engine import precision
from caffe.engine.solvers.solver import Solver
from caffe.errors import CaffeError, WeightsError
from caffe.proto import caffe_pb2
from golden_runs import GOLDEN, SOLVERS, load_solver, run_solver

SNAPSHOT = GOLDEN / "snapshots" / "sgd_heavy_snap_iter_5.solverstate"

LINE = """
layer { name: "x" type: "Input" top: "x" top: "y"
        input_param { shape { dim: 4 dim: 2 } shape { dim: 4 dim: 1 } } }
layer { name: "fit" type: "InnerProduct" bottom: "x" top: "p"
        param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 1 weight_filler { type: "gaussian" } } }
layer { name: "minus" type: "Eltwise" bottom: "p" bottom: "y" top: "e"
        eltwise_param { coeff: 1 coeff: -1 } }
layer { name: "loss" type: "Eltwise" bottom: "e" bottom: "e" top: "loss" loss_weight: 0.5
        eltwise_param { operation: PROD } }
"""


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def mode(request):
    caffe.set_precision("fp32")
    getattr(caffe, f"set_mode_{request.param}")()
    yield
    caffe.set_mode_cpu()
    caffe.set_precision("tf32")


@pytest.fixture
def fit(tmp_path):
    """fit(lines): the solver of a linear regression, with those further lines."""
    def build(lines="", net=LINE, name="solver"):
        (tmp_path / "net.prototxt").write_text(net)
        path = tmp_path / f"{name}.prototxt"
        path.write_text(f'net: "net.prototxt" snapshot_prefix: "{tmp_path}/{name}" '
                        f'random_seed: 3 max_iter: 10\n'
                        + (lines or 'base_lr: 0.02 lr_policy: "fixed" momentum: 0.9'))
        solver = caffe.get_solver(str(path))
        rng = np.random.default_rng(8)
        for name in solver.net.inputs:
            solver.net.blobs[name].data[...] = rng.normal(size=solver.net.blobs[name].shape)
        return solver
    return build


def check_steps(solver, run, iterations):
    """Take the recorded steps and compare loss and weights after each."""
    for key, actual, expected in run_solver(solver, run, iterations):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=5e-6, err_msg=key)


@pytest.mark.parametrize("path", SOLVERS, ids=lambda path: path.stem)
def test_recorded_run(path, mode, tmp_path):
    run = np.load(path)
    check_steps(load_solver(run, tmp_path), run, range(8))


@pytest.mark.parametrize("path", SOLVERS, ids=lambda path: path.stem)
def test_recorded_run_with_the_update_not_in_one_pass(path, monkeypatch, tmp_path):
    monkeypatch.setattr(caffe.SGDSolver, "update_all", Solver.update_all)
    run = np.load(path)
    check_steps(load_solver(run, tmp_path), run, range(8))


@pytest.mark.parametrize("lines", [
    "", 'base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 momentum2: 0.99 type: "Adam"'])
@pytest.mark.parametrize("layer", [
    'type: "Parameter" parameter_param { shape { %s } }',
    """type: "DummyData" dummy_data_param { shape { %s } data_filler { value: 1 } } }
layer { name: "scale" type: "Scale" bottom: "p" top: "p" scale_param { axis: 0 num_axes: -1 }"""])
def test_an_update_fits_the_layout_of_a_parameter(fit, monkeypatch, layer, lines):
    """Also that of one whose layout is another than that of most, or of one precision before."""
    text = """
layer { name: "y" type: "Input" top: "y" input_param { shape { %s } } }
layer { name: "p" top: "p" %s }
layer { name: "loss" type: "EuclideanLoss" bottom: "p" bottom: "y" top: "loss" }"""
    shape = "dim: 2 dim: 3 dim: 4 dim: 5"
    made = []
    for devices in (set(), {"cpu"}):
        monkeypatch.setattr(precision, "CHANNELS_LAST", devices)
        solver = fit(lines, text % (shape, layer % shape))
        for name in ("tf32", "fp32"):
            caffe.set_precision(name)
            solver.step(2)
        caffe.set_precision("tf32")
        made.append(next(iter(solver.net.params.values()))[0].data)
    np.testing.assert_allclose(*made, rtol=1e-6)


@pytest.mark.parametrize("name, suffix", [("sgd_heavy", ""), ("sgd_heavy_h5", ".h5")])
def test_continuing_from_the_original_s_snapshot(mode, tmp_path, name, suffix):
    run = np.load(GOLDEN / "solvers" / f"{name}.npz")
    solver = load_solver(run, tmp_path)
    for kind in ("caffemodel", "solverstate"):      # the state names its model snap_iter_5
        shutil.copy(GOLDEN / "snapshots" / f"{name}_snap_iter_5.{kind}{suffix}",
                    tmp_path / f"snap_iter_5.{kind}{suffix}")
    solver.restore(str(tmp_path / f"snap_iter_5.solverstate{suffix}"))
    assert solver.iter == 5
    check_steps(solver, run, range(5, 8))


def test_continuing_from_a_snapshot_of_our_own(fit):
    solver = fit()
    solver.step(3)
    solver.snapshot()
    again = fit(name="again")
    again.restore(solver.param.snapshot_prefix + "_iter_3.solverstate")
    for each in (solver, again):
        each.step(4)
    assert again.iter == 7
    for mine, theirs in zip(solver.net.params["fit"], again.net.params["fit"]):
        np.testing.assert_array_equal(mine.data, theirs.data)


def test_snapshot_files(fit, tmp_path):
    fit('base_lr: 0.02 lr_policy: "step" gamma: 0.5 stepsize: 2 snapshot: 4').solve()
    names = {f"solver_iter_{n}.{kind}" for n in (4, 8, 10)
             for kind in ("caffemodel", "solverstate", "solverstate.resume")}
    assert {p.name for p in tmp_path.iterdir()} == names | {"net.prototxt", "solver.prototxt"}
    state = caffe_pb2.SolverState.FromString((tmp_path / "solver_iter_8.solverstate").read_bytes())
    assert (state.iter, state.current_step) == (8, 3)       # that of the last update
    assert state.learned_net.endswith("solver_iter_8.caffemodel")
    assert [list(h.shape.dim) for h in state.history] == [[1, 2], [1]]


def test_snapshots_in_hdf5_are_laid_out_as_the_original_s(tmp_path):
    run = np.load(GOLDEN / "solvers" / "sgd_heavy_h5.npz")
    solver = load_solver(run, tmp_path)
    solver.param.snapshot_prefix = str(tmp_path / "snap")
    check_steps(solver, run, range(5))
    solver.snapshot()
    for kind in ("caffemodel.h5", "solverstate.h5"):
        with h5py.File(tmp_path / f"snap_iter_5.{kind}") as ours, \
                h5py.File(GOLDEN / "snapshots" / f"sgd_heavy_h5_snap_iter_5.{kind}") as theirs:
            assert names_and_shapes(ours) == names_and_shapes(theirs)


def names_and_shapes(file):
    found = set()
    file.visititems(lambda name, node: found.add((name, getattr(node, "shape", None))))
    return found


def test_snapshot_diff_keeps_the_gradients(fit, tmp_path):
    solver = fit('base_lr: 0.02 lr_policy: "fixed" snapshot_diff: true')
    solver.step(1)
    solver.snapshot()
    model = caffe_pb2.NetParameter.FromString((tmp_path / "solver_iter_1.caffemodel").read_bytes())
    blob = next(layer for layer in model.layer if layer.name == "fit").blobs[0]
    np.testing.assert_array_equal(blob.diff, solver.net.params["fit"][0].diff.ravel())


def test_a_snapshot_that_moved_is_restored_from_beside_the_state(fit, tmp_path):
    solver = fit()
    solver.step(1)
    solver.snapshot()
    (tmp_path / "moved").mkdir()
    for file in tmp_path.glob("solver_iter_1.*"):
        shutil.move(str(file), str(tmp_path / "moved"))
    again = fit()
    again.restore(str(tmp_path / "moved" / "solver_iter_1.solverstate"))
    np.testing.assert_array_equal(again.net.params["fit"][0].data,
                                  solver.net.params["fit"][0].data)


def test_restore_refuses_another_net_s_state_and_changes_nothing(fit):
    solver = fit()
    solver.step(2)
    before = solver.net.params["fit"][0].data.copy()
    with pytest.raises(WeightsError, match="holds 5 histories, the net needs 2"):
        solver.restore(str(SNAPSHOT))
    with pytest.raises(WeightsError, match="absent.solverstate: no such file"):
        solver.restore("absent.solverstate")
    assert solver.iter == 2
    np.testing.assert_array_equal(solver.net.params["fit"][0].data, before)


def test_restore_without_its_caffemodel(fit, tmp_path):
    solver = fit()
    solver.step(1)
    solver.snapshot()
    os.unlink(tmp_path / "solver_iter_1.caffemodel")
    with pytest.raises(WeightsError, match="solver_iter_1.caffemodel: no such file"):
        fit().restore(str(tmp_path / "solver_iter_1.solverstate"))


def test_accumulation_over_iter_size_is_the_mean_of_the_gradients(fit):
    """Four passes over the same values are one."""
    once, four = fit(), fit('base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 iter_size: 4')
    for solver in (once, four):
        solver.step(3)
    np.testing.assert_allclose(four.net.params["fit"][0].data, once.net.params["fit"][0].data,
                               rtol=1e-5)


@pytest.mark.parametrize("lines, expected", [
    ('lr_policy: "fixed"', lambda i: 2),
    ('lr_policy: "step" gamma: 0.1 stepsize: 3', lambda i: 2 * 0.1 ** (i // 3)),
    ('lr_policy: "exp" gamma: 0.9', lambda i: 2 * 0.9 ** i),
    ('lr_policy: "inv" gamma: 0.5 power: 0.75', lambda i: 2 * (1 + 0.5 * i) ** -0.75),
    ('lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 5',
     lambda i: 2 * 0.1 ** ((i >= 2) + (i >= 5))),
    ('lr_policy: "poly" power: 2', lambda i: 2 * (1 - i / 10) ** 2),
    ('lr_policy: "sigmoid" gamma: 0.4 stepsize: 4', lambda i: 2 / (1 + np.exp(-0.4 * (i - 4))))])
def test_rate(fit, lines, expected):
    solver = fit("base_lr: 2 " + lines)
    for solver.iter in range(8):
        assert solver.lr == pytest.approx(expected(solver.iter), rel=1e-6)


def test_the_loss_falls_and_is_smoothed(fit):
    solver, losses = fit('base_lr: 0.02 lr_policy: "fixed" average_loss: 2'), []
    solver.add_callback(lambda: None,
                        lambda: losses.append(0.5 * solver.net.blobs["loss"].data.sum()))
    solver.step(6)
    assert losses[-1] < losses[0] / 2
    assert solver.smoothed_loss == pytest.approx(np.mean(losses[-2:]), rel=1e-5)


def test_test_nets_use_the_weights_that_learn(fit):
    solver = fit('base_lr: 0.02 lr_policy: "fixed" test_iter: 1 test_interval: 2')
    solver.step(3)
    np.testing.assert_array_equal(solver.test_nets[0].params["fit"][0].data,
                                  solver.net.params["fit"][0].data)


def test_a_test_net_that_only_the_script_runs(fit, capsys):
    """HED's solver.prototxt has test_iter: 0, and so have solvers that are tested from Python."""
    solver = fit('base_lr: 0.02 lr_policy: "fixed" test_iter: 0 test_interval: 1 '
                 'test_compute_loss: true')
    assert "test_iter is 0: that test net runs only where a script runs it" \
        in capsys.readouterr().err
    solver.step(2)
    assert "Testing net (#0)" in (written := capsys.readouterr().err)
    assert "Test loss" not in written and "Test net output" not in written
    assert np.isfinite(solver.test_nets[0].forward()["loss"]).all()
    np.testing.assert_array_equal(solver.test_nets[0].params["fit"][0].data,
                                  solver.net.params["fit"][0].data)


LOG_LINE = re.compile(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] (.*)")


def test_the_log_has_the_original_s_lines(fit, capsys):
    solver = fit('base_lr: 0.02 lr_policy: "fixed" test_iter: 2 test_interval: 2 display: 2 '
                 'test_compute_loss: true')
    capsys.readouterr()         # what is logged while the solver is made
    solver.param.max_iter = 2
    solver.solve()
    written = capsys.readouterr().err.splitlines()
    lines = [LOG_LINE.fullmatch(line)[1] for line in written]
    expected = [
        "Solving ", "Learning Rate Policy: fixed",
        r"Iteration 0, Testing net \(#0\)", "Test loss: 0",
        *[rf"    Test net output #{i}: loss = 0 \(\* 0.5 = 0 loss\)" for i in range(4)],
        r"Iteration 0 \(\S+ iter/s, \S+s/2 iters\), loss = \S+",
        *[rf"    Train net output #{i}: loss = \S+ \(\* 0.5 = \S+ loss\)" for i in range(4)],
        "Iteration 0, lr = 0.02",
        r"Snapshotting to binary proto file \S+_iter_2.caffemodel",
        r"Snapshotting solver state to binary proto file \S+_iter_2.solverstate",
        r"Iteration 2, loss = \S+", "Iteration 2, Testing net .*", "Test loss: .*",
        *["    Test net output .*"] * 4, "Optimization Done."]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_debug_info_shows_magnitudes(fit, capsys):
    solver = fit('base_lr: 0.5 lr_policy: "fixed" display: 1 debug_info: true')
    weight = np.abs(solver.net.params["fit"][0].data).mean()
    solver.step(1)
    text, gradient = capsys.readouterr().err, np.abs(solver.net.params["fit"][0].diff).mean() / 0.5
    assert f"[Forward] Layer fit, param blob 0 data: {weight:g}" in text
    assert f"[Backward] Layer fit, param blob 0 diff: {gradient:g}" in text
    assert "[Backward] Layer minus, bottom blob p diff: " in text
    assert "[Backward] All net params (data, diff): L1 norm = (" in text
    assert f"[Update] Layer fit, param 0 data: {weight:g}; diff: {gradient * 0.5:g}" in text


def test_what_is_requested_is_done(fit, tmp_path):
    solver = fit()
    requests = iter([None, "snapshot", None, "stop"])
    solver.requested_action = lambda: next(requests)
    solver.solve()
    assert solver.iter == 4
    assert {path.name for path in tmp_path.glob("*.caffemodel")} == {
        "solver_iter_2.caffemodel", "solver_iter_4.caffemodel"}


def test_weights_of_the_solver_prototxt(fit, tmp_path):
    first = fit()
    first.net.params["fit"][0].data[...] = [[7, 8]]
    first.net.save(str(tmp_path / "first.caffemodel"))
    again = fit(f'base_lr: 1 lr_policy: "fixed" weights: "{tmp_path}/first.caffemodel"')
    np.testing.assert_array_equal(again.net.params["fit"][0].data, [[7, 8]])


def test_apply_update_counts_an_iteration(fit):
    solver = fit()
    before = solver.net.params["fit"][0].data.copy()
    solver.net.forward()
    solver.net.backward()
    solver.apply_update()
    assert solver.iter == 1 and (solver.net.params["fit"][0].data != before).all()


def test_callbacks_see_the_gradient_before_the_update(fit):
    solver, calls = fit(), []
    solver.add_callback(lambda: calls.append("start"),
                        lambda: calls.append(float(np.abs(solver.net.params["fit"][0].diff).sum())))
    solver.step(2)
    assert calls[0::2] == ["start", "start"] and all(value > 0 for value in calls[1::2])


def test_a_seed_repeats_a_run(fit):
    weights = []
    for _ in range(2):
        solver = fit()
        solver.step(2)
        weights.append(solver.net.params["fit"][0].data.copy())
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize("lines, complaint", [
    ("", "one train net is needed"),
    ('net: "a" train_net: "b"', "given: .'net', 'train_net'"),
    ('net: "absent.prototxt"', "absent.prototxt: no such file"),
    ('type: "SDG" net: "absent.prototxt"', "unknown solver type 'SDG' .did you mean 'SGD'"),
    ('base_rl: 1', "no field 'base_rl' .did you mean 'base_lr'")])
def test_a_solver_that_cannot_be_built(tmp_path, lines, complaint):
    path = tmp_path / "solver.prototxt"
    path.write_text(lines)
    with pytest.raises(CaffeError, match=complaint):
        caffe.get_solver(str(path))


@pytest.mark.parametrize("lines, complaint", [
    ('lr_policy: "fixd"', "unknown lr_policy 'fixd' .did you mean 'fixed'"),
    ('lr_policy: "fixed" weight_decay: 1 regularization_type: "L3"',
     "unknown regularization_type 'L3'"),
    ('lr_policy: "step"', "'step' needs a stepsize of at least 1, got 0"),
    ('lr_policy: "sigmoid" gamma: 1', "'sigmoid' needs a stepsize of at least 1, got 0"),
    *[(f'lr_policy: "{policy}" stepsize: 2 gamma: -0.5', f"'{policy}' needs a gamma .*, got -0.5")
      for policy in ("step", "exp", "inv", "multistep", "sigmoid")],
    ('lr_policy: "fixed" average_loss: 0', "average_loss of at least 1, got 0"),
    ('lr_policy: "fixed" average_loss: -2', "average_loss of at least 1, got -2"),
    ('lr_policy: "fixed" test_iter: 1', "a test_interval of at least 1, got 0"),
    ('lr_policy: "fixed" test_iter: -1 test_interval: 1', r"test_iter to be at least 0, got .-1."),
    ('lr_policy: "fixed" type: "SGD" solver_type: ADAM', "type or its older form solver_type")])
def test_settings_are_checked_at_once(fit, lines, complaint):
    with pytest.raises(CaffeError, match=f"solver.prototxt: .*{complaint}"):
        fit("base_lr: 1 " + lines)


@pytest.mark.parametrize("lines, expected", [
    ("power: 2", 2 * 0.1 ** 2), ("power: 0.5", np.nan), ("", 2), ("power: 3", -2 * 0.1 ** 3)])
def test_poly_beyond_max_iter_is_what_the_formula_gives(fit, lines, expected):
    """As in the original: another power, or not a number, and no error."""
    solver = fit('base_lr: 2 lr_policy: "poly" ' + lines)
    solver.iter = 11
    assert solver.lr == pytest.approx(expected, rel=1e-5, nan_ok=True)
    solver.step(1)
    assert np.isnan(solver.net.params["fit"][0].data).all() == np.isnan(expected)


def test_poly_without_max_iter_is_no_number(fit):
    solver = fit('base_lr: 2 lr_policy: "poly" power: 2')
    solver.param.max_iter = 0
    assert np.isnan(solver.lr)
    solver.iter = 1
    assert solver.lr == np.inf


@pytest.mark.parametrize("values, expected", [
    ("stepvalue: 2 stepvalue: 2 stepvalue: 2", [0, 0, 1, 2, 3, 3]),
    ("stepvalue: 4 stepvalue: 2 stepvalue: 1", [0, 0, 0, 0, 1, 2, 3]),
    ("stepvalue: 0", [1, 1])])
def test_a_call_passes_one_stepvalue_at_most(fit, values, expected):
    """As in the original, for values out of order or repeated."""
    solver = fit('base_lr: 2 lr_policy: "multistep" gamma: 0.5 ' + values)
    for drops in expected:
        assert solver.lr == 2 * 0.5 ** drops
        solver.iter += 1


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_how_far_the_rate_has_dropped_is_saved_and_restored(fit, form, tmp_path):
    lines = ('base_lr: 0.02 lr_policy: "multistep" gamma: 0.5 ' + 4 * "stepvalue: 1 "
             + f"snapshot_format: {form}")
    solver = fit(lines)
    solver.step(3)
    solver.snapshot()
    suffix = ".h5" if form == "HDF5" else ""
    other = fit(lines)
    other.restore(str(tmp_path / f"solver_iter_3.solverstate{suffix}"))
    assert other.iter == 3
    assert [other.lr, other.lr] == pytest.approx([0.02 * 0.5 ** drops for drops in (3, 4)],
                                                 rel=1e-6)


def test_a_rate_that_never_drops_is_saved_as_such(fit, tmp_path):
    solver = fit('base_lr: 0.02 lr_policy: "fixed" stepvalue: 1')
    solver.step(3)
    solver.snapshot()
    path = tmp_path / "solver_iter_3.solverstate"
    assert caffe_pb2.SolverState.FromString(path.read_bytes()).current_step == 0


def test_an_unknown_regularization_without_decay(fit):
    fit('base_lr: 0.02 lr_policy: "fixed" regularization_type: "L3"').step(1)


def test_l1_decay_subtracts_the_sign(fit):
    plain, decayed = (fit('base_lr: 0.02 lr_policy: "fixed" regularization_type: "L1" '
                          f"weight_decay: {decay}") for decay in (0, 0.5))
    for solver in (plain, decayed):
        solver.net.params["fit"][0].data[...] = [[0.5, -2]]
        solver.net.params["fit"][1].data[...] = 3
        solver.step(1)
    difference = plain.net.params["fit"][0].data - decayed.net.params["fit"][0].data
    np.testing.assert_allclose(difference, [[0.01, -0.01]], rtol=1e-4)      # 0.02 * 0.5 * sign
    np.testing.assert_array_equal(plain.net.params["fit"][1].data,          # decay_mult: 0
                                  decayed.net.params["fit"][1].data)


def test_the_loss_of_an_iteration_is_the_mean_of_its_passes(fit, capsys):
    solver = fit('base_lr: 0 lr_policy: "fixed" iter_size: 4 display: 1')
    solver.net.blobs["y"].data[...] += 3
    loss = 0.5 * float(solver.net.forward()["loss"].sum())
    solver.step(1)
    assert solver.smoothed_loss == pytest.approx(loss, rel=1e-5)
    shown = re.search(r"iters\), loss = (\S+)", capsys.readouterr().err)[1]
    assert float(shown) == pytest.approx(loss, rel=1e-4)


def test_the_smoothed_loss_is_the_mean_of_the_last_ones(fit):
    solver = fit('base_lr: 0 lr_policy: "fixed" average_loss: 3')
    losses = []
    solver.add_callback(lambda: solver.net.blobs["y"].data.__iadd__(1),
                        lambda: losses.append(0.5 * solver.net.blobs["loss"].data.sum()))
    for count, used in ((2, 2), (5, 3)):
        del losses[:]
        solver.step(count)
        assert len(losses) == count
        assert solver.smoothed_loss == pytest.approx(np.mean(losses[-used:]), rel=1e-5)


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "Adam"])
def test_gradients_are_clipped_where_nothing_learns(fit, rule):
    text = """
        layer { name: "x" type: "Input" top: "x" top: "y" input_param { shape { dim: 4 } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }
    """
    solver = fit(f'base_lr: 1 lr_policy: "fixed" clip_gradients: 1 type: "{rule}"', net=text)
    solver.step(2)
    assert solver.iter == 2


def test_without_a_pass_decay_alone_moves_the_weights(fit):
    """An iter_size below 1 runs no pass, as in the original; 0 divides by zero there, too."""
    solver = fit('base_lr: 0.1 lr_policy: "fixed" iter_size: -2 weight_decay: 0.5')
    before = solver.net.params["fit"][0].data.copy()
    solver.step(1)
    np.testing.assert_allclose(solver.net.params["fit"][0].data, 0.95 * before, rtol=1e-5)
    solver = fit('base_lr: 0.1 lr_policy: "fixed" iter_size: 0')
    solver.step(1)
    assert np.isnan(solver.net.params["fit"][0].data).all()


def test_a_missing_folder_is_noticed_before_the_training(fit, tmp_path):
    solver = fit('base_lr: 0.02 lr_policy: "fixed"')
    solver.param.snapshot_prefix = f"{tmp_path}/absent/s"
    passes = []
    solver.add_callback(lambda: passes.append(1), lambda: None)
    with pytest.raises(WeightsError, match="solver.prototxt: snapshots .*absent"):
        solver.solve()
    assert not passes
    solver.step(1)          # which takes no snapshot
    solver.param.snapshot_after_train = False
    solver.solve()
    assert solver.iter == 10


def test_the_phase_that_a_state_gives_counts(fit):
    solver = fit('base_lr: 0.02 lr_policy: "fixed" train_state { phase: TEST stage: "s" }')
    assert {layer.phase for layer in solver.net.layers} == {caffe.TEST}


def test_stages_are_a_list(fit, tmp_path):
    fit()
    with pytest.raises(CaffeError, match=r"stages is a list, stages=.'deploy'."):
        caffe.get_solver(str(tmp_path / "solver.prototxt"), stages="deploy")


def test_momentum_goes_on_in_what_no_longer_learns(fit):
    """As in Caffe: a rate of 0 adds nothing to the history, which still moves the weights."""
    solver = fit()
    solver.step(1)
    _, spec = solver.net.program.learnable[0]
    spec.lr_mult = 0
    history, before = solver.history[0].numpy().copy(), solver.net.params["fit"][0].data.copy()
    solver.step(1)
    np.testing.assert_allclose(solver.net.params["fit"][0].data, before - 0.9 * history, rtol=1e-5)


USUAL = 'base_lr: 0.02 lr_policy: "fixed" momentum: 0.9'


@pytest.mark.parametrize("lines, said", [
    (USUAL.replace("0.02", "-0.02"), "base_lr is -0.02: weights follow the gradient"),
    (USUAL.replace("0.02", "0"), "base_lr is 0: no weight learns"),
    ('lr_policy: "fixed"', "base_lr is missing: no weight learns"),
    (f"{USUAL} weight_decay: -1", "weight_decay is -1: weights grow"),
    (f"{USUAL} clip_gradients: 0", "clip_gradients is 0: all gradients become 0"),
    (f"{USUAL} iter_size: 0", "iter_size is 0: no pass is run, and the weights become nan"),
    (f"{USUAL} iter_size: -1", "iter_size is -1: no pass is run, and the weights learn nothing"),
    (f'{USUAL} delta: -1 type: "Adam"', "delta is -1: "),
    (f"{USUAL} test_interval: 3", "test_interval without test_iter: nothing is tested"),
    (USUAL.replace("fixed", "step") + " stepsize: 2", "gamma is missing, or 0: lr_policy 'step' "
     "then sets the rate to 0 at the first step"),
    (USUAL.replace("fixed", "multistep") + " stepvalue: 2", "gamma is missing, or 0"),
    (USUAL.replace("fixed", "multistep") + " gamma: 0.1", "lr_policy 'multistep' without a"),
    (USUAL.replace("fixed", "multistep") + " gamma: 0.1 stepvalue: 4 stepvalue: 2",
     "the stepvalue fields [4, 2] are not in order"),
    (USUAL.replace("fixed", "exp"), "gamma is missing, or 0: lr_policy 'exp' then sets the rate to "
     "0 from the second iteration on"),
    (USUAL.replace("fixed", "poly"), "power is missing, or 0: lr_policy 'poly'"),
    (USUAL.replace("fixed", "inv") + " power: 1", "gamma is missing, or 0: lr_policy 'inv' then "
     "leaves the rate at base_lr"),
])
def test_settings_that_are_hardly_meant_train_as_in_the_original_with_a_warning(
        fit, capsys, lines, said):
    solver = fit(lines)
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("W")]
    assert len(warnings) == 1 and f"solver.prototxt: {said}" in warnings[0]
    solver.step(1)
    assert solver.iter == 1


def test_usual_settings_are_not_warned_of(fit, capsys):
    for lines in (USUAL, f"{USUAL} clip_gradients: 5 weight_decay: 0.1 iter_size: 2",
                  'base_lr: 1 lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 4',
                  'base_lr: 1 lr_policy: "poly" power: 0.9 type: "AdaGrad"',
                  'base_lr: 1 lr_policy: "inv" gamma: 0.1 power: 1 type: "Nesterov" delta: -1',
                  'base_lr: 1 lr_policy: "sigmoid" gamma: -0 stepsize: 2'):
        fit(lines).solve()
    assert not [line for line in capsys.readouterr().err.splitlines() if line.startswith("W")]


def test_a_snapshot_beyond_max_iter_is_said_to_train_nothing(fit, tmp_path, capsys):
    fit().solve()
    solver = fit()
    solver.param.max_iter = 4
    solver.solve(f"{tmp_path}/solver_iter_10.solverstate")
    assert "nothing is trained: max_iter is 4, and the iteration 10" in capsys.readouterr().err


def test_a_missing_policy_is_named(fit):
    with pytest.raises(CaffeError, match="lr_policy is missing: expected one of fixed, step,"):
        fit("base_lr: 0.02").step(1)


RATE = 'base_lr: 0.02 lr_policy: "fixed" '


@pytest.mark.parametrize("has_resume_file", [True, False])
@pytest.mark.parametrize("wrote, reads, said", [
    ("SGD", "AdaGrad", "values below 0"), ("Nesterov", "RMSProp", "values below 0"),
    ("Adam", "AdaDelta", "values below 0"), ("AdaDelta", "Adam", None), ("AdaGrad", "SGD", None)])
def test_a_snapshot_of_another_solver_type_is_refused(fit, tmp_path, wrote, reads, said,
                                                      has_resume_file):
    """Histories of one number and shape may mean something else: of the momentum's, which may be
    negative, AdaGrad takes the root. What the .resume file does not say, the values may show."""
    def typed(rule):
        return fit(f'{RATE} type: "{rule}"' + ' momentum: 0.9' * (rule in ("Adam", "AdaDelta")))

    fitted = typed(wrote)
    fitted.net.blobs["y"].data[...] += 3
    fitted.step(2)
    fitted.snapshot()
    state = tmp_path / "solver_iter_2.solverstate"
    if has_resume_file:
        said = f"those of the solver type {wrote}, and this one is {reads}"
    else:
        (tmp_path / "solver_iter_2.solverstate.resume").unlink()
    solver = typed(reads)
    before = solver.net.params["fit"][0].data.copy()
    if said is None:        # as in the original
        solver.restore(str(state))
        assert solver.iter == 2
        return
    with pytest.raises(WeightsError, match=f"{said}.*start anew from its caffemodel, as weights"):
        solver.restore(str(state))
    assert solver.iter == 0
    np.testing.assert_array_equal(solver.net.params["fit"][0].data, before)


def test_snapshots_of_sgd_and_nesterov_continue_one_another(fit, tmp_path):
    solver = fit(f"{RATE} momentum: 0.9")
    solver.step(2)
    solver.snapshot()
    other = fit(f'{RATE} momentum: 0.9 type: "Nesterov"')
    other.restore(f"{tmp_path}/solver_iter_2.solverstate")
    np.testing.assert_array_equal(other.history[0], solver.history[0])
