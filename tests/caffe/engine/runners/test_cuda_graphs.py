"""Passes that are recorded and replayed: on a GPU, and on a CPU with a stand-in for CUDA graphs."""

import functools
import inspect
import logging
import os
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, call

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.layers import base, registry
from caffe.engine.layers.convolution import Convolution, Deconvolution
from caffe.engine.layers.inner_product import InnerProduct
from caffe.engine.layers.loss import SoftmaxWithLoss
from caffe.engine.runners import cuda_graphs, recorded, recording, repeatable
from caffe.errors import LayerError
from fcn import nets
from fcn.nets.source import voc
from golden_runs import NETS, load_net
from graph_stand_in import GraphStandIn

SIZES = [(20, 28), (28, 20), (20, 28), (24, 24), (28, 20)]
RATE = 'base_lr: 1e-5 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 '
TOLERANCE = {"stand_in": 0, "gpu": 1e-4}        # of the largest value; a GPU sums in any order

CHAIN = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param {
  num_output: 4 weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "t" top: "loss" }
"""

PADDED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 12 dim: 12 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param {
  num_output: 16 kernel_size: 3 pad: 40 weight_filler { type: "gaussian" } } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param {
  num_output: 2 kernel_size: 3 weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "Reduction" bottom: "b" top: "loss" loss_weight: 1 }"""


@pytest.fixture(params=["stand_in", pytest.param("gpu", marks=pytest.mark.gpu)])
def where(request):
    return request.param


@pytest.fixture
def replays(where, monkeypatch):
    """Passes are recorded; a list with an entry for each replay."""
    if where == "stand_in":
        monkeypatch.setattr(recorded, "GRAPHS", {"cpu": GraphStandIn})
        monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look
    else:
        caffe.set_precision("fp32")
        caffe.set_mode_gpu()
    kind, found = next(iter(recorded.GRAPHS.values())), []
    replay = kind.replay
    monkeypatch.setattr(kind, "replay",
                        lambda self, *after: (found.append(kind), replay(self, *after)))
    yield found
    caffe.set_mode_cpu()
    caffe.set_precision("tf32")


@pytest.fixture
def check(where):
    """check(net, other): that every value and gradient of both is the same."""
    def same(*nets):
        actual, expected = map(state, nets)
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            limit = TOLERANCE[where] * np.abs(value).max(initial=0)
            np.testing.assert_allclose(actual[key], value, rtol=0, atol=limit, err_msg=key)
    return same


def state(net):
    found = {f"{kind} {name}": getattr(blob, kind).copy()
             for kind in ("data", "diff") for name, blob in net.blobs.items()}
    found.update({f"{kind} {name} {i}": getattr(blob, kind).copy() for kind in ("data", "diff")
                  for name, blobs in net.params.items() for i, blob in enumerate(blobs)})
    return found


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recorded_nets(path, replays, check, tmp_path):
    """Other data and gradients in each pass: rolled, so that labels remain labels."""
    recording = dict(np.load(path))
    backward = any(key.startswith("blob/") and key.endswith("/diff") for key in recording)
    both = [load_net(recording, tmp_path / "net.prototxt") for _ in range(2)]
    both[1].cuda_graphs = False
    for roll in (0, 1, 2, 5):
        for net in both:
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
        check(*both)
    assert replays


class Samples(caffe.Layer):
    """Images and labels of various sizes, the same in every run."""

    def setup(self, bottom, top):
        self.number = 0

    def reshape(self, bottom, top):
        height, width = SIZES[self.number % len(SIZES)]
        top[0].reshape(1, 3, height, width)
        top[1].reshape(1, 1, height, width)

    def forward(self, bottom, top):
        rng = np.random.default_rng(self.number)
        top[0].data[...] = rng.normal(scale=50, size=top[0].shape)
        top[1].data[...] = rng.integers(21, size=top[1].shape)
        self.number += 1


@pytest.fixture
def solver(monkeypatch, tmp_path):
    """solver(lines): that of a narrow FCN-8s, which gets the Samples."""
    monkeypatch.setitem(sys.modules, "voc_layers", SimpleNamespace(SBDDSegDataLayer=Samples))

    def build(lines=RATE, record=True):
        net = nets.write_prototxt(tmp_path / "train.prototxt", nets.fcn(
            "fcn8s", "train", source=voc(tmp_path, 21), width=1 / 64, filler="msra"))
        path = tmp_path / "solver.prototxt"
        path.write_text(f'train_net: "{net}" random_seed: 3 {lines}')
        made = caffe.get_solver(str(path))
        made.net.cuda_graphs = record
        return made
    return build


