"""Lower precision: of products alone, forward and backward, and only where it is chosen."""

import numpy as np
import pytest
import torch

import caffe
from caffe.engine import precision
from caffe.errors import CaffeError

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param {
  num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "t" top: "loss" }
"""


@pytest.fixture(autouse=True)
def as_before():
    caffe.set_random_seed(0)    # of weights: a ReLU near 0 may make more of rounding
    yield
    caffe.set_precision("tf32")


def run(net, name):
    caffe.set_precision(name)
    net.clear_param_diffs()
    net.forward()
    net.backward()
    return {name: array.copy() for name, array in (
        ("conv", net.blobs["conv"].data), ("loss", net.blobs["loss"].data),
        ("dw", net.params["conv"][0].diff), ("dfc", net.params["fc"][0].diff))}


def test_products_are_rounded_and_all_blobs_stay_float32(net):
    made = net(NET)
    rng = np.random.default_rng(0)
    made.blobs["x"].data[...] = rng.normal(size=(2, 3, 8, 8))
    made.blobs["t"].data[...] = 1, 3
    exact, rounded = run(made, "fp32"), run(made, "bf16")
    for name, values in exact.items():
        assert rounded[name].dtype == np.float32
        largest = np.abs(values).max()
        assert 1e-5 * largest < np.abs(rounded[name] - values).max() < 0.05 * largest, name
    again = run(made, "fp32")
    for name, values in exact.items():
        np.testing.assert_array_equal(again[name], values)


DEPLOY = NET[:NET.index('layer { name: "loss"')].replace(
    'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }', "")


def held_view(net, path, values):
    view = net.params["conv"][0].data
    yield
    view[...] = values
    yield


def new_view(net, path, values):
    yield
    net.params["conv"][0].data[...] = values
    yield


def assigned(net, path, values):
    yield
    net.params["conv"][0].reshape(*values.shape)
    net.params["conv"][0].data.flat = values.ravel()
    yield


def read_from_a_file(net, path, values):
    before = net.params["conv"][0].data.copy()
    net.params["conv"][0].data[...] = values
    net.save(path)
    net.params["conv"][0].data[...] = before
    yield
    net.copy_from(path)
    yield


@pytest.mark.parametrize("change", [held_view, new_view, assigned, read_from_a_file])
def test_weights_that_are_kept_as_factors_follow_what_is_written(net, change, tmp_path):
    """A net that learns nothing converts its weights once, until somebody writes to them."""
    caffe.set_precision("bf16")
    rng = np.random.default_rng(0)
    image, values = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(4, 3, 3, 3))
    made, fresh = net(DEPLOY), net(DEPLOY)
    for name, blobs in made.params.items():
        for blob, other in zip(blobs, fresh.params[name]):
            other.data[...] = blob.data
    fresh.params["conv"][0].data[...] = values
    made.blobs["x"].data[...] = fresh.blobs["x"].data[...] = image
    steps = change(made, str(tmp_path / "w.caffemodel"), values.astype(np.float32))
    next(steps)
    before = made.forward()["fc"].copy()
    np.testing.assert_array_equal(made.forward()["fc"], before)
    next(steps)
    np.testing.assert_array_equal(made.forward()["fc"], fresh.forward()["fc"])
    assert not np.array_equal(made.blobs["fc"].data, before)
    caffe.set_precision("fp32")
    exact = made.forward()["fc"]
    assert 0 < np.abs(exact - fresh.blobs["fc"].data).max() < 0.05 * np.abs(exact).max()


def test_a_net_that_learns_gives_the_same_in_bf16(net):
    caffe.set_precision("bf16")
    learns, deploy = net(NET), net(DEPLOY)
    deploy.share_with(learns)
    learns.blobs["x"].data[...] = deploy.blobs["x"].data[...] = np.random.default_rng(0).normal(
        size=(2, 3, 8, 8))
    for _ in range(2):
        learns.forward()
        np.testing.assert_array_equal(deploy.forward()["fc"], learns.blobs["fc"].data)
        learns.params["fc"][0].data[...] += 1


def test_interpolation_stays_float32(net):
    made = net("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
layer { name: "up" type: "Deconvolution" bottom: "x" top: "up" convolution_param {
  num_output: 2 kernel_size: 4 stride: 2 weight_filler { type: "gaussian" } } }""")
    made.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(1, 2, 3, 3))
    found = []
    for name in ("fp32", "bf16"):
        caffe.set_precision(name)
        found.append(made.forward()["up"].copy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("name, allowed", [("fp32", False), ("tf32", True)])
def test_tf32_is_torch_s_setting(name, allowed):
    caffe.set_precision(name)
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == allowed


@pytest.mark.parametrize("has, chosen", [
    ({"amx_bf16": True, "avx2": True}, "bf16"), ({"avx512_bf16": False, "avx2": True}, "tf32"),
    ({}, "tf32")])
def test_auto_is_bf16_where_the_processor_has_it(has, chosen, monkeypatch):
    monkeypatch.setattr(precision, "capabilities", lambda: has)
    caffe.set_precision("auto")
    assert precision.chosen() == chosen


@pytest.mark.parametrize("has, name, warnings", [
    ({"avx2": True}, "bf16", 1), ({"amx_bf16": True}, "bf16", 0), ({}, "bf16", 0),
    ({"avx2": True}, "fp32", 0), ({"avx2": True}, "tf32", 0), ({"avx2": True}, "auto", 0)])
def test_emulated_bf16_is_warned_of_once(has, name, warnings, net, monkeypatch, capsys):
    """By whoever computes, not when the precision is chosen: a GPU may be chosen after it."""
    precision.warn_of_emulation.cache_clear()
    monkeypatch.setattr(precision, "capabilities", lambda: has)
    made = net(DEPLOY)
    caffe.set_precision(name)
    assert "bf16" not in capsys.readouterr().err
    made.forward()
    made.forward()
    said = capsys.readouterr().err
    assert warnings == said.count(
        "precision bf16: the CPU has no instructions for it and emulates it: the numbers are those "
        "of bf16, but take many times as long as in tf32")


def test_an_unknown_precision():
    with pytest.raises(CaffeError, match="'fp16'; known are fp32, tf32, bf16 and auto"):
        caffe.set_precision("fp16")


@pytest.mark.gpu
@pytest.mark.parametrize("name, tolerance", [("fp32", 1e-4), ("tf32", 5e-3), ("bf16", 5e-2)])
def test_the_gpu_agrees_within_the_precision(net, name, tolerance):
    made = net(NET)
    made.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    exact = run(made, "fp32")
    caffe.set_mode_gpu()
    try:
        found = run(made, name)
    finally:
        caffe.set_mode_cpu()
    for key, values in exact.items():
        np.testing.assert_allclose(found[key], values, atol=tolerance * np.abs(values).max())
