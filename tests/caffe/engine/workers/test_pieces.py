"""Gradients are sent while the backward pass goes on, layer by layer or in pieces of a graph."""

import numpy as np
import pytest
import torch

import caffe
import several
from caffe.engine.runners import recorded
from caffe.engine.runners.observer import Observer
from caffe.engine.workers import reduction
from graph_stand_in import GraphStandIn

DATA = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
        shape { dim: 2 dim: 3 dim: 6 dim: 6 } shape { dim: 2 } data_filler { type: "gaussian" }
        data_filler { type: "constant" value: 3 } } }"""
LAYER = """
layer {{ name: "c{0}" type: "Convolution" bottom: "{1}" top: "c{0}" convolution_param {{ pad: 1
         num_output: {2} kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "r{0}" type: "ReLU" bottom: "c{0}" top: "c{0}" }}"""
LOSS = """
layer { name: "fc" type: "InnerProduct" bottom: "c2" top: "s" inner_product_param {
        num_output: 40 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "t" top: "l" }"""
NET = (DATA + LAYER.format(0, "x", 4) + LAYER.format(1, "c0", 4) + LAYER.format(2, "c1", 8) + LOSS)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """One of one solvers, and gradients large enough to be sent alone."""
    monkeypatch.setattr(reduction, "SMALL", 100)
    caffe.set_multiprocess(True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    caffe.set_multiprocess(False)


@pytest.fixture
def solver(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)

    def make(iter_size=1):
        path = tmp_path / "solver.prototxt"
        path.write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: '
                        f'"fixed" random_seed: 3 type: "SGD" iter_size: {iter_size}')
        return caffe.get_solver(str(path))
    return make


class Told(Observer):
    """Which layers it was told of, and the gradients that these had then."""

    def __init__(self, net, cuts=()):
        self.net, self.wanted, self.layers, self.found = net, cuts, [], {}

    @property
    def cuts(self):
        return self.wanted

    def notice(self, event, step):
        if event == "after_backward":
            self.layers.append(step.number)
            for number, layer in enumerate(self.net.layers):
                if number >= step.number and number not in self.found:
                    self.found[number] = [blob.diff_tensor.clone() for blob in layer.blobs]


def trained(solver, steps=5):
    solver.step(steps)
    return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]


def test_the_units_follow_the_backward_pass(solver):
    units = reduction.plan(solver().net.program)
    names = [[blob.name for blob in unit.blobs] for unit in units]
    # the small ones together, once the last of them is there
    assert sorted(names) == [["c0[0]"], ["c1[0]"], ["c2[0]"], ["fc[0]"],
                             ["fc[1]", "c2[1]", "c1[1]", "c0[1]"]]
    assert names[:3] == [["fc[0]"], ["c2[0]"], ["c1[0]"]]
    assert [unit.after for unit in units] == sorted((unit.after for unit in units), reverse=True)


@pytest.mark.parametrize("iter_size", [1, 3])
def test_a_replayed_pass_hands_over_its_gradients_in_pieces(solver, monkeypatch, iter_size):
    expected = trained(solver(iter_size))
    monkeypatch.setattr(recorded, "GRAPHS", {"cpu": GraphStandIn})
    replays = GraphStandIn.replays
    made = solver(iter_size)
    nccl = several.joined(made, caffe.NCCL.new_uid())
    last = len(made.net.layers) - 1
    assert len(nccl.cuts) == 2 and 0 < nccl.cuts[1] < nccl.cuts[0] < last
    told = Told(made.net)
    made.net.after_backward(told)
    found = trained(made, 4)
    assert GraphStandIn.replays > replays
    told.layers, told.found = [], {}
    made.net.clear_param_diffs()
    made.net.run_forward()
    made.net.run_backward()
    assert told.layers == [*nccl.cuts, 0]
    for number, layer in enumerate(made.net.layers):        # were whole when it was told
        for blob, seen in zip(layer.blobs, told.found[number]):
            np.testing.assert_array_equal(blob.diff, seen.numpy())
            assert np.abs(blob.diff).max() > 0
    again = solver(iter_size)
    several.joined(again, caffe.NCCL.new_uid())
    found = trained(again)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.gpu
def test_on_a_gpu_pieces_give_the_same_bits(solver, monkeypatch):
    """NCCL among one process, against passes that are replayed whole."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    caffe.set_precision("fp32")
    caffe.set_mode_gpu()
    try:
        expected = trained(solver())
        made = solver()
        nccl = several.joined(made, caffe.NCCL.new_uid())
        found = trained(made)
        assert len(nccl.cuts) == 2 and made.net.recorded.sizes == 1
        for one, other in zip(found, expected):
            np.testing.assert_array_equal(one, other)
    finally:
        caffe.set_mode_cpu()
        caffe.set_precision("tf32")


def test_nothing_is_turned_off(solver, tmp_path):
    """Padding is elided, and passes are recorded, as without a callback."""
    made = solver()
    several.joined(made, caffe.NCCL.new_uid())
    assert not made.net._observer.watches
    made.net.after_backward(lambda layer: None)
    assert made.net._observer.watches


def test_layers_are_sent_one_by_one(solver):
    made, sent = solver(iter_size=2), []
    nccl = several.joined(made, caffe.NCCL.new_uid())
    send = nccl._reduction._send
    nccl._reduction._send = lambda values: (sent.append(len(values)), send(values))

    class Watch(Observer):
        def notice(self, event, step):
            if event == "before_backward":
                sent.append(step.name)
    made.net.after_backward(Watch())
    made.step(1)
    names = [name for name in sent if isinstance(name, str)]
    assert names[:len(made.net.layers)] == names[len(made.net.layers):]
    second = sent[sent.index("loss", 1):]
    assert all(isinstance(name, str) for name in sent[:len(made.net.layers)])
    assert second[:3] == ["loss", "fc", 40 * 8 * 36]        # before the next layer runs
