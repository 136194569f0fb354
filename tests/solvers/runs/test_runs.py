"""The folder of a run: what it began as, its snapshots, and how it is found."""

import hashlib
import importlib
import json
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

from fcn import nets
from fcn.solvers.console.errors import RunError
from fcn.solvers.inference import network
from fcn.solvers.report import overview
from fcn.solvers.runs import all_runs, aside
from fcn.solvers.runs.images import Images
from fcn.solvers.runs.run import FILES, Run
from segdata.errors import UserError
from segdata.files import replacing
from segdata.means import OF_LAYERS


def leave(directory, *iterations):
    (directory / "snapshot").mkdir(parents=True, exist_ok=True)
    (directory / "deploy.prototxt").touch()
    for iteration in iterations:
        for suffix in ("solverstate", "caffemodel"):
            (directory / "snapshot" / f"train_iter_{iteration}.{suffix}").touch()
    return Run(directory)


def test_snapshots_are_in_the_order_of_numbers(tmp_path):
    run = leave(tmp_path / "run", 900, 1000, 80)
    assert [iteration for iteration, _ in run.snapshots()] == [80, 900, 1000]
    assert run.newest_weights().name == "train_iter_1000.caffemodel"


def test_weights_serve_without_solverstates_and_training_needs_both(tmp_path):
    run = leave(tmp_path / "run", 80, 900)
    (run.directory / "snapshot" / "train_iter_900.solverstate").unlink()
    (run.directory / "snapshot" / "train_iter_abc.caffemodel").touch()
    assert run.newest_weights() == run.weights(900)
    assert [iteration for iteration, _ in run.snapshots()] == [80]


def scored(tmp_path, *scores):
    """A run with a snapshot of the iterations 1, 2, ..., of these mean IUs."""
    run = leave(tmp_path / "run", *range(1, len(scores) + 1))
    lines = [f"{place},,,{score}" for place, score in enumerate(scores, 1)]
    (run.directory / "log.csv").write_text("\n".join(["iteration,loss,smoothed_loss,mean_iu",
                                                      *lines, ""]))
    return run


def test_the_best_snapshot_is_taken_and_named(tmp_path):
    run = scored(tmp_path, 30, 84.7, 62.5)
    assert run.chosen_weights(best=True) == (
        run.weights(2), "iteration 2, the best on the validation set: mean IU 84.7%")
    assert run.chosen_weights(best=False) == (
        run.weights(3), "iteration 3, the newest, has mean IU 62.5% on the validation set, "
        "iteration 2 had 84.7%: --best takes that")
    run.weights(2).unlink()
    assert run.chosen_weights(best=True)[0] == run.weights(3)


def test_a_point_of_difference_is_not_named_nor_a_snapshot_without_score(tmp_path):
    run = scored(tmp_path, 50.9, 50)
    assert run.chosen_weights(best=False) == (run.weights(2), "")
    leave(run.directory, 3)
    assert run.chosen_weights(best=False) == (run.weights(3), "")
    assert run.chosen_weights(best=True)[0] == run.weights(1)
    (run.directory / "log.csv").unlink()
    assert run.chosen_weights(best=False) == (run.weights(3), "")
    with pytest.raises(RunError, match="--best: .*log.csv has scores of none of the snapshots"):
        run.chosen_weights(best=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"iteration": "x", "patience": 1}'])
def test_a_damaged_record_of_an_early_end_is_told(tmp_path, text):
    (leave(tmp_path / "run", 1).directory / "ended.json").write_text(text)
    with pytest.raises(RunError, match="ended.json: damaged: no JSON file of where a run ended"):
        Run(tmp_path / "run").ended()


def test_a_run_without_snapshot_says_so(tmp_path):
    with pytest.raises(RunError, match="nothing is trained"):
        leave(tmp_path / "run").newest_weights()


def test_a_run_keeps_what_it_began_as(tmp_path):
    run = Run(tmp_path / "run")
    run.record_settings(width=0.5, classes=("a", "b"))
    run.record_settings(width=0.5, classes=("a", "b"))
    with pytest.raises(RunError, match="run with --width 0.5, now asked for is 0.25"):
        run.record_settings(width=0.25, classes=("a", "b"))
    run.record_settings(width=0.5, classes=("a", "b"))


