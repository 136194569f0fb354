"""A training that is resumed ends as one that was not interrupted, bit for bit."""

import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import caffe
import resumable
from caffe.log import logger

SOURCES = [Path(resumable.__file__).parent, *(Path(resumable.__file__).parents[2] / part
                                              for part in ("python", "data"))]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    resumable.make_files(folder)
    return folder


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """Where snapshots are written; the data are those of the working directory."""
    monkeypatch.chdir(files)
    return tmp_path


@pytest.fixture
def losses():
    """The losses in the log, of the training and of its tests."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.extend(re.findall(r"(?:Iteration \d+|Test net|Train net|lr = ).*?= (\S+)",
                                    record.getMessage()))

    handler = Handler()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def end(solver):
    """The weights and histories of a solver, and how random numbers go on."""
    arrays = [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]
    return [*arrays, *(history.numpy().copy() for history in solver.history)]


def assert_equal(one, other):
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", resumable.SETUPS)
def test_a_resumed_training_ends_as_one_that_was_not_interrupted(folder, losses, name):
    solver = resumable.make_solver(folder, name)
    solver.step(7)
    expected, seen = end(solver), losses[:]
    state = resumable.snapshots(folder, name)[1]
    assert "_iter_4." in state
    losses.clear()
    again = resumable.make_solver(folder, name)
    random.seed()
    again.restore(state)
    assert again.iter == 4
    again.step(3)
    assert_equal(end(again), expected)
    assert losses == seen[-len(losses):] and len(losses) > 5
