"""Random sequences of what a user can do with a net: with padding elision, and with recorded
passes too, everything that can be read is what plain execution shows, or an error that says so."""

import pytest

from caffe.engine.layers.convolution import Deconvolution
from caffe.engine.runners import recorded
from graph_stand_in import GraphStandIn
from net_player import SIZES, Player
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