def test_a_run_names_what_an_option_was_that_it_began_without(tmp_path):
    run = Run(tmp_path / "run")
    run.record_settings(data="/mine")
    run.prototxt("train").write_text(
        'layer { name: "data" type: "Python" top: "data" top: "label" python_param { '
        'module: "voc_layers" layer: "VOCSegDataLayer" '
        'param_str: "{\'crop\': (388, 388), \'batch\': 2}" } }')
    assert run.batch() == 2
    with pytest.raises(RunError, match=r"holds a run without --crop \(the default was 388x388\), "
                                       r"now asked for is 164\. To go on with it, leave out"):
        run.check(data="/mine", **{"--crop": 164})


def test_damaged_records_are_named(tmp_path):
    run = leave(tmp_path / "run")
    for name, call in (("settings.json", run.settings), ("solver.prototxt", run.samples)):
        (run.directory / name).write_text("{ damaged")
        with pytest.raises(RunError, match=name):
            call()


@pytest.mark.parametrize("name, kinds, blue", [
    ("voc-fcn8s", ("color",), 104.00699), ("nyud-fcn32s-color", ("color",), 116.190),
    ("nyud-fcn32s-hha", ("hha",), None), ("nyud-fcn32s-color-d", ("color", "depth"), 116.190),
    ("nyud-fcn32s-color-hha", ("color", "hha"), 116.190), ("siftflow-fcn8s", ("color",), 114.578),
    ("pascalcontext-fcn8s", ("color",), 104.007)])
def test_the_data_layer_says_what_a_net_takes(tmp_path, name, kinds, blue):
    nets.write(name, tmp_path, width=1 / 64)
    found = Run(tmp_path).images()
    assert found.kinds == kinds
    assert blue is None or found.mean[0] == blue


def test_the_means_are_those_of_the_layers():
    for module, layer in (("nyud_layers", "NYUDSegDataLayer"),
                          ("siftflow_layers", "SIFTFlowSegDataLayer"),
                          ("pascalcontext_layers", "PASCALContextSegDataLayer")):
        own = getattr(importlib.import_module(module), layer).mean
        np.testing.assert_allclose(OF_LAYERS[module], own.ravel(), rtol=1e-6)


def test_without_a_data_layer_of_the_project_a_net_takes_a_photograph(tmp_path):
    assert Run(tmp_path).images() == Images()
    val = Run(tmp_path).prototxt("val")
    val.write_text('layer { type: "Python" python_param { module: "theirs" param_str: "{a" } }')
    assert Run(tmp_path).images() == Images()
    val.write_text(val.read_text().replace("theirs", "nyud_layers"))
    with pytest.raises(RunError, match="val.prototxt: damaged"):
        Run(tmp_path).images()


def test_class_names_are_those_of_the_scores(tmp_path):
    run = leave(tmp_path / "run")
    (run.directory / "classes.txt").write_text("a\nb\n")
    (run.directory / "classes_geo.txt").write_text("c\n")
    assert run.class_names("sem", 2) == ["a", "b"] and run.class_names("geo", 1) == ["c"]
    with pytest.raises(RunError, match="classes.txt: 2 names for 3 classes"):
        run.class_names("sem", 3)


def test_a_solver_without_test_iter_is_told_what_to_add(tmp_path):
    run = leave(tmp_path / "run", 1)
    run.prototxt("solver").write_text("base_lr: 1")
    with pytest.raises(RunError, match="solver.prototxt has no test_iter: add a line `test_iter"):
        run.samples()


def content(run):
    """{path in the folder: bytes} but for the lock"""
    return {str(path.relative_to(run.directory)): path.read_bytes()
            for path in run.directory.rglob("*") if path.is_file() and path.name != ".lock"}


def test_only_runs_are_set_aside(tmp_path):
    run = leave(tmp_path / "run", 1)
    with pytest.raises(RunError, match="holds no run"), run.locked():
        aside.set_aside(run)
    assert run.snapshots()


def test_what_ended_at_its_first_file_can_start_anew(tmp_path):
    """Nothing but an empty folder, and the first file half written."""
    run = Run(tmp_path / "run")
    (run.directory / "snapshot").mkdir(parents=True)
    (run.directory / "train.prototxt.abcdef_9.part").touch()
    with run.locked():
        aside.set_aside(run)
    assert not content(run)


