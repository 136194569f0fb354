"""Whole runs on a few embedded scenes: files, continuation, what is missing."""

import csv
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import caffe
from caffe.formats import prototxt
from caffe.proto import caffe_pb2
from fcn import nets, surgery
from fcn.nets.source import ROOT
from fcn.solvers import training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.own_folder import on_folder
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.inference import crf
from fcn.solvers.preflight import PreflightError
from fcn.solvers.scoring import counting, score_file, tables
from fcn.solvers.training import loop
from segdata import files
from segdata.download import catalog
from segdata.embedded import voc as embedded_voc


def rows(experiment):
    """The lines of its log.csv, but for the time, which no two trainings have in common."""
    with (experiment.directory / "log.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "time"}
                for row in csv.DictReader(file)]


def param_str(experiment):
    train = prototxt.read_net(experiment.run.prototxt("train"))
    return train.layer[0].python_param.param_str


def test_a_run_leaves_all_its_files_and_finite_scores(experiment, real_curves):
    scores = training.train(experiment)["label"]
    assert 0 <= scores.mean_iu <= scores.pixel_accuracy <= 1
    names = {path.name for path in experiment.directory.iterdir()}
    assert names >= {"train.prototxt", "val.prototxt", "deploy.prototxt", "solver.prototxt",
                     "classes.txt", "log.csv", "curve.png", "score.json"}
    assert training.finished(experiment)
    record = json.loads((experiment.directory / "score.json").read_text())
    assert record["iteration"] == 4
    assert record["labels"]["label"]["mean IU"] == pytest.approx(100 * scores.mean_iu, abs=0.01)
    assert [row["iteration"] for row in rows(experiment) if row["mean_iu"]] == ["2", "4"]
    text = tables.table(scores, embedded_voc.CLASSES)
    assert all(name in text for name in embedded_voc.CLASSES)


def test_the_page_about_reports_lists_every_file_of_a_run(experiment):
    page = (ROOT / "docs" / "reports.md").read_text()
    table = page.partition("## The files of a run")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| ", table, re.MULTILINE)
    listed = [name.replace("_N.", "_4.") for row in rows for name in re.findall("`(.+?)`", row)]
    assert {"start.txt", crf.FILE} < {*listed}
    training.train(experiment, keep=1)
    files = [path.relative_to(experiment.directory).as_posix()
             for path in experiment.directory.rglob("*") if path.is_file()]
    assert [name for name in files if name not in listed
            and not name.endswith(".solverstate.resume")] == [".lock"]


def test_the_solver_s_prototxt_says_the_recipe(experiment):
    run = replace(experiment, momentum=0.8, weight_decay=0.01, iter_size=3, drop=0.5, lr=1e-8)
    training.write_files(run, 6)
    solver = prototxt.read_solver(run.run.prototxt("solver"))
    assert (solver.base_lr, solver.lr_policy, list(solver.stepvalue)) \
        == (pytest.approx(1e-8), "multistep", [2])
    assert (solver.momentum, solver.weight_decay) == (pytest.approx(0.8), pytest.approx(0.01))
    assert (solver.iter_size, solver.max_iter, solver.snapshot) == (3, 4, 2)
    assert list(solver.test_iter) == [2] and solver.gamma == pytest.approx(0.1)
    assert "'start': 6" in param_str(run)
    training.write_files(replace(run, drop=1.0), 0)
    assert prototxt.read_solver(run.run.prototxt("solver")).lr_policy == "fixed"


def losses_of(experiment, count):
    """The losses of the first training samples with the weights as they are, one a pass."""
    net = caffe.Net(str(experiment.run.prototxt("train")), str(experiment.run.newest_weights()),
                    caffe.TRAIN)
    return [float(net.forward()["loss"]) for _ in range(count)]


