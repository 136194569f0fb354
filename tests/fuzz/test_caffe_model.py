"""The model of Caffe against what the original computed: that of which it knows the layers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import caffe_model
from caffe_model.layer import TYPES
from golden_runs import NETS, SEQUENCES, SOLVERS, run_net, run_sequence

RELATIVE, TINY, ROUNDING = 1e-4, 2e-5, 2e-6     # the original computed with floats


def model_net(path, phase):
    return caffe_model.Net(Path(path).read_text(), phase)


BEYOND = {"accuracy", "softmax"}    # a second top; a backward pass of blobs that were reshaped


def is_known(path):
    script = json.loads(str(np.load(path)["script"]))
    types = set(re.findall(r'type: "(\w+)"', script["prototxt"]))
    return types <= set(TYPES) and path.stem not in BEYOND


def wrong(compared):
    """What is not as it was recorded."""
    return [key for key, actual, expected in compared
            if not np.allclose(actual, expected, RELATIVE,
                               TINY + ROUNDING * np.abs(expected).max(initial=0))]


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_nets_are_those_of_the_original(path, tmp_path):
    assert wrong(run_net(path, tmp_path, model_net)) == []


@pytest.mark.parametrize("path", list(filter(is_known, SEQUENCES)), ids=lambda path: path.stem)
def test_sequences_end_as_in_the_original(path, tmp_path):
    assert wrong(run_sequence(path, tmp_path, model_net)) == []


@pytest.mark.parametrize("name, settings", [
    ("sgd_heavy", {"momentum": 0.99}), ("sgd_accumulate", {"momentum": 0.9, "iter_size": 3})])
def test_solvers_train_as_the_original(name, settings):
    run, = (np.load(path) for path in SOLVERS if path.stem == name)
    net = caffe_model.Net(str(run["net"]), 0)
    for key in run.files:
        if key.startswith("init/"):
            _, layer, i = key.split("/")
            net.params[layer][int(i)].data[...] = run[key]
    solver = caffe_model.Solver(net, 1e-4, decay=0.0005, **settings)
    compared = []
    for i in sorted({int(key.split("/")[1]) for key in run.files if key.startswith("loss/")}):
        for key in run.files:
            if key.startswith(f"feed/{i}/"):
                net.blobs[key.split("/")[2]].data[...] = run[key]
        solver.step()
        compared += [(key, net.params[key.split("/")[2]][int(key.split("/")[3])].data.copy(),
                      run[key]) for key in run.files if key.startswith(f"param/{i}/")]
    assert len(compared) > 8
    assert wrong(compared) == []