@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_run_that_is_replaced_goes_when_the_new_one_has_a_snapshot(tmp_path, has_snapshot):
    run = leave(tmp_path / "run", 1)
    run.prototxt("solver").write_text("old")
    before = content(run)
    with run.locked():
        aside.set_aside(run)
        assert not run.snapshots()
        run.prototxt("solver").write_text("new")
        run.prototxt("statistics").write_text("new")    # which a run of another net lacks
        if has_snapshot:
            leave(run.directory, 2)
    after = {"solver.prototxt": b"new", "statistics.prototxt": b"new", "deploy.prototxt": b"",
             "snapshot/train_iter_2.solverstate": b"", "snapshot/train_iter_2.caffemodel": b""}
    assert content(run) == (after if has_snapshot else before)
    assert not (run.directory / "replaced").exists()


def test_a_run_can_be_used_after_another_net_was_refused_in_its_place(tmp_path):
    run = leave(tmp_path / "run", 1)
    run.prototxt("solver").touch()
    with run.locked():
        aside.set_aside(run)
        run.prototxt("statistics").touch()
    assert run.newest_weights() == run.weights(1)


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("back", [False, True])
def test_a_run_that_is_killed_while_it_is_set_aside_or_put_back_is_whole(tmp_path, monkeypatch,
                                                                         steps, back):
    run = leave(tmp_path / "run", 1)
    for name in ("solver", "train", "val"):
        run.prototxt(name).write_text(name)
    before, rename, count = content(run), type(run.directory).rename, iter(range(steps))

    def rename_so_often(path, target):
        if next(count, None) is None:
            raise SystemExit
        return rename(path, target)
    with monkeypatch.context() as patch, suppress(SystemExit):
        if back:
            aside.set_aside(run)
            run.prototxt("statistics").write_text("of the new run")
        patch.setattr(type(run.directory), "rename", rename_so_often)
        aside.settle(run) if back else aside.set_aside(run)
    with run.locked():
        assert content(run) == before


def test_a_folder_in_which_a_run_is_trained_is_not_emptied(tmp_path):
    run = leave(tmp_path / "run", 1)
    run.prototxt("solver").touch()
    with run.locked():
        before = sorted(run.directory.rglob("*"))
        with pytest.raises(RunError, match="another process is training in .* Nothing was changed"):
            with Run(run.directory).locked():
                pass
        assert sorted(run.directory.rglob("*")) == before


def test_what_a_killed_process_had_half_written_goes_and_nothing_else(tmp_path):
    run = leave(tmp_path / "run", 1)
    half = [run.directory / "log.csv.abcdefgh.part",
            run.directory / "snapshot" / "train_iter_2.caffemodel.a1_b2c3d.part",
            run.directory / "snapshot" / "train_iter_2.solverstate.a1_b2c3d.part"]
    others = [run.directory / "book.part", run.directory / "my.two.part"]
    for path in half + others:
        path.touch()
    assert [iteration for iteration, _ in run.snapshots()] == [1]
    with run.locked():
        assert not any(path.exists() for path in half) and all(path.exists() for path in others)


def kept(run):
    """{iteration: the suffixes of its files}"""
    found = {}
    for path in (run.directory / "snapshot").iterdir():
        stem, _, suffix = path.name.partition(".")
        found.setdefault(int(stem.rpartition("_")[2]), set()).add(suffix)
    return found


def record(run, iteration):
    """Write the file .resume of a snapshot."""
    state = run.folder / f"train_iter_{iteration}.solverstate"
    content = {"files": {kind: hashlib.sha256(state.with_suffix(f".{kind}").read_bytes())
                         .hexdigest() for kind in ("caffemodel", "solverstate")}}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    state.with_name(f"{state.name}.resume").write_text(
        json.dumps({"version": 1, "sha256": digest, "content": content}))


@pytest.mark.parametrize("suffix", ["caffemodel", "solverstate", "solverstate.resume"])
def test_pruning_does_not_count_damaged_snapshots(tmp_path, suffix):
    run = leave(tmp_path / "run", 1, 2, 3, 4)
    for iteration in range(1, 5):
        record(run, iteration)
    (run.folder / f"train_iter_3.{suffix}").write_bytes(bytes(4096))
    run.prune(1, (), latest=3)
    assert sorted(kept(run)) == [2, 3, 4]


