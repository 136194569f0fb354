"""The folder of a run: what it began as, its snapshots, and how it is found."""

import pytest

from solvers import runs
from solvers.runs import Run, RunError


def leave(directory, *iterations):
    (directory / "snapshot").mkdir(parents=True)
    (directory / "deploy.prototxt").touch()
    for iteration in iterations:
        (directory / "snapshot" / f"train_iter_{iteration}.solverstate").touch()
    return Run(directory)


def test_snapshots_are_in_the_order_of_numbers(tmp_path):
    run = leave(tmp_path / "run", 900, 1000, 80)
    assert [iteration for iteration, _ in run.snapshots()] == [80, 900, 1000]
    assert run.newest_weights().name == "train_iter_1000.caffemodel"


def test_a_run_without_snapshot_says_so(tmp_path):
    with pytest.raises(RunError, match="nothing is trained"):
        leave(tmp_path / "run").newest_weights()


def test_a_run_keeps_what_it_began_as(tmp_path):
    run = Run(tmp_path / "run")
    run.settle(width=0.5, classes=("a", "b"))
    run.settle(width=0.5, classes=("a", "b"))
    with pytest.raises(RunError, match="run with width 0.5, now asked for is 0.25"):
        run.settle(width=0.25, classes=("a", "b"))
    run.settle(width=0.5, classes=("a", "b"))


def test_runs_are_found_by_name_by_stage_and_by_path(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "BUILD", tmp_path)
    leave(tmp_path / "voc-fcn8s", 1)
    leave(tmp_path / "demo" / "demo-fcn8s", 1)
    leave(tmp_path / "untrained")
    for name in ("voc-fcn8s", "demo/demo-fcn8s", tmp_path / "untrained"):
        assert runs.find(name).directory == tmp_path / name
    assert runs.find("demo-fcn8s").directory == tmp_path / "demo" / "demo-fcn8s"
    with pytest.raises(RunError, match="Trained are: voc-fcn8s, demo-fcn8s$"):
        runs.find("absent")


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ValueError), runs.replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and path.read_text() == "old"
