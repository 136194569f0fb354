"""Sequences of actions on small nets, recorded from the original: partial passes, backward without
forward, and values, gradients, weights and shapes that are changed by hand between passes.

Each recording in tests/golden/sequences holds its script (JSON: prototxt, phase, weights, actions)
and the data and diff of every blob and parameter after the last action.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import caffe

RECORDINGS = sorted((Path(__file__).parents[2] / "golden" / "sequences").glob("*.npz"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_ends_as_in_the_original(path, tmp_path):
    recording = np.load(path)
    script = json.loads(str(recording["script"]))
    net = play(script, tmp_path)
    found = {}
    for name, blob in net.blobs.items():
        found[f"blob/{name}"] = blob
    for name, blobs in net.params.items():
        found.update((f"param/{name}/{i}", blob) for i, blob in enumerate(blobs))
    names = [name for name in recording.files if name != "script"]
    assert {name.rpartition("/")[0] for name in names} == set(found)
    for name in names:
        blob, _, field = name.rpartition("/")
        expected = recording[name]
        np.testing.assert_allclose(getattr(found[blob], field), expected, rtol=2e-4,
                                   atol=2e-5 + 1e-6 * np.abs(expected).max(initial=0),
                                   err_msg=f"{path.stem}: {name}")


def play(script, folder):
    """The net of a script, after its actions."""
    prototxt = folder / "net.prototxt"
    prototxt.write_text(script["prototxt"])
    net = caffe.Net(str(prototxt), script["phase"])
    for layer, weights in script["weights"].items():
        for blob, value in zip(net.params[layer], weights):
            fill(blob.data, value)
    for action, *given in script["actions"]:
        if action in ("set_data", "set_diff"):
            name, value = given
            fill(getattr(net.blobs[name], action[4:]), value)
        elif action in ("set_param", "set_param_diff"):
            layer, index, value = given
            blob = net.params[layer][index]
            fill(blob.data if action == "set_param" else blob.diff, value)
        elif action in ("forward", "backward"):
            start, end = given
            getattr(net, action)(start=start, end=end)
        elif action == "reshape_blob":
            name, shape = given
            net.blobs[name].reshape(*shape)
        else:
            getattr(net, action)()
    return net


def fill(array, value):
    """Fill an array as {"uniform" or "randint": [seed, low, high]} says."""
    (kind, (seed, low, high)), = value.items()
    array[...] = getattr(np.random.RandomState(seed), kind)(low, high, array.shape)
