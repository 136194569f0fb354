"""Several workers train as one process does that takes as many passes for an update."""

import json
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest

import caffe
from fcn.solvers import score, training
from fcn.solvers.workers import ALONE
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
    trained(one), trained(other)
    for iteration in (2, 4):
        np.testing.assert_array_equal(weights(two, iteration), weights(one, iteration))
        assert not np.array_equal(weights(other, iteration), weights(one, iteration))
    assert score.read(two.run) == score.read(one.run)
    assert capfd.readouterr().out.count("training two\n") == 1
