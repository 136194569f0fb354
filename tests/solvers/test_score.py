"""Scores as text and as a file, and what is said of labels that cannot be scored."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fcn.nets.source import voc
from fcn.solvers import score, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.runs.run import Run
from fcn.solvers.scoring.counting import score_net
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.scoring.score_file import load, save
from fcn.solvers.scoring.tables import table

MATRIX = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0]])
NAMES = ("background", "a", "b", "c")


class Blob:
    def __init__(self, data):
        self.data = np.asarray(data)


class Net:
    """A net whose score says class 1 everywhere."""

    def __init__(self, label, classes=3):
        score = np.zeros((1, classes, *np.shape(label)[2:]))
        score[:, 1] = 1
        self.blobs = {"label": Blob(label), "score": Blob(score)}

    def forward(self):
        pass


def figures(text):
    """{name: numbers} of the lines of a table."""
    rows = [re.split("  +", line) for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_both_mean_ius_are_printed_and_named():
    missed = np.array([[2, 1], [0, 0]])
    text = table(Scores.of(missed), ("a", "b"))
    assert figures(text)["mean IU"] == ["33.3"] and figures(text)["mean IU (in truth)"] == ["66.7"]
    assert "is\nin no label counts 0, as in VOC" in text
    assert text.count("scored by mean IU.\n") == 1
    assert "f.w. IU (frequency-weighted): the mean of the classes' IU, each weighted" in text
    assert "scored by mean IU (in truth).\n" in table(Scores.of(missed, in_truth=True), ("a", "b"))
    assert text.splitlines()[-1].split() == ["b", "–", "0.0"]


def test_unscored_classes_are_printed_without_and_with():
    text = table(Scores.of(MATRIX, unscored=(0,)), NAMES)
    assert text.splitlines()[0].split("  ")[-2:] == ["without background", "with background"]
    assert figures(text)["mean IU"] == ["50.0", "51.4"]
    assert "Without background: the 3 classes of the task. With background: all 4" in text
    assert "\nbackground         –     –\n" in text


def test_the_file_has_all_figures_and_is_read_again(tmp_path):
    scores = {"sem": Scores.of(MATRIX, unscored=(0,), in_truth=True)}
    save(scores, Run(tmp_path), {"sem": NAMES}, 40)
    label = json.loads((tmp_path / "score.json").read_text())["labels"]["sem"]
    assert label["mean IU"] == label["mean IU (in truth)"] == 50
    assert label["headline"] == "mean IU (in truth)" and label["unscored"] == [0]
    assert label["all classes"]["mean IU"] == 51.39
    assert label["class IU"] == {"background": None, "a": 50, "b": 50, "c": None}
    again = load(Run(tmp_path), 40)["sem"]
    assert again.summary() == scores["sem"].summary()
    assert (again.unscored, again.in_truth) == ((0,), True)
    assert load(Run(tmp_path), 41) is None


def test_one_class_beside_void_is_warned_of(capsys):
    mask = np.where(np.arange(12).reshape(1, 1, 3, 4) % 2, 255, 1)
    assert score_net(Net(mask), 3)["label"].mean_iu == 1
    said = capsys.readouterr().err
    assert "blob 'label' shows class 1 alone, beside void, in all 3 samples" in said
    mask[0, 0, 0, 0] = 2
    score_net(Net(mask), 3)
    assert "alone" not in capsys.readouterr().err


def test_labels_that_are_void_throughout_are_an_error_of_the_run():
    with pytest.raises(RunError, match="2 samples: no labelled pixel was scored"):
        score_net(Net(np.full((1, 1, 3, 4), 255)), 2)


def test_a_list_that_has_changed_since_the_training_is_told(experiment, data, tmp_path,
                                                            monkeypatch, capsys):
    """Of a shorter list some samples would count twice; of a longer one the last not at all."""
    root = shutil.copytree(data, tmp_path / "own")
    run = replace(experiment, head="fcn32s", iterations=1, source=voc(root, 7))
    training.train(run)
    path = Path(run.source.val_names)
    first, second = path.read_text().split()
    monkeypatch.setattr(sys, "argv", ["score", str(run.directory)])
    path.write_text(f"{first}\n")
    with pytest.raises(SystemExit, match="val.*lists 1 samples, and test_iter in .*solver.prototxt "
                                         "is 2: some would be scored twice. Put the list back, or "
                                         "set test_iter to 1"):
        score.main()
    path.write_text(f"{first}\n{second}\n")
    capsys.readouterr()
    score.main()
    assert "samples" not in capsys.readouterr().err
    solver = run.run.prototxt("solver")
    solver.write_text(solver.read_text().replace("test_iter: 2", "test_iter: 1"))
    score.main()
    assert "lists 2 samples, and test_iter" in (told := capsys.readouterr().err)
    assert "is 1: those behind the first 1 are not scored; to score all, set test_iter to 2" in told
