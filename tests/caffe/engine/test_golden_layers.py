"""Nets against what the original Caffe computed: every value and gradient."""

import itertools
import re

import numpy as np
import pytest

import caffe
import golden_runs
from caffe.engine import precision
from caffe.engine.elision import choice
from caffe.engine.layers import pooling as pooling_layers
from caffe.engine.layers.convolution import Convolution, Deconvolution
from caffe.engine.layers.kernels import convolution, pooling, product
from caffe.engine.precision import laid_out
from golden_runs import GOLDEN, NETS, load_net, run_net

# Values that cancel out carry the rounding of the terms they are made of, of which the largest
# value of the blob gives the measure.
RELATIVE, TINY, ROUNDING = 1e-4, 5e-6, 2e-6
ROUNDING_GPU = 2e-5     # cuDNN also convolves by Winograd's and Fourier's transforms


def never(*_):
    return False


# {what is off, or without a limit: (where it stands, name, value for that)}
CHANGED = {
    "padding elision": (choice, "LEAST_SAVING", 1),
    "a limit to padding elision": (choice, "LEAST_SAVING", -9),
    "products by oneDNN": (product, "HAS_ONEDNN", False),
    "fc6 as a product": (Convolution, "_few_places", never),
    "interpolation by channels": (Deconvolution, "_is_diagonal", never),
    "pooling of many values": (pooling_layers, "suits", never),
    "a limit to products by oneDNN": (product, "LEAST", 1),
    "a limit to pooling of many values": (pooling, "LEAST", 1),
}


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def mode(request):
    if request.param == "cpu":
        caffe.set_mode_cpu()
        yield request.param
        return
    caffe.set_precision("fp32")
    caffe.set_mode_gpu()
    yield request.param
    caffe.set_mode_cpu()
    caffe.set_precision("tf32")


def test_there_are_recordings():
    assert NETS, f"no recordings in {GOLDEN}"


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recording(path, mode, tmp_path):
    check(path, tmp_path, ROUNDING if mode == "cpu" else ROUNDING_GPU)


@pytest.mark.parametrize("place, name, value", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("path", [path for path in NETS if path.stem.startswith("mini_fcn")],
                         ids=lambda path: path.stem)
def test_recording_with_an_optimisation_changed(path, place, name, value, monkeypatch, tmp_path):
    monkeypatch.setattr(place, name, value)
    check(path, tmp_path)


@pytest.mark.parametrize("path", [path for path in NETS if path.stem.startswith(
    ("mini_fcn", "conv"))], ids=lambda path: path.stem)
def test_recording_by_winograds_method(path, monkeypatch, tmp_path):
    """Of any size; other kernels than 3x3 are plain. Equal windows, of which the padding has many,
    may differ in the last bits: the gradient of max pooling goes to another of them then."""
    monkeypatch.setattr(convolution, "MEASURED", 0)
    monkeypatch.setattr(convolution, "fastest",
                        lambda task, ways: "Winograd" if "Winograd" in ways else "plain")
    has_pooling = path.stem.startswith("mini_fcn")
    check(path, tmp_path, without=re.compile("blob/.*/diff") if has_pooling else None)


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recording_with_1x1_kernels_as_matrices(path, monkeypatch, tmp_path):
    monkeypatch.setattr(convolution, "MEASURED", 0)
    monkeypatch.setattr(convolution, "fastest",
                        lambda task, ways: "product" if "product" in ways else "plain")
    check(path, tmp_path)


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recording_with_channels_last(path, monkeypatch, tmp_path):
    """Images and kernels as they lie on a GPU."""
    def load_laid_out(*args):
        net = load_net(*args)
        inputs = [net.blobs[name] for name in net.inputs]
        for blob in itertools.chain(inputs, *net.params.values()):
            blob.set_data(laid_out(blob.data_tensor))
        return net
    monkeypatch.setattr(precision, "CHANNELS_LAST", {"cpu"})
    monkeypatch.setattr(golden_runs, "load_net", load_laid_out)
    check(path, tmp_path)


def check(path, tmp_path, rounding=ROUNDING, without=None):
    wrong = []
    for key, actual, expected in run_net(path, tmp_path):
        if without and without.fullmatch(key):
            continue
        if actual.shape != expected.shape:
            wrong.append(f"{key}: shape {actual.shape}, expected {expected.shape}")
            continue
        error, largest = np.abs(actual - expected), np.abs(expected).max(initial=0)
        if not (error <= TINY + rounding * largest + RELATIVE * np.abs(expected)).all():
            wrong.append(f"{key}: off by up to {np.nanmax(error):.3g}, values up to {largest:.3g}")
    assert not wrong, "\n".join(wrong)
