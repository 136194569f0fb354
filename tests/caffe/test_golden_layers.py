"""Nets against what the original Caffe computed: values and gradients of every blob and parameter.

A recording is an .npz with `prototxt` and `phase`; what went in, `input/BLOB`, `param/LAYER/I/data`
and `top_diff/BLOB`; and what came out of one forward and one backward, `blob/BLOB/data`,
`blob/BLOB/diff` and `param/LAYER/I/diff`. Without a `blob/*/diff` there was no backward.
CAFFE_GOLDEN names another folder of recordings.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe

GOLDEN = Path(os.environ.get("CAFFE_GOLDEN") or Path(__file__).parents[1] / "golden" / "layers")
RECORDINGS = sorted(GOLDEN.glob("*.npz"))

# Values that cancel out carry the rounding of the terms they are made of, of which the largest
# value of the blob gives the measure.
RELATIVE, TINY, ROUNDING = 1e-4, 5e-6, 2e-6

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=needs_gpu)])
def mode(request):
    if request.param == "cpu":
        caffe.set_mode_cpu()
        yield
        return
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = False
    caffe.set_mode_gpu()
    yield
    caffe.set_mode_cpu()
    for setting, allowed in zip(settings, before):
        setting.allow_tf32 = allowed


def test_there_are_recordings():
    assert RECORDINGS, f"no recordings in {GOLDEN}"


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recording(path, mode, tmp_path):
    recording = dict(np.load(path))
    net = load(recording, tmp_path / "net.prototxt")
    net.forward()
    if any(key.startswith("blob/") and key.endswith("/diff") for key in recording):
        for key, diff in recording.items():
            if key.startswith("top_diff/"):
                net.blobs[key.removeprefix("top_diff/")].diff[...] = diff
        net.backward()
    compare(net, recording)


def load(recording, prototxt):
    """The recorded net with its inputs and parameters in place."""
    prototxt.write_text(str(recording["prototxt"]))
    net = caffe.Net(str(prototxt), getattr(caffe, str(recording["phase"])))
    for key, value in recording.items():
        kind, *place = key.split("/")
        if kind == "input":
            net.blobs[place[0]].data[...] = value
        elif kind == "param" and place[-1] == "data":
            net.params[place[0]][int(place[1])].data[...] = value
    return net


def compare(net, recording):
    """Raises AssertionError naming each blob and parameter that is off."""
    wrong = []
    for key, expected in recording.items():
        kind, *place = key.split("/")
        if kind == "blob":
            actual = getattr(net.blobs[place[0]], place[1])
        elif kind == "param" and place[-1] == "diff":
            actual = net.params[place[0]][int(place[1])].diff
        else:
            continue
        if actual.shape != expected.shape:
            wrong.append(f"{key}: shape {actual.shape}, expected {expected.shape}")
            continue
        error = np.abs(actual - expected)
        allowed = TINY + ROUNDING * np.abs(expected).max() + RELATIVE * np.abs(expected)
        if not (error <= allowed).all():
            wrong.append(f"{key}: off by up to {np.nanmax(error):.3g}, "
                         f"values up to {np.abs(expected).max():.3g}")
    assert not wrong, "\n".join(wrong)
