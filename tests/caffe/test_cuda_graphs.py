"""Passes that are recorded and replayed: on a GPU, and with a Tape for a CUDA graph on a CPU."""

import numpy as np
import pytest
import torch

import caffe
from caffe.engine import cuda_graphs
from caffe.engine.layers.convolution import Deconvolution
from golden_runs import NETS, load_net
from tape import Tape

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")


@pytest.fixture(params=["tape", pytest.param("gpu", marks=needs_gpu)])
def replays(request, monkeypatch):
    """Passes are recorded; a list that gets the kind of graph of each replay."""
    if request.param == "tape":
        monkeypatch.setattr(cuda_graphs, "KINDS", {"cpu": Tape})
        monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look
    else:
        caffe.set_precision("fp32")
        caffe.set_mode_gpu()
    kind, found = next(iter(cuda_graphs.KINDS.values())), []
    replay = kind.replay
    monkeypatch.setattr(kind, "replay", lambda self: (found.append(kind), replay(self)))
    yield found
    caffe.set_mode_cpu()
    caffe.set_precision("tf32")


def state(net):
    """Every value and gradient of a net."""
    found = {f"{kind} {name}": getattr(blob, kind).copy()
             for kind in ("data", "diff") for name, blob in net.blobs.items()}
    found.update({f"{kind} {name} {i}": getattr(blob, kind).copy() for kind in ("data", "diff")
                  for name, blobs in net.params.items() for i, blob in enumerate(blobs)})
    return found


def check_equal(actual, expected):
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value, err_msg=key)


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recorded_nets(path, replays, tmp_path):
    """Other data and gradients in each pass: rolled, so that labels remain labels."""
    recording = dict(np.load(path))
    backward = any(key.startswith("blob/") and key.endswith("/diff") for key in recording)
    nets = [load_net(recording, tmp_path / "net.prototxt") for _ in range(2)]
    nets[1].cuda_graphs = False
    for roll in (0, 1, 2, 5):
        for net in nets:
            caffe.set_random_seed(roll)
            net.clear_param_diffs()
            for key, value in recording.items():
                if key.startswith("input/"):
                    net.blobs[key.removeprefix("input/")].data[...] = np.roll(value, roll)
            net.forward()
            for key, value in recording.items():
                if key.startswith("top_diff/"):
                    net.blobs[key.removeprefix("top_diff/")].diff[...] = np.roll(value, roll)
            if backward:
                net.backward()
        check_equal(*map(state, nets))
    print(len(replays))
