"""Several workers train as one process does that takes as many passes for an update."""

import json
import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import caffe
from fcn.solvers import report, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.console.progress import through
from fcn.solvers.processes.workers import ALONE, Workers
from fcn.solvers.runs import log
from fcn.solvers.scoring import counting, score_file
from fcn.solvers.scoring.prediction import load_net
from fcn.solvers.scoring.samples import SampleTally
from segdata.layer import SegDataLayer
from worker_runs import in_workers

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture
def small(experiment, monkeypatch):
    """small(name, **changes): the tiny experiment, which learns something, as a run of that name.
    Elision would add in another order."""
    def get_solver(path, get=caffe.get_solver):
        solver = get(path)
        solver.net.elide_padding = False
        return solver
    monkeypatch.setattr(caffe, "get_solver", get_solver)
    monkeypatch.setattr(report, "write", lambda run: None)      # nor is what takes time drawn
    monkeypatch.setattr(log, "draw", lambda *_: None)
    source = experiment.source.with_training(mirror=True)
    return lambda name, **changes: replace(
        experiment, **{"name": name, "source": source, "lr": 1e-6, **changes})


def trained(experiment, workers=ALONE):
    return training.train(experiment, workers=workers, force=True)


def weights(experiment, iteration):
    net = caffe.Net(str(experiment.run.prototxt("deploy")), caffe.TEST)
    net.copy_from(str(experiment.run.weights(iteration)))
    return np.concatenate([blob.data.ravel() for blobs in net.params.values() for blob in blobs])


def test_two_workers_train_as_one_process_with_two_passes(small, capfd):
    """Bit for bit, with the same scores; one pass an update gives other weights."""
    two, one, other = small("two"), small("one", iter_size=2), small("other")
    assert in_workers(2, lambda workers: trained(two, workers)["label"].headline)[0] > 0
    caffe.set_multiprocess(True)        # so that random numbers follow from the place
    trained(one), trained(other)
    caffe.set_multiprocess(False)
    for iteration in (2, 4):
        np.testing.assert_array_equal(weights(two, iteration), weights(one, iteration))
        assert not np.array_equal(weights(other, iteration), weights(one, iteration))
    assert score_file.read(two.run) == score_file.read(one.run)
    assert capfd.readouterr().out.count("training two\n") == 1


@pytest.mark.parametrize("interval", [2, 4])
def test_a_loss_that_is_not_finite_in_one_worker_stops_all(small, monkeypatch, capfd, interval):
    """At the iteration that is logged next, with the words of the one that has it; weights that are
    spoilt are not written."""
    def load(self, entry, position, seed, load=SegDataLayer.load):
        arrays = load(self, entry, position, seed)
        if position == 3 and self.training:         # that of rank 1 in the second iteration
            arrays["data"] = np.full_like(arrays["data"], np.nan)
            print("the image is", entry.name)
        return arrays
    monkeypatch.setattr(SegDataLayer, "load", load)
    run = small("spoilt", interval=interval)
    assert in_workers(2, lambda workers: trained(run, workers)) == [1, 1]
    out, err = capfd.readouterr()
    assert err.count("error: ") == 1
    assert "error: rank 1: spoilt: the loss is nan at iteration 2, of the image " in err
    assert "the first layer whose output is not finite is" in err
    assert not run.run.caffemodels()


def test_a_signal_to_one_worker_stops_all_and_another_number_goes_on(small, monkeypatch, capfd):
    """At one iteration, with one snapshot; the order of the samples is continued where it was."""
    def step_and_interrupt(self, count, step=caffe.SGDSolver.step):
        step(self, count)
        if caffe.solver_rank() == 1 and self.iter == 1:
            signal.raise_signal(signal.SIGTERM)
    monkeypatch.setattr(caffe.SGDSolver, "step", step_and_interrupt)
    run = small("stopped", interval=4)
    assert in_workers(2, lambda workers: trained(run, workers)) == [143, 143]
    assert [iteration for iteration, _ in run.run.snapshots()] == [1]
    err = capfd.readouterr().err
    assert err.count("stopped by SIGTERM: there is a snapshot of iteration 1; continue with") == 1

    seen = []

    def load(self, entry, position, seed, load=SegDataLayer.load):
        if self.training:
            seen.append(position)
        return load(self, entry, position, seed)
    monkeypatch.setattr(SegDataLayer, "load", load)

    def go_on(workers):
        trained(replace(run, iterations=3), workers)
        return seen
    for rank, positions in enumerate(in_workers(3, go_on)):
        after = [position for position in positions if position >= 2]
        assert after[:2] == [2 + rank, 5 + rank]        # of the second and third iteration
    progress = json.loads((run.directory / "progress.json").read_text())
    assert (progress["0"], progress["1"]) == ([0, 2], [2, 3])
    assert run.run.seen(3, run.images) == 8


def test_scores_of_three_workers_are_those_of_one(small):
    """To the last pixel; so is what is told of single samples."""
    run = small("scored", iterations=2)
    trained(run)
    param, count = run.run.net_param("val"), 5

    def scored(workers):
        net, tally = load_net(run.run.prototxt("val"), run.run.weights(2)), SampleTally(param)
        parts = workers.together(lambda: counting.count(net, count, {}, tally, workers))
        tally.unite(workers)
        return parts, counting.scores_of(parts, count), tally
    _, whole, tally = scored(ALONE)
    for parts, scores, united in in_workers(3, scored):
        np.testing.assert_array_equal(scores["label"].matrix, whole["label"].matrix)
        assert (parts[0]["label", ""] != whole["label"].matrix).any()
        assert (united.ious, united.losses()) == (tally.ious, tally.losses())
        shown = [i for i, (content, _) in enumerate(united.predictions) if content]
        assert shown and all(united.predictions[i] == tally.predictions[i] for i in shown)


def test_data_that_several_workers_cannot_share_are_not_scored_by_them():
    net = SimpleNamespace(layers=[object()])
    with Workers().sharing(net):
        pass
    with pytest.raises(RunError, match="several processes would count each sample several times"):
        with Workers(SimpleNamespace(rank=0, count=2)).sharing(net):
            pass


def test_what_fails_in_one_worker_ends_all_with_one_message(capfd):
    def fail(workers):
        def one():
            if workers.rank == 1:
                raise RunError("there is no such thing")
            return workers.rank
        assert workers.together(lambda: workers.rank) == [0, 1]
        assert workers.first(lambda: f"rank {workers.rank}") == "rank 0"
        workers.together(one)
    assert in_workers(2, fail) == [1, 1]
    assert capfd.readouterr().err.strip() == "error: rank 1: there is no such thing"


def test_who_scores_is_waited_for_as_long_as_it_gets_on(monkeypatch, capfd):
    """However long in all; who does not get on is named, with what it did last."""
    monkeypatch.setattr("fcn.solvers.processes.workers.PATIENCE", 1.0)
    monkeypatch.setattr("caffe.engine.workers.beats.EVERY", 0.1)

    def score(workers, seconds):
        if workers.rank == 1:
            for _ in through(range(4), "scoring", 4, "image"):
                time.sleep(seconds)
        return workers.rank
    assert in_workers(2, lambda workers: workers.together(lambda: score(workers, 0.5))) == [
        [0, 1]] * 2
    assert in_workers(2, lambda workers: workers.together(lambda: score(workers, 3)))[0] == 1
    assert "has not got on for 1 s: it was last heard of in " in capfd.readouterr().err