@pytest.mark.parametrize("lines", [RATE, RATE + "iter_size: 3", RATE + "clip_gradients: 1",
                                   RATE + 'momentum2: 0.99 type: "Adam"'])
def test_training_over_various_sizes(solver, replays, check, where, lines):
    both = []
    for record in (True, False):
        made = solver(lines, record)
        made.step(8)
        both.append(made)
        if where == "gpu":      # dropout draws from a generator of the GPU
            assert np.isfinite(made.smoothed_loss)
    recorded, plain = both
    passes = 8 * recorded.param.iter_size
    assert len(replays) == 2 * (passes - 3)     # all but the first of each of three sizes
    assert recorded.net.elided_layers and plain.net.elided_layers
    if where == "stand_in":
        assert recorded.smoothed_loss == plain.smoothed_loss
        check(recorded.net, plain.net)


def test_gradients_add_up_over_passes(net, replays, check):
    made, plain = net(CHAIN, phase=caffe.TRAIN), net(CHAIN, phase=caffe.TRAIN)
    plain.cuda_graphs = False
    plain.share_with(made)
    for number in range(5):
        for each in (made, plain):
            if number in (0, 2):
                each.clear_param_diffs()
            each.forward(x=np.full((2, 3), number), t=[1, number % 4])
            each.backward()
        check(made, plain)
    assert len(replays) == 8


@pytest.mark.parametrize("bottoms, top", [("fc", "y"), ("fc", "fc"), ("fc given", "y")])
def test_gradients_that_replace_those_of_the_pass_before(net, replays, check, bottoms, top):
    """Of a Scale of a batch of 1, and of a Parameter layer."""
    text = (CHAIN.partition('layer { name: "loss"')[0].replace("dim: 2", "dim: 1")
            + 'layer { name: "given" type: "Parameter" top: "given" '
            'parameter_param { shape { dim: 1 dim: 4 } } } layer { name: "scale" type: "Scale" '
            + "".join(f'bottom: "{name}" ' for name in bottoms.split())
            + f'top: "{top}" scale_param {{ axis: {len(bottoms.split()) % 2} }} }} '
            f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{top}" bottom: "t" '
            'top: "loss" }')
    made, plain = net(text, phase=caffe.TRAIN), net(text, phase=caffe.TRAIN)
    plain.cuda_graphs = False
    plain.share_with(made)
    made.params["given"][0].data[...] = 2
    for number in range(5):
        for each in (made, plain):
            each.blobs["x"].data[...], each.blobs["t"].data[...] = number, number % 4
            each.run_forward()
            each.run_backward()
        check(made, plain)
    assert len(replays) == 8


def test_a_bottom_that_is_overwritten_through_another_blob(net, replays, check):
    """As in Caffe, the gradient of "b" is that of the values that ReLU has left."""
    text = ("force_backward: true\n" + CHAIN.partition('layer { name: "t"')[0]
            + "".join(f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" '
                      f'top: "{name}" inner_product_param {{ num_output: 4 '
                      'weight_filler { type: "gaussian" } } }\n' for name, bottom in ("ax", "ba"))
            + 'layer { name: "f" type: "Flatten" bottom: "a" top: "f" }\n'
            'layer { name: "relu" type: "ReLU" bottom: "f" top: "f" }\n'
            'layer { name: "c" type: "Power" bottom: "f" top: "c" }')
    made, plain = net(text), net(text)
    plain.cuda_graphs = False
    plain.share_with(made)
    for number in range(4):
        for each in (made, plain):
            each.clear_param_diffs()
            each.blobs["x"].data[...] = np.random.default_rng(number).normal(size=(2, 3))
            each.run_forward()
            each.blobs["b"].diff[...] = each.blobs["c"].diff[...] = 1
            each.run_backward()
        check(made, plain)
    assert len(replays) == 6


SCALED = CHAIN.replace('layer { name: "loss"', 'layer { name: "scale" type: "Scale" bottom: "fc" '
                       'top: "fc" scale_param { bias_term: true } }\nlayer { name: "loss"')


@pytest.mark.parametrize("second", [1, 2])
def test_a_second_backward_pass_of_a_forward_pass_is_not_recorded(net, replays, check, second):
    """A Scale in place, as in Caffe, then has other values: `second` is the forward pass after
    which there are two, whose first is the one before, or the first that is recorded."""
    made, plain = net(SCALED, phase=caffe.TRAIN), net(SCALED, phase=caffe.TRAIN)
    plain.cuda_graphs = False
    plain.share_with(made)
    for number in range(5):
        for each in (made, plain):
            each.clear_param_diffs()
            each.blobs["x"].data[...], each.blobs["t"].data[...] = number, number % 4
            each.run_forward()
            for _ in range(0 if not number else 2 if number == second else 1):
                each.run_backward()
        check(made, plain)
    assert len(replays) == 4 + 3


