"""The classifiers of the demo go on where they were interrupted."""

import signal

import numpy as np
import pytest

import caffe
from fcn.solvers.console.errors import RunError
from fcn.solvers.console.signals import Stopped
from fcn.solvers.miniatures import classifiers


@pytest.fixture
def short(monkeypatch, tiny):
    """Seven steps, a snapshot after every second; returns the list of images."""
    seen = []

    def preprocess(images, preprocess=classifiers.preprocess):
        seen.append(images)
        return preprocess(images)
    monkeypatch.setattr(classifiers, "CLASSIFIERS", {"vgg16": (64, 2, 0.005, 7)})
    monkeypatch.setattr(classifiers, "CHECKPOINT", 2)
    monkeypatch.setattr(classifiers, "preprocess", preprocess)
    return seen


class Killed(BaseException):
    """Ends it as SIGKILL would, but for this test."""


def stop_after(monkeypatch, steps, end):
    """Have solvers end so before that step is taken."""
    def step(self, count, step=caffe.AdamSolver.step):
        if self.iter == steps:
            end()
        step(self, count)
    monkeypatch.setattr(caffe.AdamSolver, "step", step)


def kill():
    raise Killed


@pytest.mark.parametrize("steps, end, error, again", [
    (5, kill, Killed, 2), (1, kill, Killed, 2), (3, lambda: signal.raise_signal(signal.SIGTERM),
                                                 Stopped, 0)])
def test_an_interrupted_classifier_is_that_of_a_run_without_interruption(
        tmp_path, monkeypatch, capsys, short, steps, end, error, again):
    whole = classifiers.train_classifier("vgg16", tmp_path / "whole", 0)
    expected, told = list(short), capsys.readouterr().out.splitlines()[-1]
    short.clear()
    with monkeypatch.context() as patch:
        stop_after(patch, steps, end)
        with pytest.raises(error):
            classifiers.train_classifier("vgg16", tmp_path / "cut", 0)
    first = len(short)
    cut = classifiers.train_classifier("vgg16", tmp_path / "cut", 0)
    assert len(short) == len(expected) + again
    np.testing.assert_array_equal(short[first:], expected[first - again:])
    assert capsys.readouterr().out.splitlines()[-1] == told
    for name, blobs in whole.params.items():
        for mine, theirs in zip(blobs, cut.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data)
    assert len(list((tmp_path / "cut").glob("*.solverstate"))) == 1     # old ones go


def test_a_damaged_snapshot_of_a_classifier_is_passed_over(tmp_path, monkeypatch, capsys, short):
    with monkeypatch.context() as patch:
        stop_after(patch, 2, kill)
        with pytest.raises(Killed):
            classifiers.train_classifier("vgg16", tmp_path, 0)
    (tmp_path / "train_iter_2.solverstate").write_bytes(b"broken")
    classifiers.train_classifier("vgg16", tmp_path, 0)
    assert "train_iter_2.solverstate" in capsys.readouterr().err
    assert (tmp_path / "train_iter_7.caffemodel").exists()


def test_one_process_trains_a_classifier(tmp_path, short):
    with classifiers.Run(tmp_path, ".").locked(), pytest.raises(
            RunError, match="another process.* take another folder .-o FOLDER behind `fcn demo`"):
        classifiers.train_classifier("vgg16", tmp_path, 0)
