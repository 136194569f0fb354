"""What the engine makes of a recording of the original Caffe, beside what was recorded.

A recording of a net is an .npz with `prototxt` and `phase`; what went in, `input/BLOB`,
`param/LAYER/I/data` and `top_diff/BLOB`; and what came out of one forward and one backward,
`blob/BLOB/data`, `blob/BLOB/diff` and `param/LAYER/I/diff`. Without a `blob/*/diff` there was no
backward. A recording of a solver holds `solver` and `net`, `init/LAYER/I`, `feed/ITER/BLOB`,
`loss/ITER` and `param/ITER/LAYER/I`. A recording of a sequence of actions holds its `script` (JSON:
prototxt, phase, weights, actions), and the data and diff of every blob and parameter after the last
action, `blob/BLOB/data` and `param/LAYER/I/data`. CAFFE_GOLDEN names another folder of recordings.
"""

import json
import os
from pathlib import Path

import numpy as np

import caffe

GOLDEN = Path(os.environ.get("CAFFE_GOLDEN") or Path(__file__).parents[1] / "golden")
NETS = sorted((GOLDEN / "layers").glob("*.npz"))
SOLVERS = sorted((GOLDEN / "solvers").glob("*.npz"))
SEQUENCES = sorted((GOLDEN / "sequences").glob("*.npz"))


def run_net(path, folder, build=caffe.Net):
    """[(key, actual, expected)] of everything that a net's recording holds, by a net that build()
    makes of a path and a phase."""
    recording = dict(np.load(path))
    net = load_net(recording, folder / "net.prototxt", build)
    net.forward()
    if any(key.startswith("blob/") and key.endswith("/diff") for key in recording):
        for key, diff in recording.items():
            if key.startswith("top_diff/"):
                net.blobs[key.removeprefix("top_diff/")].diff[...] = diff
        net.backward()
    compared = []
    for key, expected in recording.items():
        kind, name, field = _parts(key)
        if kind == "blob":
            compared.append((key, getattr(net.blobs[name], field), expected))
        elif kind == "param" and field == "diff":
            layer, _, number = name.rpartition("/")
            compared.append((key, net.params[layer][int(number)].diff, expected))
    return compared


def _parts(key):
    """(kind, name, field) of `kind/name/field`; names may hold slashes."""
    kind, _, rest = key.partition("/")
    return kind, *rest.rpartition("/")[::2]


def load_net(recording, prototxt, build=caffe.Net):
    """The recorded net with its inputs and parameters in place."""
    prototxt.write_text(str(recording["prototxt"]))
    net = build(str(prototxt), getattr(caffe, str(recording["phase"])))
    for key, value in recording.items():
        kind, name, field = _parts(key)
        if kind == "input":
            net.blobs[key.removeprefix("input/")].data[...] = value
        elif kind == "param" and field == "data":
            layer, _, number = name.rpartition("/")
            net.params[layer][int(number)].data[...] = value
    return net


def load_solver(run, folder):
    """The solver of a recording, with the weights that it began with."""
    (folder / "net.prototxt").write_text(str(run["net"]))
    (folder / "solver.prototxt").write_text(str(run["solver"]))
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    for key in run.files:
        kind, layer, number = _parts(key)
        if kind == "init":
            solver.net.params[layer][int(number)].data[...] = run[key]
    return solver


def run_solver(solver, run, iterations):
    """[(key, actual, expected)] of losses and weights after each of the recorded steps."""
    compared = []
    for i in iterations:
        for key in run.files:
            if key.startswith(f"feed/{i}/"):
                solver.net.blobs[key.split("/", 2)[2]].data[...] = run[key]
        solver.step(1)
        compared.append((f"loss/{i}", solver.net.blobs["loss"].data.copy(), run[f"loss/{i}"]))
        for key in run.files:
            if key.startswith(f"param/{i}/"):
                layer, _, number = key.split("/", 2)[2].rpartition("/")
                compared.append((key, solver.net.params[layer][int(number)].data.copy(), run[key]))
    return compared


def run_sequence(path, folder, build=caffe.Net):
    """[(key, actual, expected)] of everything that a recording of a sequence holds."""
    recording = np.load(path)
    net = play(json.loads(str(recording["script"])), folder, build)
    found = {f"blob/{name}": blob for name, blob in net.blobs.items()}
    for name, blobs in net.params.items():
        found.update((f"param/{name}/{i}", blob) for i, blob in enumerate(blobs))
    keys = [key for key in recording.files if key != "script"]
    assert {key.rpartition("/")[0] for key in keys} == set(found)
    return [(key, getattr(found[key.rpartition("/")[0]], key.rpartition("/")[2]), recording[key])
            for key in keys]


def play(script, folder, build):
    """The net of a script, after its actions."""
    prototxt = folder / "net.prototxt"
    prototxt.write_text(script["prototxt"])
    net = build(str(prototxt), script["phase"])
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