def test_a_second_backward_pass_after_a_replayed_one(net, replays, check):
    """Where the first would have changed what a layer keeps, an error says what to do; elsewhere
    it is as without recordings."""
    for text in (CHAIN, SCALED):
        made, plain = net(text, phase=caffe.TRAIN), net(text, phase=caffe.TRAIN)
        plain.cuda_graphs = False
        plain.share_with(made)
        for number in range(5):
            for each in (made, plain):
                each.clear_param_diffs()
                each.forward(x=np.full((2, 3), number), t=[1, 3])
                each.backward()
            check(made, plain)
        if text is SCALED:
            for start in (None, "scale"):
                with pytest.raises(LayerError, match=r"layer 'scale'.*another forward pass first.*"
                                                     r"net.cuda_graphs = False"):
                    made.backward(start=start)
            for each in (made, plain):
                each.clear_param_diffs()
                each.forward(start="fc")
                each.backward()
        for each in (made, plain):
            each.backward()
        check(made, plain)


def test_the_first_backward_pass_runs_as_it_is(net, replays, check):
    both = net(CHAIN, phase=caffe.TRAIN), net(CHAIN, phase=caffe.TRAIN)
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    for number, backward in enumerate((False, False, True, True)):
        for each in both:
            each.clear_param_diffs()
            each.forward(x=np.full((2, 3), number), t=[1, 3])
            if backward:
                each.backward()
        check(*both)
    assert len(replays) == 3 + 1


def test_weights_from_elsewhere(net, replays, check, tmp_path):
    made, plain, other = (net(CHAIN, phase=caffe.TRAIN) for _ in range(3))
    plain.cuda_graphs = False
    other.save(str(tmp_path / "other.caffemodel"))

    def run():
        for each in (made, plain):
            each.clear_param_diffs()
            each.forward(x=np.arange(6).reshape(2, 3), t=[1, 3])
            each.backward()
        check(made, plain)
    plain.share_with(made)
    for _ in range(3):
        run()
    for change in (lambda: made.copy_from(str(tmp_path / "other.caffemodel")),
                   lambda: made.params["fc"][0].data.fill(0.5),
                   lambda: made.params["fc"][0].set_data(torch.ones(4, 3))):
        change()
        run()
        run()
    assert len(replays) == 16


def test_backward_in_part_after_a_replay(net, replays, check):
    both = net("force_backward: true " + CHAIN), net("force_backward: true " + CHAIN)
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    for number in range(3):
        for each in both:
            each.clear_param_diffs()
            each.forward(x=np.full((2, 3), number), t=[0, 2])
            each.backward(start="loss", end="loss")
            each.backward(start="fc")
            each.forward(start="loss")
        check(*both)
    assert len(replays) == 2


def test_data_that_somebody_may_write_to_at_any_time(net, replays, check):
    both = net(CHAIN), net(CHAIN)
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    views = [each.blobs["x"].data for each in both]
    for number in range(4):
        for each, view in zip(both, views):
            view[...] = number
            each.blobs["x"].data[0] += 1    # as a GPU's are shown what is written
            each.forward()
        check(*both)
    assert not replays


def test_a_gradient_that_no_pass_computes_stays(net, replays):
    made = net(CHAIN.replace('bottom: "x" top: "fc"',
                             'bottom: "x" top: "fc" param { lr_mult: 0 } param { lr_mult: 1 }'),
               phase=caffe.TRAIN)
    made.params["fc"][0].diff[...] = 3
    for _ in range(3):
        made.forward(x=np.ones((2, 3)), t=[1, 3])
        made.backward()
    assert (made.params["fc"][0].diff == 3).all() and len(replays) == 4


def test_a_gradient_that_somebody_wrote_at_an_output_of_a_padded_trunk_stays(net, replays):
    """No layer passes it down, for there is no loss above."""
    made = net(PADDED + 'layer { name: "relu" type: "ReLU" bottom: "b" top: "seen" }')
    for number in range(4):
        made.run_forward()
        assert "relu" in made.elided_layers
        made.blobs["seen"].diff[...] = number
        made.run_backward()
    assert replays
    assert (made.blobs["seen"].diff == 3).all()