def test_the_logged_loss_is_that_of_the_last_image_of_an_iteration(experiment, monkeypatch):
    """Without a rate the weights stay, so that each loss can be computed again."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    run = replace(experiment, head="fcn32s", lr=0.0, weight_decay=0.0, iter_size=3, iterations=3,
                  interval=3)
    training.train(run)
    found = rows(run)
    expected = losses_of(run, 9)[2::3]
    np.testing.assert_allclose([float(row["loss"]) for row in found], expected, rtol=1e-5)
    smoothed = [expected[0]]
    for loss in expected[1:]:
        smoothed.append(0.9 * smoothed[-1] + 0.1 * loss)
    np.testing.assert_allclose([float(row["smoothed_loss"]) for row in found], smoothed, rtol=1e-5)


def test_score_json_has_what_the_blobs_say(experiment):
    """Computed again from the net, by counting."""
    run = replace(experiment, head="fcn32s")
    training.train(run)
    net = caffe.Net(str(run.run.prototxt("val")), str(run.run.newest_weights()), caffe.TEST)
    matrix = np.zeros((7, 7), int)
    for _ in range(2):
        net.forward()
        truth, said = net.blobs["label"].data[0, 0], net.blobs["score"].data[0].argmax(0)
        np.add.at(matrix, (truth[truth != 255].astype(int), said[truth != 255]), 1)
    record = json.loads((run.directory / "score.json").read_text())["labels"]["label"]
    assert [list(map(int, row.split())) for row in record["confusion"]] == matrix.tolist()
    assert record["pixel accuracy"] == pytest.approx(100 * matrix.trace() / matrix.sum(), abs=0.01)
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    for number, name in enumerate(embedded_voc.CLASSES):
        iu = 100 * matrix[number, number] / union[number] if union[number] else None
        assert record["class IU"][name] == (None if iu is None else pytest.approx(iu, abs=0.01))
    assert float(rows(run)[-1]["mean_iu"]) == pytest.approx(record[record["headline"]], abs=0.01)


def test_scores_that_are_not_finite_are_no_background(experiment):
    run = replace(experiment, head="fcn32s", iterations=1)
    training.train(run)
    net = caffe.Net(str(run.run.prototxt("val")), str(run.run.newest_weights()), caffe.TEST)
    net.params["score_fr"][1].data[1] = np.nan
    with pytest.raises(RunError, match="sample 1 of 2, blob 'score': .* not finite"):
        counting.score_net(net, 2)


def test_samples_go_on_behind_those_of_all_passes(experiment):
    training.train(replace(experiment, iterations=2, iter_size=3))
    training.train(replace(experiment, iter_size=3))
    assert "'start': 6" in param_str(experiment)


def test_samples_go_on_behind_those_of_all_batches(experiment):
    """And the weights are those of a run that was not interrupted."""
    source = experiment.source.with_training(batch=2, crop=(40, 60), scale=(0.5, 1), mirror=True)
    run = replace(experiment, head="fcn32s", source=source, iter_size=3)
    training.train(replace(run, iterations=2))
    training.train(run)
    assert "'start': 12" in param_str(run)
    whole = replace(run, name="whole")
    training.train(whole)
    found, expected = map(training.trained_net, (run, whole))
    for name in expected.params:
        for ours, its in zip(found.params[name], expected.params[name]):
            np.testing.assert_array_equal(ours.data, its.data)


def test_scores_are_those_of_the_blobs(experiment, tmp_path):
    """A net whose scores say the class that the first channel of the image is close to."""
    training.train(experiment)
    net = caffe.Net(str(experiment.run.prototxt("val")), str(experiment.run.newest_weights()),
                    caffe.TEST)
    expected = 0
    for _ in range(2):
        net.forward()
        truth, said = net.blobs["label"].data[0, 0], net.blobs["score"].data[0].argmax(0)
        expected = expected + np.array([[((truth == i) & (said == j)).sum() for j in range(7)]
                                        for i in range(7)])
    matrix = counting.score_net(net, 2)["label"].matrix        # the layer goes round
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.sum() > matrix.trace() > 0
    without = counting.score_net(net, 2, unscored=(0,))["label"]
    np.testing.assert_array_equal(without.matrix, expected)
    assert without.pixel_accuracy == expected.diagonal()[1:].sum() / expected[1:].sum()


def test_a_log_goes_on_where_its_snapshot_is(experiment, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    training.train(replace(experiment, iterations=3))
    first = rows(experiment)
    assert [row["iteration"] for row in first] == ["1", "2", "3"]
    (experiment.directory / "log.csv").open("a").write("7,broken\n9,1,1\n")
    training.train(experiment)
    assert rows(experiment)[:3] == first
    assert [row["iteration"] for row in rows(experiment)] == ["1", "2", "3", "4"]


def test_a_rate_that_fell_in_a_shorter_run_stays_there_and_that_is_said(experiment, capsys):
    begun = replace(experiment, drop=0.5)
    training.train(begun)
    assert "the learning rate was lowered" not in capsys.readouterr().err
    training.train(replace(begun, iterations=6))        # to fall at 3, as it has
    assert "the learning rate was lowered" not in capsys.readouterr().err
    training.train(replace(begun, iterations=20))
    assert "until iteration 10, start anew: --fresh --iterations 20" \
        in capsys.readouterr().err
    assert {float(row["rate"]) for row in rows(experiment)[6:]} == {1e-10}


def test_however_many_iterations_at_a_time_the_log_is_the_same(experiment, monkeypatch):
    """At once they are done up to a line of the log or a snapshot."""
    counts, logs = {}, []

    def step_and_count(self, count, step=caffe.SGDSolver.step):
        counts.setdefault(loop.LONGEST_WAIT, []).append(count)
        step(self, count)
    monkeypatch.setattr(caffe.SGDSolver, "step", step_and_count)
    monkeypatch.setattr(loop, "LOG_EVERY", 3)
    for patience in 1e9, 1e-9:
        monkeypatch.setattr(loop, "LONGEST_WAIT", patience)
        run = replace(experiment, iterations=9, interval=5, build=experiment.build / str(patience))
        training.train(run)
        logs.append(rows(run))
    assert counts == {1e9: [1, 2, 2, 1, 3], 1e-9: [1] * 9}
    assert [row["iteration"] for row in logs[0]] == ["3", "5", "6", "9"]
    assert logs[0] == logs[1]


def test_a_loss_that_is_not_finite_is_found_before_a_snapshot(experiment, monkeypatch):
    def spoil_and_step(self, count, step=caffe.SGDSolver.step):
        if self.iter:
            self.net.params["conv1_1"][0].data[0] = np.nan
        step(self, count)
    monkeypatch.setattr(caffe.SGDSolver, "step", spoil_and_step)
    monkeypatch.setattr(loop, "LONGEST_WAIT", 1e9)
    with pytest.raises(FloatingPointError, match="loss is nan at iteration 2, of the image train_.*"
                       "first layer whose output is not finite is 'conv1_1'.*rate is too high"):
        training.train(replace(experiment, interval=4, iterations=8))
    assert not experiment.run.snapshots()


def test_what_was_not_scored_is_scored_on_return(experiment, real_curves):
    training.train(experiment)
    for name in ("score.json", "curve.png"):
        (experiment.directory / name).write_text("{}")
    training.train(experiment)
    assert score_file.load(experiment.run, 4)
    assert (experiment.directory / "curve.png").stat().st_size > 1000


def test_the_paper_s_first_stage_starts_from_its_classifier(experiment, monkeypatch, tmp_path,
                                                            capsys):
    narrow = partial(nets.classifier, width=1 / 64, filler="msra", size=64)
    made = caffe.Net(str(nets.write_prototxt(tmp_path / "vgg.prototxt", narrow())), caffe.TEST)
    made.save(str(tmp_path / "vgg.caffemodel"))
    monkeypatch.setattr(catalog, "path", lambda name: tmp_path / f"{name[:3]}.caffemodel")
    monkeypatch.setattr(nets, "classifier", narrow)
    run = replace(experiment, bases={"": "vgg16"}, lr=0.0, weight_decay=0.0, head="fcn32s",
                  net=dict(width=1 / 64, fc6_kernel=2))
    training.train(run)
    assert "is not the ILSVRC-trained VGG-16 as published" in capsys.readouterr().err
    with pytest.raises(PreflightError, match="(?s)fcn16s starts from weights without score_fr, as "
                                             "if from the classifier.*train FCN-32s first"):
        training.train(replace(run, name="16s", head="fcn16s"))
    net = training.trained_net(run)
    for name in ("conv1_1", "conv5_3", "fc6", "fc7"):
        weights = made.params[name][0].data
        assert weights.any()
        np.testing.assert_array_equal(net.params[name][0].data.ravel(), weights.ravel())


def test_weights_that_float32_does_not_hold_stop_before_training(experiment, monkeypatch, tmp_path):
    narrow = partial(nets.classifier, width=1 / 64, filler="msra", size=64)
    made = caffe.Net(str(nets.write_prototxt(tmp_path / "vgg.prototxt", narrow())), caffe.TEST)
    param = caffe_pb2.NetParameter(layer=[dict(name=name, blobs=[
        dict(shape=dict(dim=blob.shape), double_data=[1e300] * blob.count
             if name == "conv2_1" else blob.data.ravel()) for blob in blobs])
        for name, blobs in made.params.items()])
    (tmp_path / "vgg.caffemodel").write_bytes(param.SerializeToString())
    monkeypatch.setattr(catalog, "path", lambda name: tmp_path / f"{name[:3]}.caffemodel")
    monkeypatch.setattr(nets, "classifier", narrow)
    with pytest.raises(PreflightError, match="(?s)weights of conv2_1 are not finite.*take other"):
        training.train(replace(experiment, bases={"": "vgg16"}, head="fcn32s",
                               net=dict(width=1 / 64, fc6_kernel=2)))
    assert not experiment.run.snapshots()


def test_an_interrupted_run_continues_with_its_weights_and_the_next_sample(experiment, capsys):
    training.train(replace(experiment, iterations=2))
    weights = experiment.run.newest_weights()
    net = caffe.Net(str(experiment.run.prototxt("train")), str(weights), caffe.TRAIN)
    net.params["conv1_1"][0].data[...] += 3     # what no filler gives
    net.save(str(weights))
    weights.with_suffix(".solverstate.resume").unlink()     # it would tell that they are others
    first = caffe.Net(str(experiment.directory / "deploy.prototxt"),
                      str(experiment.run.newest_weights()), caffe.TEST)
    training.train(experiment)
    assert "continuing tiny from" in capsys.readouterr().out
    assert "'start': 2" in param_str(experiment)
    assert [iteration for iteration, _ in experiment.run.snapshots()] == [2, 4]
    last = caffe.Net(str(experiment.directory / "deploy.prototxt"),
                     str(experiment.run.newest_weights()), caffe.TEST)
    change = last.params["conv1_1"][0].data - first.params["conv1_1"][0].data
    assert 0 < np.abs(change).max() < 0.1


def test_a_stage_starts_from_the_weights_of_the_stage_before(experiment):
    training.train(replace(experiment, name="base", head="fcn32s"))
    base_directory = experiment.build / "base"
    base = caffe.Net(str(base_directory / "deploy.prototxt"),
                     str(training.final_weights(replace(experiment, name="base"))), caffe.TEST)
    training.train(replace(experiment, lr=0.0, weight_decay=0.0), {"": base})
    net = caffe.Net(str(experiment.directory / "deploy.prototxt"),
                    str(training.final_weights(experiment)), caffe.TEST)
    for name in ("conv1_1", "fc6", "score_fr"):
        np.testing.assert_array_equal(net.params[name][0].data, base.params[name][0].data)
    np.testing.assert_allclose(net.params["upscore16"][0].data[1, 1], surgery.bilinear(32),
                               rtol=1e-6)
    assert not net.params["score_pool4"][0].data.any()


def test_a_run_that_is_trained_is_not_trained_nor_scored_again(experiment, monkeypatch, capsys):
    scores = training.train(experiment)["label"]
    monkeypatch.setattr(counting, "count", None)
    page = experiment.directory / "report.html"
    before = page.read_text()
    page.unlink()       # as a kill between the last scores and the report leaves it
    again = training.train(experiment)["label"]
    np.testing.assert_array_equal(again.matrix, scores.matrix)
    printed = capsys.readouterr().out
    assert "tiny is trained" in printed and f"writing {page}" in printed
    assert page.read_text() == before


def test_what_a_trained_run_has_lost_of_its_prototxts_is_written_anew(experiment, capsys):
    training.train(experiment)
    paths = [experiment.directory / name for name in ("solver.prototxt", "classes.txt")]
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    training.train(experiment)
    assert [path.read_bytes() for path in paths] == before
    assert "solver.prototxt, classes.txt in" in capsys.readouterr().out


def files_of(run):
    return {path.name: path.read_bytes() for path in run.directory.iterdir()
            if path.suffix in (".prototxt", ".txt", ".json") and path.name != "turn.txt"}


def test_what_is_refused_leaves_the_files_of_the_run_that_is_there(experiment):
    """Of a run that is to go on at a rate that is much too high: it is finished, as it was."""
    training.train(experiment)
    before = files_of(experiment.run)
    longer = replace(experiment, iterations=6)
    with pytest.raises(PreflightError, match="--force goes on"):
        training.train(replace(longer, lr=1.0))
    assert files_of(experiment.run) == before and experiment.run.is_finished()
    training.train(longer)
    assert experiment.run.solver_param().max_iter == 6 and experiment.run.is_finished()


def test_what_is_refused_leaves_a_run_that_ended_early_as_one_that_has_ended(experiment):
    long = replace(experiment, iterations=8)
    training.train(long, patience=1)        # at this rate mean IU stays as it is
    assert experiment.run.ended() == {"iteration": 4, "patience": 1}
    with pytest.raises(PreflightError, match="--force goes on"):
        training.train(replace(long, lr=1.0))
    assert experiment.run.ended()["iteration"] == 4 and experiment.run.is_finished()
    training.train(replace(long, iterations=6))
    assert not experiment.run.ended() and experiment.run.is_finished()


@pytest.mark.parametrize("written", [2, 5, 7, 9])
def test_a_full_disk_leaves_the_files_of_the_run_that_is_there(experiment, monkeypatch, written):
    """Also where there is no room to write them once more."""
    training.train(experiment)
    before, left = files_of(experiment.run), iter(range(written))

    def put(temporary, path, real=files.put):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
        real(temporary, path)

    monkeypatch.setattr(files, "put", put)
    with pytest.raises(files.WriteError, match="free space on its disk"):
        training.train(replace(experiment, iterations=6, lr=2e-9))
    assert files_of(experiment.run) == before and experiment.run.is_finished()


def test_the_start_of_a_run_that_is_killed_before_a_snapshot_leaves_nothing(
        experiment, monkeypatch, tmp_path):
    """A trained run that was to go on at another rate is one of its own rate, as before."""
    training.train(experiment)
    before, killed = files_of(experiment.run), tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "run",
                      lambda self: shutil.copytree(experiment.directory, killed))
        training.train(replace(experiment, iterations=6, options={"lr": 2e-9}, lr=2e-9))
    shutil.rmtree(experiment.directory)
    killed.rename(experiment.directory)         # as a kill there leaves it
    with pytest.raises(RunError, match="at the rate 1e-09; asked for is --lr 2e-09"):
        training.train(replace(experiment, options={"lr": 2e-9}, lr=2e-9))
    training.train(experiment)
    assert files_of(experiment.run) == before and experiment.run.is_finished()
    training.train(replace(experiment, iterations=6, options={"lr": 2e-9}, lr=2e-9))
    assert experiment.run.solver_param().base_lr == pytest.approx(2e-9)
    assert not (experiment.directory / "before").exists()


def test_another_rate_of_a_trained_run_is_refused(experiment, capsys):
    training.train(experiment)
    before = files_of(experiment.run)
    training.train(replace(experiment, options={"lr": experiment.lr}))
    with pytest.raises(RunError, match=r"is trained to its end, at the rate 1e-09; asked for is "
                       r"--lr 0.0002. To train with that, start anew \(--fresh\), let it go on for "
                       "longer than its 4 iterations, or take another folder"):
        training.train(replace(experiment, options={"lr": 2e-4}, lr=2e-4))
    assert files_of(experiment.run) == before


@pytest.mark.parametrize("typed", [{"lr": 5e-10}, {}])
def test_the_rate_of_a_trained_run_is_the_one_that_was_typed(experiment, typed):
    """--same-images multiplies it by the number of workers."""
    training.train(replace(experiment, options=typed))
    training.train(replace(experiment, options={"lr": 5e-10}))
    with pytest.raises(RunError, match="trained to its end, at the rate .*asked for is --lr 7e-10"):
        training.train(replace(experiment, options={"lr": 7e-10}, lr=1.4e-9))


def test_fewer_iterations_than_trained_are_refused(experiment):
    training.train(experiment)
    with pytest.raises(RunError, match="trained to iteration 4, asked for are 2"):
        training.train(replace(experiment, iterations=2))


@pytest.mark.parametrize("change", [dict(head="fcn8s"), dict(net=dict(width=1 / 32)),
                                    dict(data="elsewhere")])
def test_another_net_or_data_leave_a_run_as_it_is(experiment, change):
    training.train(replace(experiment, iterations=2))
    before = {path: path.read_bytes() for path in experiment.directory.glob("*.*")}
    with pytest.raises(RunError, match="holds a run with"):
        training.train(replace(experiment, **change))
    assert {path: path.read_bytes() for path in experiment.directory.glob("*.*")} == before


def test_a_run_that_lost_its_settings_says_so_as_it_goes_on(experiment, capsys):
    training.train(replace(experiment, iterations=2))
    record = experiment.directory / "settings.json"
    before = record.read_text()
    record.unlink()
    for iterations, warnings in ((4, 1), (6, 0)):
        capsys.readouterr()
        training.train(replace(experiment, iterations=iterations))
        assert capsys.readouterr().err.count("lacks its settings.json, so that nothing "
                                             "says") == warnings
    assert record.read_text() == before


def test_a_snapshot_that_is_no_use_is_named(experiment):
    training.train(replace(experiment, iterations=2))
    weights = experiment.run.newest_weights()
    net = caffe.Net(str(experiment.run.prototxt("train")), str(weights), caffe.TRAIN)
    net.params["conv2_1"][0].data[0, 0] = np.nan
    net.save(str(weights))
    weights.with_suffix(".solverstate.resume").unlink()
    with pytest.raises(RunError, match="train_iter_2.solverstate.*'conv2_1' are not finite"):
        training.train(experiment)
    weights.write_bytes(b"broken")
    with pytest.raises(RunError, match="cannot continue: .*train_iter_2.*remove"):
        training.train(experiment)


def test_a_damaged_snapshot_is_passed_over(experiment, capsys):
    training.train(replace(experiment, iterations=3, interval=1))
    pages = experiment.run.newest_weights().read_bytes()
    experiment.run.newest_weights().write_bytes(pages[:4096] + bytes(4096) + pages[8192:])
    training.train(replace(experiment, iterations=4, interval=1))
    printed = capsys.readouterr()
    assert "train_iter_3.solverstate is of no use: " in printed.err
    assert "train_iter_3.caffemodel: damaged" in printed.err and "SHA-256" in printed.err
    assert re.search("continuing tiny from .*train_iter_2.solverstate", printed.out)
    assert experiment.run.newest_weights().name == "train_iter_4.caffemodel"


def test_damaged_weights_are_refused_and_trained_again(experiment):
    training.train(replace(experiment, iterations=2, interval=1))
    path = experiment.run.newest_weights()
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + bytes(4096) + pages[8192:])
    small = replace(experiment, iterations=2, interval=1)
    with pytest.raises(RunError, match="train_iter_2.caffemodel: damaged, .*SHA-256.*another"):
        training.trained_net(small)
    assert not training.finished(small)
    training.train(small, keep=1)
    assert training.finished(small) and training.trained_net(small)


def test_a_fresh_start_that_fails_leaves_the_run_that_was_there(experiment, capsys):
    training.train(experiment)
    before = {path: path.read_bytes() for path in experiment.directory.rglob("*")
              if path.is_file()}
    with pytest.raises(PreflightError, match="base_lr is 1"):
        training.train(replace(experiment, lr=1.0), fresh=True)
    with pytest.raises(FloatingPointError, match="the rate 1 is too high"):
        training.train(replace(experiment, lr=1.0, iterations=50, interval=50), fresh=True,
                       force=True)
    assert "that --fresh set aside is back" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in experiment.directory.rglob("*")
                      if path.is_file()}
    training.train(replace(experiment, iterations=1), fresh=True)
    assert [iteration for iteration, _ in experiment.run.snapshots()] == [1]
    assert not (experiment.directory / "replaced").exists()


def test_a_rate_that_is_too_high_is_said(experiment):
    run = replace(experiment, lr=1.0, iterations=50)
    with pytest.raises(PreflightError, match="(?s)base_lr is 1, and the loss 'loss' is summed over "
                                             "about 18,[0-9]{3} pixels: .*--lr 5e-08"):
        training.train(run)
    with pytest.raises(FloatingPointError, match="the rate 1 is too high.*--fresh --lr 0.3"):
        training.train(run, force=True)


def test_what_is_missing_is_said_with_size_and_command(tmp_path):
    with pytest.raises(training.MissingError) as caught:
        training.check(replace(EXPERIMENTS["voc-fcn16s"], build=tmp_path))
    for words in ("voc-fcn32s", "make voc-fcn32s", "make demo"):
        assert words in str(caught.value)


@pytest.mark.skipif(catalog.path("sbd").exists(), reason="the VOC data are there")
def test_solve_without_data_fails_at_once_without_a_traceback():
    begin = os.times()
    result = subprocess.run([sys.executable, "solvers/solve.py", "voc-fcn32s", "--cpu"],
                            cwd=ROOT, capture_output=True, text=True)
    end = os.times()        # of the processor, which others may use, too
    assert end.children_user + end.children_system < begin.children_user + begin.children_system + 5
    assert result.returncode == 1 and "Traceback" not in result.stderr
    for words in ("make vgg16", "553 MB", "make data-voc", "make demo"):
        assert words in result.stderr


def test_the_published_hyper_parameters():
    rows = list(EXPERIMENTS.values())
    assert [row.name for row in rows] == list(nets.TABLE)
    deeplab = [row for row in rows if row.name.startswith("voc-deeplab")]
    dilated = [row for row in rows if row.name.startswith("voc-dilated")]
    segnet = [row for row in rows if row.name.startswith("camvid-segnet")]
    unet = [row for row in rows if row.head == "unet"]
    paper = [row for row in rows if row not in deeplab + dilated + segnet + unet
             and row.name != "voc-crfrnn"]
    rates = {(row.name.partition("-")[0], row.head, row.lr, row.iterations) for row in paper
             if row.iter_size == 1}
    assert rates == {
        ("voc", "fcn32s", 1e-10, 100_000), ("voc", "fcn16s", 1e-12, 100_000),
        ("voc", "fcn8s", 1e-14, 100_000), ("voc", "fcn8s-atonce", 1e-10, 300_000),
        ("voc", "fcn32s-fixed", 1e-10, 100_000), ("nyud", "fcn32s", 1e-10, 100_000),
        ("nyud", "fcn32s", 1e-12, 100_000), ("nyud", "fcn16s", 1e-12, 100_000),
        ("siftflow", "fcn32s", 1e-10, 100_000), ("siftflow", "fcn16s", 1e-12, 100_000),
        ("siftflow", "fcn8s", 1e-12, 100_000), ("pascalcontext", "fcn32s", 1e-10, 300_000),
        ("pascalcontext", "fcn16s", 1e-12, 300_000), ("pascalcontext", "fcn8s", 1e-14, 300_000)}
    accumulated = {row.name: (row.bases[""], row.lr, row.momentum, row.iter_size)
                   for row in paper if row.iter_size > 1}
    assert accumulated == {"voc-fcn-alexnet": ("caffenet", 1e-4, 0.9, 20),
                           "voc-fcn-googlenet": ("googlenet", 5e-5, 0.9, 20)}
    assert {row.momentum for row in paper if row.iter_size == 1} == {0.99}
    assert {row.weight_decay for row in rows} == {0.0005}
    assert {(row.lr, row.momentum, row.iterations, tuple(row.policy.values())) for row in deeplab
            if row.head != "deeplab-aspp"} == {(1e-3, 0.9, 6_000, ("step", 0.1, 2_000))}
    assert EXPERIMENTS["voc-deeplab-aspp"].policy == {"lr_policy": "poly", "power": 0.9}
    for row in deeplab:
        assert row.source.batch == 20 and row.source.train.params["crop"] == 321
        assert row.source.train.params["mirror"] and row.source.train[2]["split"] == "train_aug"
        assert row.needs == (*("vgg16",) * ("msc" not in row.name), "sbd", "voc2012")
    assert EXPERIMENTS["voc-deeplab-msc-largefov"].bases == {"": "voc-deeplab-largefov"}
    assert {(row.head, *row.bases.values(), row.lr, row.momentum, row.source.batch, row.iterations,
             row.class_weights) for row in segnet} == {
        ("segnet", "vgg16", 0.001, 0.9, 4, 40_000, "median"),
        ("segnet-basic", 0.1, 0.9, 4, 10_000, "median"),
        ("segnet-bayesian", "vgg16", 0.001, 0.9, 4, 60_000, "median"),
        ("segnet-basic-bayesian", 0.1, 0.9, 4, 10_000, "median")}
    assert {(row.lr, row.momentum, row.iter_size, row.iterations) for row in unet} == {
        (0.001, 0.99, 1, 60_000)}
    refined = EXPERIMENTS["voc-crfrnn"]
    assert (refined.bases, refined.lr, refined.momentum) == ({"": "voc-fcn8s"}, 1e-13, 0.99)
    for row, lr, images in zip(dilated, (1e-4, 1e-3, 1e-3), (14, 60, 60)):
        assert (row.lr, row.momentum, row.images) == (lr, 0.9, images)
        assert row.policy == dict(lr_policy="step", gamma=0.1, stepsize=100_000)
        assert row.needs == (*("vgg16",) * (row.lr < 1e-3), "sbd", "voc2012")
        assert row.source.train.params["mean"] == (102.93, 111.36, 116.52)


def test_chains_end_at_classifiers_and_name_what_they_need():
    chain = training.unfinished_bases(EXPERIMENTS["voc-fcn8s"])
    assert [each.name for each in chain] == ["voc-fcn32s", "voc-fcn16s"]
    behind = training.unfinished_bases(EXPERIMENTS["voc-dilated-context"])
    assert [each.name for each in behind] == ["voc-dilated-frontend"]
    both = training.unfinished_bases(EXPERIMENTS["nyud-fcn32s-color-hha"])
    assert [each.name for each in both] == ["nyud-fcn32s-color", "nyud-fcn32s-hha"]
    assert EXPERIMENTS["voc-fcn-alexnet"].needs == ("caffenet", "sbd", "voc2011")
    for row in EXPERIMENTS.values():
        assert [len(names) for names in row.class_names.values()] \
            == list(row.source.labels.values())
        assert all(name in catalog.ITEMS for name in row.needs)


@pytest.fixture
def folder(data, tmp_path):
    """The embedded validation scenes as somebody's own folder."""
    folder = tmp_path / "mine"
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    source = data / "pascal" / "VOC2011"
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).symlink_to(source / name)
    names = (source / "ImageSets" / "Segmentation" / "seg11valid.txt").read_text()
    for split in ("train", "val"):
        (folder / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(names)
    (folder / "classes.txt").write_text("\n".join(embedded_voc.CLASSES))
    return folder


def test_a_folder_in_voc_layout_trains(folder, tmp_path):
    experiment = replace(on_folder(folder, width=1 / 64, iterations=2), build=tmp_path)
    assert experiment.class_names == {"label": embedded_voc.CLASSES}
    training.train(experiment)
    assert experiment.run.class_names() == list(embedded_voc.CLASSES)
    assert "filler" in experiment.run.prototxt("train").read_text()
    assert "filler" not in experiment.run.prototxt("deploy").read_text()


@pytest.mark.parametrize("own, head, name", [
    ("camvid", "segnet", "data-camvid-segnet"), ("voc", "fcn8s", "data-voc-fcn8s"),
    ("siftflow", "fcn32s", "data-siftflow-fcn32s"), ("demos", "fcn8s", "data-demos-fcn8s"),
    ("camvid", "fcn8s", "camvid-fcn8s"), ("mine", "segnet", "mine-segnet")])
def test_the_name_of_a_run_on_a_folder_that_is_named_like_an_experiment(folder, own, head, name):
    experiment = on_folder(folder.rename(folder.with_name(own)), head=head)
    assert experiment.name == experiment.directory.name == name


@pytest.mark.parametrize("name", ["voc-fcn8s", "vgg16", "demo", "../x", "..", ".", "/x"])
def test_names_that_a_folder_s_run_cannot_have(folder, name):
    with pytest.raises(RunError, match="cannot have the name"):
        on_folder(folder, name=name)
