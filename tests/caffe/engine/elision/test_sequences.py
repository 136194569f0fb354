"""Random sequences of what a user can do with a net: with padding elision, and with recorded
passes too, everything that can be read is what the model of Caffe says, or there is an error that
names the remedy."""

import numpy as np
import pytest

import caffe
from caffe.engine.layers.convolution import Deconvolution
from caffe.engine.runners import recorded
from graph_stand_in import GraphStandIn
from model_player import Case, draw_actions, played
from trunks import INCEPTION, RESIDUAL, conv, image, layer, pool, reader

pytestmark = pytest.mark.usefixtures("cheap_copies", "double")

SIZES = (12, 9), (9, 14), (6, 6)
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


def play(trunk, seeds, count=12, without=()):
    """Play with the net; returns how many times rows were left out."""
    lines = ["force_backward: true", *(image(*SIZES[0]) + TRUNKS[trunk]).splitlines()]
    shapes = {"data": [(1, 2, *size) for size in SIZES]}
    _, elided = played(
        Case(lines, {"data": ("normal",)}, shapes, caffe.TEST, len(SIZES), None,
             draw_actions(np.random.default_rng(seed), count, without), seed) for seed in seeds)
    return elided


@pytest.fixture
def record_every_pass(monkeypatch):
    """Every whole pass on a CPU is recorded, and replayed."""
    monkeypatch.setattr(recorded, "GRAPHS", {"cpu": GraphStandIn})
    monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look


@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_elision_all_is_as_without(trunk):
    assert play(trunk, range(12)) == 12


@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_recorded_passes_all_is_as_without(record_every_pass, trunk):
    before = GraphStandIn.replays
    assert play(trunk, range(8), without={"hold"}) == 8
    assert GraphStandIn.replays > before


@pytest.mark.slow
@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_elision_all_is_as_without_thousands_of_times(trunk):
    play(trunk, range(1000, 1500), 25)


@pytest.mark.slow
@pytest.mark.parametrize("trunk", TRUNKS)
def test_with_recorded_passes_all_is_as_without_hundreds_of_times(record_every_pass, trunk):
    play(trunk, range(1000, 1100), 25, {"hold"})