def test_the_gradient_of_a_bottom_that_gives_its_shape_alone_stays(net, replays, check):
    """Split adds it to that of its other branch."""
    text = "force_backward: true\n" + PADDED.replace("pad: 40", "pad: 1") + (
        'layer { name: "c" type: "Crop" bottom: "a" bottom: "b" top: "c" }'
        'layer { name: "d" type: "Power" bottom: "b" top: "d" }')
    made, plain = net(text), net(text)
    plain.cuda_graphs = False
    plain.share_with(made)
    for number, width in enumerate([10, 10, 10, 12, 10]):     # it is elsewhere after the larger one
        for each in (made, plain):
            each.blobs["x"].reshape(1, 1, 12, width)
            each.clear_param_diffs()
            each.run_forward()
            for name, blob in each.blobs.items():
                if not each.blob_loss_weights[name]:
                    blob.diff[...] = number + 1
            each.run_backward()
        check(made, plain)
    assert replays


def test_data_that_are_overwritten_through_another_blob_below_a_padded_trunk(
        net, replays, check):
    """As in Caffe, the gradient of the weights of "a" is that of the values that ReLU has left."""
    text = PADDED + ('layer { name: "f" type: "Flatten" bottom: "x" top: "f" }\n'
                     'layer { name: "relu" type: "ReLU" bottom: "f" top: "f" }')
    made, plain = net(text), net(text)
    plain.cuda_graphs = plain.elide_padding = False
    plain.share_with(made)
    for number in range(4):
        for each in (made, plain):
            each.clear_param_diffs()
            each.blobs["x"].data[...] = np.random.default_rng(number).normal(size=(1, 1, 12, 12))
            each.run_forward()
            each.run_backward()
        assert "a" in made.elided_layers
        np.testing.assert_allclose(made.params["a"][0].diff, plain.params["a"][0].diff, rtol=1e-3,
                                   atol=1e-4 * abs(plain.params["a"][0].diff).max())
    assert replays


def test_arrays_in_memory(net, replays, check):
    text = """
layer { name: "x" type: "MemoryData" top: "x" top: "t" memory_data_param {
  batch_size: 2 channels: 3 height: 1 width: 1 } }
""" + CHAIN[CHAIN.index('layer { name: "fc"'):]
    both = net(text), net(text)
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    for number in range(3):
        arrays = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1) - number
        for each in both:
            each.set_input_arrays(arrays, np.ones(4, np.float32))
        for _ in range(3):
            for each in both:
                each.forward()
            check(*both)
    assert len(replays) == 8


def test_max_pooling_that_looks_at_indices_is_not_recorded(net, replays, check, caplog):
    text = """force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "pool" type: "Pooling" bottom: "x" top: "y" top: "places"
  pooling_param { kernel_size: 2 stride: 2 } }"""
    made, plain = net(text), net(text)
    plain.cuda_graphs = False
    for number in range(4):
        for each in (made, plain):
            each.blobs["x"].data[...] = np.random.default_rng(number).normal(size=(1, 1, 4, 4))
            each.run_forward()
            each.blobs["y"].diff[...] = number
            each.run_backward()
        check(made, plain)
    assert not replays and "without CUDA graphs" not in caplog.text


def test_what_is_set_between_forward_and_backward(net, replays):
    """A backward pass is replayed for the size of the forward pass alone."""
    made = net(CHAIN)
    for _ in range(2):
        made.forward(x=np.ones((2, 3)), t=[0, 3])
        made.backward()
    before = len(replays)
    made.elide_padding = False
    made.backward()
    assert made.elide_padding is False and len(replays) == before
    made.forward(x=np.ones((2, 3)), t=[0, 3])
    made.blobs["x"].reshape(1, 3)
    with pytest.raises(LayerError, match="reshaped"):
        made.backward()


def test_backward_again_after_values_were_written(net, replays, check):
    """Into a blob that was filled for that: both passes go by what was written."""
    both = net(PADDED, phase=caffe.TRAIN), net(PADDED, phase=caffe.TRAIN)
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    for number in range(3):
        for each in both:
            each.forward(x=np.full((1, 1, 12, 12), number))
            each.backward()
    assert both[0].elided_layers and len(replays) == 4
    for each in both:
        each.blobs["a"].data[...] = 1
        each.backward()
        each.backward()
        assert not each.elided_layers
    check(*both)