def test_pruning_keeps_the_newest_and_what_is_needed(tmp_path):
    run = leave(tmp_path / "run", 10, 20, 30, 40, 50)
    for iteration in (10, 20, 50):
        record(run, iteration)
    (run.directory / "snapshot" / "train_iter_40.solverstate").unlink()     # no snapshot
    run.prune(2, {10})
    assert kept(run) == {10: {"solverstate", "solverstate.resume", "caffemodel"},
                         30: {"solverstate", "caffemodel"}, 40: {"caffemodel"},
                         50: {"solverstate", "solverstate.resume", "caffemodel"}}


@pytest.mark.parametrize("steps", range(1, 6))
def test_pruning_that_is_interrupted_leaves_no_state_without_weights(tmp_path, monkeypatch, steps):
    run = leave(tmp_path / "run", 10, 20, 30)
    for iteration in (10, 20):
        (run.directory / "snapshot" / f"train_iter_{iteration}.solverstate.resume").touch()
    unlink, count = type(run.directory).unlink, iter(range(steps))

    def unlink_so_often(path, missing_ok=False):
        next(count)
        unlink(path, missing_ok)
    with monkeypatch.context() as patch:
        patch.setattr(type(run.directory), "unlink", unlink_so_often)
        with pytest.raises(StopIteration):
            run.prune(1, ())
    assert all("caffemodel" in suffixes for suffixes in kept(run).values())
    assert run.snapshots()[-1][0] == 30
    run.prune(1, ())
    assert kept(run) == {30: {"solverstate", "caffemodel"}}


def test_a_run_is_trained_by_one_process(tmp_path):
    with Run(tmp_path / "run").locked():
        with pytest.raises(RunError, match="another process"):
            with Run(tmp_path / "run").locked():
                pytest.fail("two at once")
    with Run(tmp_path / "run").locked():
        pass


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path):
    held = ("from fcn.solvers.runs.run import Run; import os, sys\n"
            "with Run(sys.argv[1]).locked(): os.kill(os.getpid(), 9)")
    run = subprocess.run([sys.executable, "-c", held, str(tmp_path / "run")],
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == -9
    with Run(tmp_path / "run").locked():
        pass


def test_runs_are_found_by_name_by_stage_and_by_path(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    leave(tmp_path / "voc-fcn8s", 1)
    leave(tmp_path / "demo" / "demo-fcn8s", 1)
    leave(tmp_path / "untrained")
    for name in ("voc-fcn8s", "demo/demo-fcn8s", tmp_path / "untrained"):
        assert all_runs.find(name).directory == tmp_path / name
    assert all_runs.find("demo-fcn8s").directory == tmp_path / "demo" / "demo-fcn8s"
    with pytest.raises(RunError, match="Trained are: voc-fcn8s, demo-fcn8s$"):
        all_runs.find("absent")


def test_where_nothing_is_trained_it_is_said_what_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    with pytest.raises(RunError, match="no run 'foo'.*Nothing is trained yet under .*: `fcn demo` "
                                       "trains .*`fcn solve --data FOLDER` one"):
        all_runs.find("foo")


def test_a_run_without_its_deploy_prototxt_is_not_called_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    leave(tmp_path / "own", 1).prototxt("deploy").unlink()
    with pytest.raises(RunError, match="the run in .*own lacks its deploy.prototxt. Put that file "
                                       "back, or run the command that trained it"):
        all_runs.find("own")


@pytest.mark.parametrize("use", [lambda: overview.write(all_runs.trained()), network.newest_run,
                                 lambda: all_runs.find("other")])
def test_where_the_only_run_lacks_its_deploy_prototxt_it_is_not_said_that_nothing_is_trained(
        tmp_path, monkeypatch, use):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    leave(tmp_path / "own", 1).prototxt("deploy").unlink()
    with pytest.raises(UserError, match="the run in .*own lacks its deploy.prototxt"):
        use()


@pytest.mark.parametrize("name, call", [
    ("solver.prototxt", Run.samples), ("train.prototxt", lambda run: run.net_param("train")),
    ("val.prototxt", Run.images), ("classes.txt", Run.class_names)])
def test_a_missing_file_of_a_run_is_named_with_the_remedy(tmp_path, name, call):
    run = leave(tmp_path / "own", 1)
    for each in {*FILES} - {name}:
        (run.directory / each).touch()
    with pytest.raises(RunError, match=f"the run in .*own lacks its {name}. Put that file back"):
        call(run)


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ValueError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and path.read_text() == "old"
