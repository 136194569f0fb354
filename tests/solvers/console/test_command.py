"""solve.py, score.py and infer.py, run as commands."""

import os
import subprocess
import sys

import pytest

import caffe
from fcn.nets.source import ROOT
from fcn.solvers import score, solve
from fcn.solvers.console.errors import RunError, report_errors
from fcn.solvers.training.loss_watch import LossError
from fcn.surgery import SurgeryError
from segdata.embedded import voc as embedded_voc
from segdata.errors import UserError


def python(*arguments, **variables):
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
                                          **variables})


def called(capsys, monkeypatch, module, *arguments):
    """What `module.main()` prints with these arguments, or the message that it ends with."""
    monkeypatch.setattr(sys, "argv", [f"solvers/{module.__name__.rpartition('.')[2]}.py",
                                      *map(str, arguments)])
    try:
        module.main()
    except SystemExit as end:
        return str(end.code)
    return capsys.readouterr().out


@pytest.mark.parametrize("error", [UserError("why"), RunError("why"), SurgeryError("why"),
                                   LossError("why"), caffe.CaffeError("why"),
                                   FileNotFoundError("why")])
def test_what_a_user_can_mend_is_told_in_one_line(error):
    with pytest.raises(SystemExit) as end, report_errors():
        raise error
    assert end.value.code == "error: why"


@pytest.mark.parametrize("error", [RuntimeError, ValueError, FloatingPointError, TypeError])
def test_all_else_is_a_bug_and_keeps_its_traceback(error):
    with pytest.raises(error, match="why"), report_errors():
        raise error("why")


def test_ctrl_c_ends_with_130():
    with pytest.raises(SystemExit) as end, report_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130


@pytest.mark.parametrize("flag, value", [("--iterations", "0"), ("--iterations", "-3"),
                                         ("--interval", "0"), ("--width", "0"), ("--lr", "nan"),
                                         ("--width", "5"), ("--width", "nan")])
def test_numbers_that_train_nothing_are_refused(flag, value):
    run = python("solvers/solve.py", "--data", "absent", f"{flag}={value}")
    assert run.returncode == 2 and f"argument {flag}: expected a " in run.stderr


@pytest.mark.parametrize("flag", ["--width=0.5", "--head=fcn16s", "--name=mine"])
def test_what_goes_with_data_is_refused_without(flag):
    run = python("solvers/solve.py", "voc-fcn8s", flag)
    assert run.returncode == 2 and "goes with --data" in run.stderr


def test_one_s_own_folder_is_trained_scored_and_segmented(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "runs"))
    embedded_voc.generate(tmp_path / "data", seed=5, train=1, val=2)
    folder = tmp_path / "data" / "pascal" / "VOC2011"
    lists = folder / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_bytes((lists / "seg11valid.txt").read_bytes())
    name = "own"
    options = ("--data", folder, "--head", "fcn32s", "--width", "0.02", "--name", name,
               "--interval", "2")

    def trained(*more):
        return called(capsys, monkeypatch, solve, *options, *more)

    assert "2 samples in both lists" in trained("--iterations", "3")
    options = *options, "--force"
    first = python("solvers/solve.py", *options, "--iterations", "3")
    assert first.returncode == 0, first.stderr
    assert "iteration 2, mean loss" in first.stdout and "mean IU" in first.stdout
    assert f"{folder}: 2 for train and 2 for val, " in first.stdout
    assert "Snapshotting" not in first.stderr       # the bars say what Caffe's log says
    assert f"{tmp_path}/runs/{name}/snapshot/train_iter_3.caffemodel" in first.stdout
    assert "train_iter_3.solverstate" in trained("--iterations", "4")
    assert "width 0.02" in trained("--iterations", "4", "--width", "0.04")
    assert "trained to iteration 4" in trained("--iterations", "2")
    fresh = trained("--iterations", "2", "--fresh")
    assert "mean IU" in fresh and "continuing" not in fresh
    scored = called(capsys, monkeypatch, score, name)
    assert "train_iter_2.caffemodel" in scored
    assert scored.split("\n\n", 1)[1].strip() in fresh
    assert "iteration 2, the best on the validation set: mean IU" in called(
        capsys, monkeypatch, score, name, "--best")
    inferred = python("infer.py", folder, "--experiment", name, "--best", "-o", tmp_path / "out")
    assert "iteration 2, the best on the validation set" in inferred.stdout
    assert inferred.returncode == 0, inferred.stderr
    assert len(list((tmp_path / "out").glob("*_overlay.png"))) == 2


def test_a_run_that_is_not_there_is_said():
    run = python("solvers/score.py", "absent")
    assert run.returncode == 1 and run.stderr.startswith("error: no run 'absent'")


@pytest.mark.parametrize("command", [("solvers/demo.py", "--seed"),
                                     ("-m", "analysis", "recipes", "--seeds")])
def test_seeds_that_numpy_does_not_take_are_refused(command):
    run = python(*command, "-1")
    assert run.returncode == 2 and "expected a whole number from 0 on, got '-1'" in run.stderr