def test_who_looked_at_what_was_overwritten_in_place(net, replays):
    """Once, which is no reason not to replay, nor to elide, in later passes."""
    made = net(PADDED.replace('layer { name: "loss"', """
layer { name: "drop" type: "Dropout" bottom: "b" top: "b" }
layer { name: "loss\""""), phase=caffe.TRAIN)
    for _ in range(4):
        made.forward()
        made.backward()
        made.blobs["b"].data
    assert made.elided_layers and len(replays) == 6


def test_a_loss_that_data_have(net, replays):
    made = net(CHAIN + """
layer { name: "one" type: "DummyData" top: "one" loss_weight: 3 dummy_data_param {
  shape { dim: 2 } data_filler { value: 1 } } }""")
    for _ in range(3):
        made.blobs["x"].data[...], made.blobs["t"].data[...] = 1, 2
        loss = made.run_forward()
        assert float(loss) == pytest.approx(made.blobs["loss"].data + 6)
    assert len(replays) == 2


def test_labels_are_looked_at_before_each_replay(net, replays):
    made = net(CHAIN)
    for _ in range(3):
        made.forward(x=np.ones((2, 3)), t=[0, 3])
    before = made.blobs["loss"].data.copy()
    with pytest.raises(LayerError, match=r"layer 'loss'.*bottoms 'fc' .*label 4 is outside"):
        made.forward(x=np.zeros((2, 3)), t=[0, 4])
    assert made.blobs["loss"].data == before and len(replays) == 2
    assert made.forward(x=np.ones((2, 3)), t=[0, 3])["loss"] == before


def test_a_first_pass_that_failed_does_not_count(net, replays):
    made = net(CHAIN)
    with pytest.raises(LayerError, match="label 4"):
        made.forward(x=np.ones((2, 3)), t=[0, 4])
    for count in range(3):
        made.forward(x=np.ones((2, 3)), t=[0, 3])
        assert len(replays) == count


def test_a_label_for_several_is_looked_at_where_it_came(net, replays):
    made = net(CHAIN + """
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "t" top: "accuracy" }""")
    for _ in range(3):
        made.forward(x=np.ones((2, 3)), t=[0, 3])
    assert len(replays) == 2
    with pytest.raises(LayerError, match="label 9"):
        made.forward(x=np.ones((2, 3)), t=[9, 3])


def test_labels_on_the_device_are_looked_at_before_a_pass_is_recorded(net, replays, monkeypatch):
    made, found, check = net(CHAIN.replace(
        'type: "Input" top: "t" input_param { shape { dim: 2 } }',
        'type: "DummyData" top: "t" dummy_data_param { shape { dim: 2 } data_filler { value: 1 } }')
    ), [], SoftmaxWithLoss.validate
    monkeypatch.setattr(SoftmaxWithLoss, "validate",
                        lambda self, bottom: (found.append(bottom), check(self, bottom)))
    for number in range(3):
        made.forward(x=np.full((2, 3), number))
    assert len(found) == 3 and len(replays) == 2


def test_a_label_is_looked_at_as_the_layer_sees_it(net, replays):
    """Nothing is recorded if it is computed before."""
    made = net(CHAIN.replace('layer { name: "fc"', """
layer { name: "from_0" type: "Power" bottom: "t" top: "t" power_param { shift: -1 } }
layer { name: "fc\""""))
    for _ in range(3):
        made.forward(x=np.ones((2, 3)), t=[1, 4])
    with pytest.raises(LayerError, match="label 4"):
        made.forward(x=np.ones((2, 3)), t=[1, 5])
    assert not replays


def test_a_label_is_held_against_the_classes_of_the_data(net, replays):
    made = net("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }
layer { name: "y" type: "AbsVal" bottom: "x" top: "y" }
layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "y" bottom: "t" top: "loss" }""")
    for classes in (3, 5, 3, 5, 3, 5):
        made.blobs["x"].reshape(2, classes)
        made.forward(x=np.ones((2, classes)), t=[0, classes - 1])
    made.blobs["x"].reshape(2, 3)
    with pytest.raises(LayerError, match="label 4 "):
        made.forward(x=np.ones((2, 3)), t=[0, 4])
    assert len(replays) == 4


def test_labels_are_looked_at_once_in_a_pass(net, replays, monkeypatch):
    """Not while it is recorded: those that a GPU made would be waited for."""
    made, looks = net(CHAIN), []
    monkeypatch.setattr(made.layer_dict["loss"], "validate", looks.append)
    for _ in range(3):
        made.forward(x=np.ones((2, 3)), t=[0, 3])
    assert len(looks) == 3 and len(replays) == 2


class Python(caffe.Layer):
    """Twice the bottom."""

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff


@pytest.mark.parametrize("layer", [
    'type: "Python" bottom: "fc" python_param { module: "layers_of_mine" layer: "Python" }',
    'type: "Filter" bottom: "fc" bottom: "t"',
    'type: "BatchReindex" bottom: "fc" bottom: "code" '])
def test_what_cannot_be_recorded_runs_as_it_is(net, replays, check, monkeypatch, layer):
    monkeypatch.setitem(sys.modules, "layers_of_mine", SimpleNamespace(Python=Python))
    text = CHAIN + f"""
