"""caffe parse_log and plot_log: what they make of logs of the original, and of this project."""

import csv

import numpy as np
import pytest
from PIL import Image

from caffe.cli import main

# a log of the original in which a training goes on over New Year
LOG = """Log file created at: 2015/12/31 23:59:58
I1231 23:59:58.000000 7 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.1
I1231 23:59:58.500000 7 solver.cpp:289] Solving tiny
I1231 23:59:58.600000 7 solver.cpp:347] Iteration 0, Testing net (#0)
I1231 23:59:59.000000 7 solver.cpp:414]     Test net output #0: accuracy = 0.25
I1231 23:59:59.000000 7 solver.cpp:414]     Test net output #1: loss = 1.5 (* 1 = 1.5 loss)
I1231 23:59:59.500000 7 solver.cpp:239] Iteration 0 (0 iter/s, 0s/2 iters), loss = 2.5
I1231 23:59:59.500000 7 solver.cpp:258]     Train net output #0: loss = 2e+00 (* 1 = 2 loss)
I1231 23:59:59.500000 7 sgd_solver.cpp:112] Iteration 0, lr = 0.1
Something else printed this
I0101 00:00:00.500000 7 solver.cpp:239] Iteration 2 (2 iter/s, 1s/2 iters), loss = 1
I0101 00:00:00.500000 7 solver.cpp:258]     Train net output #0: loss = nan (* 1 = nan loss)
I0101 00:00:00.500000 7 sgd_solver.cpp:112] Iteration 2, lr = 1e-05
I0101 00:00:01.000000 7 solver.cpp:347] Iteration 3, Testing net (#0)
I0101 00:00:01.500000 7 solver.cpp:414]     Test net output #0: accuracy = 0.75
I0101 00:00:01.500000 7 solver.cpp:414]     Test net output #1: loss = 0.5 (* 1 = 0.5 loss)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "caffe.INFO").write_text(LOG)
    return tmp_path


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_tables_of_a_log_of_the_original(folder, capsys):
    assert main(["parse_log", "caffe.INFO", "out/tables"]) == 0
    assert capsys.readouterr().out == ("Wrote out/tables/caffe.INFO.train: 2 rows\n"
                                       "Wrote out/tables/caffe.INFO.test: 2 rows\n")
    assert table(folder / "out/tables/caffe.INFO.train") == [
        ["NumIters", "Seconds", "LearningRate", "loss"],
        ["0.0", "1.0", "0.1", "2.0"], ["2.0", "2.0", "0.1", "nan"]]
    assert table(folder / "out/tables/caffe.INFO.test") == [
        ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"],
        ["0.0", "0.5", "1e-05", "0.25", "1.5"], ["3.0", "3.0", "1e-05", "0.75", "0.5"]]


def test_the_year_may_stand_before_the_month(folder):
    text = LOG.replace("I1231", "I20151231").replace("I0101", "I20160101")
    (folder / "new").write_text(text)
    for name in ("new", "caffe.INFO"):
        assert main(["parse_log", name, "out"]) == 0
    for kind in ("train", "test"):
        assert table(folder / f"out/new.{kind}") == table(folder / f"out/caffe.INFO.{kind}")


def test_the_log_of_this_project(folder, capsys):
    (folder / "net.prototxt").write_text("""
        layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
                shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" }
                data_filler { value: 1 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
                inner_product_param { num_output: 2 } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "t" top: "l2" }
        layer { name: "mean" type: "Reduction" bottom: "fc" top: "mean" include { phase: TEST } }
        """)
    (folder / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 display: 2 '
        'max_iter: 5 snapshot_prefix: "s" test_iter: 1 test_interval: 3')
    assert main(["train", "--solver", "solver.prototxt"]) == 0
    (folder / "mine.log").write_text(capsys.readouterr().err)
    assert main(["parse_log", "mine.log", "."]) == 0
    train, test = table(folder / "mine.log.train"), table(folder / "mine.log.test")
    assert [row[0] for row in train] == ["NumIters", "0.0", "2.0", "4.0"]
    assert [float(row[2]) for row in train[1:]] == [0.1, 0.1, 0.05]
    assert float(train[1][3]) == 1
    assert test[0][3:] == ["l2", "mean"] and [row[0] for row in test[1:]] == ["0.0", "3.0"]


def test_a_log_without_a_training(folder, capsys):
    (folder / "silent").write_text("I1231 23:59:58.500000 7 net.cpp:86] Creating Layer x\n")
    for command in (["parse_log", "silent", "."], ["plot_log", "silent"]):
        assert main(command) == 1
        assert "silent: expected the log of a training" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["caffe.INFO", "silent"]


def test_a_folder_for_tables_that_cannot_be_made(folder, capsys):
    assert main(["parse_log", "caffe.INFO", "caffe.INFO/tables"]) == 1
    assert capsys.readouterr().err.endswith(
        "caffe.INFO/tables: cannot be made: Not a directory: caffe.INFO/tables; a part of that "
        "path is a file: take another\n")


@pytest.mark.parametrize("x", ["iterations", "seconds"])
def test_curves(folder, capsys, x):
    assert main(["plot_log", "caffe.INFO", "--x", x, "-o", "curves.png"]) == 0
    assert capsys.readouterr().out == f"Drew curves.png: loss, outputs, rate against {x}\n"
    picture = np.asarray(Image.open("curves.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20      # something is drawn


def test_curves_of_several_logs(folder):
    (folder / "other").write_text(LOG.replace("accuracy", "iu"))
    assert main(["plot_log", "caffe.INFO", "other"]) == 0
    assert Image.open("caffe.INFO.png").format == "PNG"
