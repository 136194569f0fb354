"""What the engine makes of a recording of the original Caffe, beside what was recorded.

A recording of a net is an .npz with `prototxt` and `phase`; what went in, `input/BLOB`,
`param/LAYER/I/data` and `top_diff/BLOB`; and what came out of one forward and one backward,
`blob/BLOB/data`, `blob/BLOB/diff` and `param/LAYER/I/diff`. Without a `blob/*/diff` there was no
backward. A recording of a solver holds `solver` and `net`, `init/LAYER/I`, `feed/ITER/BLOB`,
`loss/ITER` and `param/ITER/LAYER/I`. CAFFE_GOLDEN names another folder of recordings.
"""

import os
from pathlib import Path

import numpy as np

import caffe

GOLDEN = Path(os.environ.get("CAFFE_GOLDEN") or Path(__file__).parents[1] / "golden")
NETS = sorted((GOLDEN / "layers").glob("*.npz"))
SOLVERS = sorted((GOLDEN / "solvers").glob("*.npz"))


def run_net(path, folder):
    """[(key, actual, expected)] of everything that a net's recording holds."""
    recording = dict(np.load(path))
    net = load_net(recording, folder / "net.prototxt")
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


def load_net(recording, prototxt):
    """The recorded net with its inputs and parameters in place."""
    prototxt.write_text(str(recording["prototxt"]))
    net = caffe.Net(str(prototxt), getattr(caffe, str(recording["phase"])))
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