layer {{ name: "code" type: "Power" bottom: "t" top: "code" power_param {{ scale: 0.5 }} }}
layer {{ name: "layer" top: "y" {layer} }}"""
    both = net(text), net(text)
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    for number in range(3):
        for each in both:
            each.forward(x=np.full((2, 3), number), t=[2, number])
        check(*both)
    assert not replays


@pytest.mark.parametrize("joint", ["Slice", "Concat"])
def test_a_gradient_that_somebody_wrote_below_a_joint_of_one_blob(net, replays, check, joint):
    """It has the memory of its top's until the Flatten above takes that away, and keeps it then."""
    text = f"""
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: [2, 3, 2] }} }} }}
layer {{ name: "y" type: "Power" bottom: "x" top: "y" power_param {{ scale: 2 }} loss_weight: 1 }}
layer {{ name: "joint" type: "{joint}" bottom: "y" top: "joint" }}
layer {{ name: "flat" type: "Flatten" bottom: "joint" top: "flat" }}"""
    both = net(text), net(text)
    both[1].cuda_graphs = False
    for number in range(4):
        for each in both:
            each.forward(x=np.full((2, 3, 2), number))
            for place, (name, blob) in enumerate(each.blobs.items()):
                if not each.blob_loss_weights[name]:
                    blob.diff[...] = 10 * number + place
            each.backward()
        check(*both)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_what_turns_out_to_wait_runs_as_it_is(net, replays, check, monkeypatch, caplog, phase):
    @registry.register("Halved")
    class Halved(base.TensorLayer):
        recordable = True

        def compute(self, x):
            return x / 2 if x.sum().item() else x
    text = CHAIN + 'layer { name: "half" type: "Halved" bottom: "fc" top: "half" }'
    try:
        both = net(text, phase=phase), net(text, phase=phase)
    finally:
        del registry.known["Halved"]
    both[1].cuda_graphs = False
    both[1].share_with(both[0])
    with caplog.at_level(logging.INFO):
        for number in range(4):
            for each in both:
                each.clear_param_diffs()
                each.forward(x=np.full((2, 3), number), t=[2, 1])
                each.backward()
            check(*both)
    assert not replays
    told = [record.message for record in caplog.records if "CUDA graphs" in record.message]
    assert len(told) == 1 and "net.prototxt: without CUDA graphs: " in told[0]
    other = net(CHAIN)
    for _ in range(3):
        other.forward(x=np.ones((2, 3)), t=[0, 3])
    assert len(replays) == 2    # that one could not be recorded spoils nothing for another


def test_layers_of_others_say_whether_they_can_be_recorded(net, replays, monkeypatch):
    class Counts(base.TensorLayer):
        number = 0

        def compute(self, x):
            self.number += 1
            return x * 0 + self.number

    class Twice(base.TensorLayer):
        recordable = True

        def compute(self, x):
            return 2 * x
    for kind, expected in ((Counts, [1, 2, 3]), (Twice, [0, 2, 4])):
        monkeypatch.setitem(registry.known, "Mine", kind)
        made = net(CHAIN + 'layer { name: "mine" type: "Mine" bottom: "x" top: "mine" }')
        found = [made.forward(x=np.full((2, 3), number), t=[0, 3])["mine"][0, 0]
                 for number in range(3)]
        assert found == expected and len(replays) == (2 if kind is Twice else 0)


def test_without_room_passes_run_as_they_are(net, replays, monkeypatch):
    kind = next(iter(recorded.GRAPHS.values()))
    monkeypatch.setattr(kind, "has_room", lambda _: False)
    made = net(CHAIN)
    losses = [made.forward(x=np.ones((2, 3)), t=[0, 3])["loss"].item() for _ in range(3)]
    assert len(set(losses)) == 1 and not replays


@pytest.mark.parametrize("refused, told", [
    ((2, 2), False),        # while a pass is recorded
    ((3, 2), True),         # when it is held against the pass itself
    ((1, 5), True)])        # in the first pass of another size
