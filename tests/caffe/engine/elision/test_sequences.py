"""Random sequences of what a user can do with a net: with padding elision, and with recorded
passes too, everything that can be read is what plain execution shows, or an error that says so."""

import numpy as np
import pytest

from caffe.engine.layers.convolution import Deconvolution
from caffe.engine.runners import recorded
from caffe.errors import LayerError
from graph_stand_in import GraphStandIn
from trunks import INCEPTION, RESIDUAL, conv, image, layer, pool, reader

pytestmark = pytest.mark.usefixtures("cheap_copies", "double")

SHARING = (conv("conv1", "data", 3, kernel_size=3, pad=30)
           + layer("split", "Split", "conv1", "left")[:-2].replace('top: "left"',
                                                                   'top: "left" top: "right"')
           + "}\n"
           + conv("a", "left", 2, kernel_size=3, pad=1)
           + pool("p", "right", kernel_size=2, stride=2)
           + layer("flat", "Flatten", "a")
           + layer("shape", "Reshape", "p", reshape_param="shape { dim: 1 dim: -1 }")
           + layer("sigmoid", "Sigmoid", "shape", "shape") + reader("shape"))
POOLED = (conv("conv1", "data", 2, kernel_size=3, pad=25)
          + pool("pool1", "conv1", kernel_size=2, stride=2)
          + conv("conv2", "pool1", 3, kernel_size=3, pad=1)
          + layer("skip", "Power", "pool1", power_param="scale: 0.5")
          + layer("drop", "Dropout", "conv2", "conv2")
          + conv("conv3", "conv2", 2, kernel_size=3, pad=1)
          + layer("square", "Reduction", "conv3", reduction_param="operation: SUMSQ axis: 1"))
TRUNKS = {"sharing": SHARING, "pooled": POOLED, "inception": INCEPTION,
          "residual": RESIDUAL + reader("b")}
SIZES = (12, 9), (9, 14), (6, 6)
REMEDY = "elide_padding = False"        # what errors have to name


class Player:
    """Does the same to several nets, and compares what they show."""

    def __init__(self, nets, seed):
        self.nets, self.rng = nets, np.random.default_rng(seed)
        self.log, self.held = [], []
        names = [step.name for step in nets[0].program.steps]
        self.layers, self.blobs = names, list(nets[0].blobs)

    def play(self, count):
        self.set_data()
        self.each(lambda net: net.forward())
        for _ in range(count):
            action = self.rng.choice([
                self.set_data, self.forward, self.forward, self.forward_part, self.backward,
                self.backward, self.backward_part, self.read_data, self.read_diff,
                self.write_data, self.write_diff, self.write_param, self.reshape,
                self.clear_param_diffs, self.hold, self.read_held, self.write_held])
            self.log.append(action.__name__)
            try:
                action()
            except LayerError as error:
                # the first net may refuse what it has left out; then the sequence ends
                assert REMEDY in str(error), self.log
                return
        for name in self.blobs:
            self.compare(name, "data")
        for name in self.nets[0].params:
            for i in range(len(self.nets[0].params[name])):
                self.equal([net.params[name][i].diff for net in self.nets], f"{name}/{i}")

    def each(self, action):
        for net in self.nets:
            action(net)

    def equal(self, arrays, what):
        first, *others = arrays
        for other in others:
            limit = 1e-9 * max(1, np.abs(other).max(initial=0))
            np.testing.assert_allclose(first, other, rtol=0, atol=limit,
                                       err_msg=f"{what} after {self.log}")

    def compare(self, name, kind):
        self.equal([getattr(net.blobs[name], kind) for net in self.nets], f"{kind} of {name}")

    def values(self, shape):
        return self.rng.normal(size=shape)

    def place(self, name, kind):
        values = self.values(self.nets[0].blobs[name].shape)
        for net in self.nets:
            getattr(net.blobs[name], kind)[...] = values

    def blob(self):
        return self.rng.choice(self.blobs)

    # what is done

    def set_data(self):
        self.place("data", "data")

    def forward(self):
        self.set_data()
        self.each(lambda net: net.forward())

    def forward_part(self):
        first, last = sorted(self.rng.integers(len(self.layers), size=2))
        self.each(lambda net: net.forward(start=self.layers[first], end=self.layers[last]))

    def backward(self):
        for name in self.nets[0].outputs:
            self.place(name, "diff")
        self.each(lambda net: net.backward())

    def backward_part(self):
        first, last = sorted(self.rng.integers(len(self.layers), size=2))
        self.each(lambda net: net.backward(start=self.layers[last], end=self.layers[first]))

    def read_data(self):
        self.compare(self.blob(), "data")

    def read_diff(self):
        self.compare(self.blob(), "diff")

    def write_data(self):
        self.place(self.blob(), "data")

    def write_diff(self):
        self.place(self.blob(), "diff")

    def write_param(self):
        name = self.rng.choice(list(self.nets[0].params))
        factor = self.rng.uniform(0.5, 1.5)
        for net in self.nets:
            net.params[name][0].data[...] *= factor

    def hold(self):
        name, kind = self.blob(), self.rng.choice(["data", "diff"])
        self.held.append((f"{kind} of {name}",
                          [getattr(net.blobs[name], kind) for net in self.nets]))

    def read_held(self):
        for what, views in self.held:
            self.equal(views, what)

    def write_held(self):
        for _, views in self.held[-1:]:
            values = self.values(views[0].shape)
            for view in views:
                view[...] = values

    def reshape(self):
        self.held = []
        size = SIZES[self.rng.integers(len(SIZES))]
        for net in self.nets:
            net.blobs["data"].reshape(1, 2, *size)
            net.reshape()
        self.forward()

    def clear_param_diffs(self):
        self.each(lambda net: net.clear_param_diffs())


def pair(net, trunk):
    """Two nets of equal weights, the second of which runs plainly."""
    text = "force_backward: true\n" + image(*SIZES[0]) + TRUNKS[trunk]
    made, plain = net(text), net(text)
    plain.elide_padding = plain.cuda_graphs = False
    for name, blobs in made.params.items():
        for mine, theirs in zip(plain.params[name], blobs):
            mine.data[...] = theirs.data
    return made, plain


def play(net, trunk, seeds, count=12):
    for seed in seeds:
        Player(pair(net, trunk), seed).play(count)


@pytest.fixture
def record_every_pass(monkeypatch):
    """Every whole pass on a CPU is recorded, and replayed."""
    monkeypatch.setattr(recorded, "KINDS", {"cpu": GraphStandIn})
    monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look


@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_elision_all_is_as_without(net, trunk):
    play(net, trunk, range(20))


@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_recorded_passes_all_is_as_without(net, record_every_pass, trunk):
    play(net, trunk, range(12))


@pytest.mark.slow
@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_elision_all_is_as_without_thousands_of_times(net, trunk):
    play(net, trunk, range(1000, 1500), 25)


@pytest.mark.slow
@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_recorded_passes_all_is_as_without_hundreds_of_times(net, record_every_pass, trunk):
    play(net, trunk, range(1000, 1100), 25)
