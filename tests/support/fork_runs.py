"""What the engine makes of a recording of a fork of Caffe, beside what was recorded.

Beyond what golden_runs tells, such a recording may hold `file/NAME`, the bytes of a file in the
working folder; `feed/S/BLOB` and `out/S/BLOB` of several forward passes; `after/LAYER/I`, what they
have made of a parameter; and `caffemodel`, the net in the fork's own binary form.
"""

from pathlib import Path

import numpy as np

import caffe
from golden_runs import GOLDEN, load_net

FORKS = sorted((GOLDEN / "forks").glob("*.npz"))


def prepare(recording, folder):
    """The net of a recording, with all that goes in; the working folder has to be `folder`."""
    for key, value in recording.items():
        if key.startswith("file/"):
            (folder / key.removeprefix("file/")).write_bytes(value.tobytes())
    plain = {key: reshaped(key, value) for key, value in recording.items()}
    return load_net(plain, folder / "net.prototxt")


def reshaped(key, value):
    """Biases of old nets as vectors, which they are here."""
    old = key.startswith("param/") and value.ndim == 4 and value.shape[:3] == (1, 1, 1)
    return value.reshape(-1) if old and not is_square(value) else value


def is_square(value):
    return value.shape[2:] == (1, 1)


def run_fork(path, folder):
    """[(key, actual, expected)] of everything that a recording holds."""
    recording = dict(np.load(path))
    net = prepare(recording, folder)
    compared = passes(net, recording) or one_pass(net, recording)
    for key, expected in recording.items():
        if key.startswith("after/"):
            layer, _, number = key.removeprefix("after/").rpartition("/")
            compared.append((key, net.params[layer][int(number)].data.copy(), expected))
    if "caffemodel" in recording:
        compared += weights(net, recording, folder)
    return compared


def passes(net, recording):
    """Several forward passes, one after the other."""
    found, number = [], 0
    while any(key.startswith((f"feed/{number}/", f"out/{number}/")) for key in recording):
        for key, value in recording.items():
            if key.startswith(f"feed/{number}/"):
                net.blobs[key.split("/", 2)[2]].data[...] = value
        net.forward()
        found += [(key, net.blobs[key.split("/", 2)[2]].data.copy(), expected)
                  for key, expected in recording.items() if key.startswith(f"out/{number}/")]
        number += 1
    return found


def one_pass(net, recording):
    """One forward, and one backward where gradients were recorded."""
    net.forward()
    compared = [(key, net.blobs[name].data.copy(), recording[key])
                for key in recording if key.startswith("blob/") and key.endswith("/data")
                for name in [key.removeprefix("blob/").removesuffix("/data")]]
    if not any(key.endswith("/diff") for key in recording):
        return compared
    for key, diff in recording.items():
        if key.startswith("top_diff/"):
            net.blobs[key.removeprefix("top_diff/")].diff[...] = diff
    net.backward()
    for key, expected in recording.items():
        if key.startswith("blob/") and key.endswith("/diff"):
            name = key.removeprefix("blob/").removesuffix("/diff")
            compared.append((key, net.blobs[name].diff.copy(), expected))
        elif key.startswith("param/") and key.endswith("/diff"):
            layer, _, number = key.removeprefix("param/").removesuffix("/diff").rpartition("/")
            compared.append((key, net.params[layer][int(number)].diff.copy(),
                             reshaped(key, expected)))
    return compared


def weights(net, recording, folder):
    """The parameters of the fork's binary, read into a new net of the same prototxt."""
    (folder / "fork.caffemodel").write_bytes(recording["caffemodel"].tobytes())
    other = caffe.Net(str(folder / "net.prototxt"), str(folder / "fork.caffemodel"), caffe.TEST)
    return [(f"caffemodel/{name}/{i}", other.params[name][i].data, blob.data)
            for name, blobs in net.params.items() for i, blob in enumerate(blobs)]


def case(path: Path) -> str:
    return path.stem