def test_where_memory_suffices_for_a_pass_but_not_beside_recordings(
        net, replays, check, monkeypatch, caplog, refused, told):
    """The pass with a number, over a batch of some size, fails; nobody is to notice."""
    monkeypatch.setattr(logging.getLogger("caffe"), "propagate", True)
    compute, seen = InnerProduct.compute, []

    def short_of_memory(self, x):
        seen.append(len(x))
        if (seen.count(len(x)), len(x)) == refused and made.cuda_graphs:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return compute(self, x)
    drop = 'layer { name: "drop" type: "Dropout" bottom: "fc" top: "drop" }\n'
    text = CHAIN.replace('layer { name: "loss"', drop + 'layer { name: "loss"').replace(
        'bottom: "fc" bottom: "t"', 'bottom: "drop" bottom: "t"')
    made, plain = net(text, phase=caffe.TRAIN), net(text, phase=caffe.TRAIN)
    plain.cuda_graphs = False
    plain.share_with(made)
    for number, batch in enumerate((2, 2, 2, 5, 5, 2)):
        for each in (made, plain):
            monkeypatch.setattr(InnerProduct, "compute",
                                short_of_memory if each is made else compute)
            for name, shape in (("x", (batch, 3)), ("t", (batch,))):
                each.blobs[name].reshape(*shape)
            each.clear_param_diffs()
            caffe.set_random_seed(number)
            each.forward(x=np.full((batch, 3), number), t=[number % 4] * batch)
            each.backward()
        check(made, plain)
    assert ("suffices for a pass, but not for what is recorded beside it" in caplog.text) == told
    assert bool(replays) == (refused[1] == 5)


def test_a_net_with_recorded_passes_goes_when_nobody_holds_it(net, replays):
    made = net(CHAIN)
    for _ in range(3):
        made.forward(x=np.ones((2, 3)), t=[0, 3])
    found = weakref.ref(made), weakref.ref(made.blobs["fc"])
    del made
    assert [reference() for reference in found] == [None, None]


@pytest.mark.parametrize("layers", [
    'layer { name: "n" type: "BatchNorm" bottom: "x" top: "x" }',
    'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 1 } } }\n'
    'layer { name: "n" type: "Power" bottom: "p" top: "p" power_param { shift: 1 } }'])
def test_what_a_pass_changes_it_changes_once_though_it_is_held_against_its_replay(
        net, replays, layers):
    made = net('layer { name: "x" type: "Input" top: "x" '
               'input_param { shape { dim: 4 dim: 2 } } }\n' + layers, phase=caffe.TRAIN)
    plain = net(Path(made.program.source).read_text(), phase=caffe.TRAIN)
    plain.cuda_graphs = False
    for number in range(4):
        for each in (made, plain):
            each.blobs["x"].data[...] = np.arange(8).reshape(4, 2) ** number
            each.forward()
        for name, blobs in plain.params.items():
            for mine, theirs in zip(made.params[name], blobs):
                np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-6)
        np.testing.assert_allclose(made.blobs["x"].data, plain.blobs["x"].data, rtol=1e-5)
    assert replays


@pytest.mark.parametrize("layer", [
    'type: "Sigmoid"', 'type: "Softmax"', 'type: "Scale" scale_param { filler { value: 2 } }'])
def test_gradients_that_a_layer_in_place_overwrites_are_overwritten_once(net, replays, check,
                                                                         layer):
    text = ("force_backward: true\n" + CHAIN.partition('layer { name: "loss"')[0].replace(
        'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }', "")
        + f'layer {{ name: "last" bottom: "fc" top: "fc" {layer} }}')
    made, plain = net(text), net(text)
    plain.cuda_graphs = False
    plain.share_with(made)
    for number in range(5):
        for each in (made, plain):
            each.clear_param_diffs()
            each.blobs["x"].data[...] = number
            each.run_forward()
            if number != 3:
                each.blobs["fc"].diff[...] = np.arange(8).reshape(2, 4)
            each.backward()
        check(made, plain)
    assert len(replays) == 8


@pytest.mark.parametrize("kind", ["forward", "backward"])
def test_a_replay_that_differs_from_the_pass_turns_graphs_off(net, replays, check, caplog,
                                                              monkeypatch, kind):
    """Say the recording of one kind of pass multiplies whatever it leaves."""
    monkeypatch.setattr(logging.getLogger("caffe"), "propagate", True)
    made, plain = net(CHAIN, phase=caffe.TRAIN), net(CHAIN, phase=caffe.TRAIN)
    plain.cuda_graphs = False
    plain.share_with(made)
    replay = recording.Recording.replay

    def spoilt(self, *after):
        loss = replay(self, *after)
        for tensor in self.made.values():
            if (kind == "backward") == (tensor.shape == (4, 3)):
                tensor.mul_(3)
        return loss
    monkeypatch.setattr(recording.Recording, "replay", spoilt)
    for number in range(4):
        for each in (made, plain):
            each.clear_param_diffs()
            each.forward(x=np.full((2, 3), number), t=[1, number % 4])
            each.backward()
        check(made, plain)
    assert len(replays) == (1 if kind == "forward" else 2)
    assert "without CUDA graphs: a replay differed from the pass itself" in caplog.text


@pytest.mark.parametrize("precision, phase, searched", [
    ("tf32", caffe.TRAIN, [True, True, False]), ("tf32", caffe.TEST, [False] * 3),
    ("fp32", caffe.TRAIN, [False] * 3)])
def test_cudnn_searches_for_the_first_sizes_of_a_net_that_learns(net, replays, monkeypatch,
                                                                 precision, phase, searched):
    made, found, compute = net("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" loss_weight: 1
  convolution_param { num_output: 1 kernel_size: 2 } }""", phase=phase), [], Convolution.compute
    monkeypatch.setattr(recorded, "SEARCHES", 2)

    def look(self, x):
        found.append((tuple(x.shape[2:]), torch.backends.cudnn.benchmark))
        return compute(self, x)
    monkeypatch.setattr(Convolution, "compute", look)
    caffe.set_precision(precision)
    for side in (4, 5, 6, 4, 5):
        made.blobs["x"].reshape(1, 1, side, side)
        made.forward()
        made.backward()
    # each of the last two is recorded, and held against the pass as it is
    assert found == [((side, side), wanted) for side, wanted in
                     zip((4, 5, 6, 4, 4, 5, 5), [*searched, *[False] * 4])]
    assert not torch.backends.cudnn.benchmark


@pytest.mark.slow
def test_all_tests_of_the_engine_pass_with_recorded_passes():
    tests = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "record_every_pass", "-m", "not slow",
         str(tests / "caffe"),
         # of CPUs alone, or about how often layers run
         "-k", "not fixed_deconvolutions and not tools_fill_in and not place_of_their_own "
               "and not memory_of_the_last_pass"],
        env={**os.environ, "PYTHONPATH": str(tests / "support")}, capture_output=True, text=True)
    assert not run.returncode, run.stdout


def test_recordings_share_a_stream_and_refuse_to_wait(monkeypatch):
    """A CudaGraph, with a stand-in for torch.cuda."""
    cuda = MagicMock()
    cuda.get_sync_debug_mode.return_value = 1
    monkeypatch.setattr(torch, "cuda", cuda)
    cuda_graphs._stream.cache_clear()
    try:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="waits"):
                with cuda_graphs.CudaGraph(torch.device("meta")).recording():
                    assert cuda.set_sync_debug_mode.call_args == call("error")
                    raise RuntimeError("waits")
            assert cuda.set_sync_debug_mode.call_args == call(1)
    finally:
        cuda_graphs._stream.cache_clear()
    cuda.Stream.assert_called_once_with(torch.device("meta"))
    graph = cuda.CUDAGraph.return_value
    assert graph.capture_begin.call_count == graph.capture_end.call_count == 2


def test_the_random_numbers_put_back_are_those_of_the_gpu_in_use(monkeypatch):
    gpu, cuda = torch.device("cuda", 1), MagicMock()
    monkeypatch.setattr(repeatable.context, "device", lambda: gpu)
    monkeypatch.setattr(torch, "cuda", cuda)
    repeatable.Repeatable(SimpleNamespace(steps=[]), []).restore()
    assert cuda.get_rng_state.call_args == call(gpu)
    assert cuda.set_rng_state.call_args == call(cuda.get_rng_state.return_value, device=gpu)


@pytest.mark.gpu
@pytest.mark.skipif("check_input_liveness" not in inspect.signature(
    torch.cuda.CUDAGraph.capture_begin).parameters, reason="this PyTorch cannot look")
def test_what_a_graph_reads_is_alive(solver, monkeypatch):
    monkeypatch.setattr(torch.cuda.CUDAGraph, "capture_begin", functools.partialmethod(
        torch.cuda.CUDAGraph.capture_begin, check_input_liveness=True))
    caffe.set_mode_gpu()
    try:
        solver(RATE + "iter_size: 2").step(12)
    finally:
        caffe.set_mode_cpu()
