"""Random nets: valid ones have the shapes that formulas give, others the project's own error;
whatever somebody does with one, elided padding and recorded passes show what plain execution does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import caffe
from caffe.engine.elision import choice
from caffe.engine.layers.convolution import Deconvolution
from caffe.engine.runners import recorded
from caffe.log import silence
from graph_stand_in import GraphStandIn
from net_player import REMEDIES, Player
from random_nets import RandomNet

SETTINGS = settings(max_examples=40, deadline=None, database=None, derandomize=False,
                    suppress_health_check=list(HealthCheck), print_blob=True)
SEED = int(os.environ.get("FUZZ_SEED", 0))
Shape = tuple[int, ...]


def build(text: str) -> caffe.Net:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), caffe.TEST)


@st.composite
def layers(draw: st.DrawFn, number: int, shape: Shape) -> tuple[str, Shape]:
    """The text of a layer on a blob of `shape`, and the shape of its top by the formulas of the
    layer catalogue."""
    name, below = f"b{number + 1}", f"b{number}"
    n, c, h, w = shape
    kind = draw(st.sampled_from(["Convolution", "Deconvolution", "Pooling", "ReLU", "Concat",
                                 "Softmax", "LRN"]))
    kernel, stride = draw(st.integers(1, min(h, w, 4))), draw(st.integers(1, 3))
    pad = draw(st.integers(0, kernel - 1))
    out = draw(st.integers(1, 4))
    window = f"kernel_size: {kernel} stride: {stride} pad: {pad}"
    settings_, top = "", shape
    if kind == "Convolution":
        settings_ = f"convolution_param {{ num_output: {out} {window} }}"
        top = (n, out, *((size + 2 * pad - kernel) // stride + 1 for size in (h, w)))
    elif kind == "Deconvolution":
        pad = min(pad, (stride * (min(h, w) - 1) + kernel - 1) // 2)
        settings_ = (f"convolution_param {{ num_output: {out} kernel_size: {kernel} "
                     f"stride: {stride} pad: {pad} }}")
        top = (n, out, *(stride * (size - 1) + kernel - 2 * pad for size in (h, w)))
    elif kind == "Pooling":
        settings_ = f"pooling_param {{ pool: {draw(st.sampled_from(['MAX', 'AVE']))} {window} }}"
        top = (n, c, *(pooled(size, kernel, stride, pad) for size in (h, w)))
    bottoms = f'bottom: "{below}"'
    if kind == "Concat":
        bottoms, top = f'{bottoms} bottom: "{below}"', (n, 2 * c, h, w)
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{name}" {settings_} }}', top


def pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    """Windows round up; with padding, the last one begins inside the image or its pad before."""
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    return count - 1 if pad and (count - 1) * stride >= size + pad else count


@st.composite
def nets(draw: st.DrawFn) -> tuple[str, list[Shape]]:
    shape = tuple(draw(st.integers(1, most)) for most in (2, 3, 12, 12))
    shapes = [shape]
    dims = " ".join(f"dim: {size}" for size in shape)
    text = [f'layer {{ name: "b0" type: "Input" top: "b0" input_param {{ shape {{ {dims} }} }} }}']
    for number in range(draw(st.integers(1, 5))):
        layer, shape = draw(layers(number, shape))
        text.append(layer)
        shapes.append(shape)
    return "\n".join(text), shapes


@seed(SEED)
@SETTINGS
@given(nets())
def test_valid_nets_have_the_shapes_of_the_formulas(made: tuple[str, list[Shape]]) -> None:
    text, shapes = made
    net = build(text)
    assert [net.blobs[f"b{number}"].shape for number in range(len(shapes))] == shapes
    net.blobs["b0"].data[...] = 1
    net.forward()
    for number, shape in enumerate(shapes):
        values = net.blobs[f"b{number}"].data
        assert values.shape == shape and np.isfinite(values).all()


NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 5, 64, 3000, 2 ** 31 - 1, 2 ** 32 - 1, 10 ** 30])
FIELDS = st.sampled_from(["kernel_size", "stride", "pad", "num_output", "group", "axis",
                          "dilation", "kernel_h", "nothing"])
TYPES = st.sampled_from(sorted(set(caffe.layer_type_list())
                               - {"Python", "HDF5Output", "Data", "HDF5Data"}))


@seed(SEED)
@settings(SETTINGS, max_examples=150)
@given(TYPES, st.lists(st.tuples(FIELDS, NUMBERS), max_size=4),
       st.lists(st.sampled_from(["data", "absent", "other"]), max_size=3),
       st.lists(st.sampled_from(["data", "a", "b"]), max_size=3),
       st.lists(st.integers(0, 9), max_size=5))
def test_other_nets_give_the_projects_own_error(
        kind: str, fields: list[tuple[str, int]], bottoms: list[str], tops: list[str],
        dims: list[int]) -> None:
    parameters = "pooling_param" if kind == "Pooling" else "convolution_param"
    text = ('layer { name: "i" type: "Input" top: "data" top: "other" input_param { shape { '
            + " ".join(f"dim: {size}" for size in dims) + " } } }\n"
            + f'layer {{ name: "l" type: "{kind}" ' + " ".join(f'bottom: "{b}"' for b in bottoms)
            + " " + " ".join(f'top: "{t}"' for t in tops)
            + f" {parameters} {{ " + " ".join(f"{f}: {v}" for f, v in fields) + " } }")
    try:
        build(text).forward()
    except caffe.CaffeError as error:
        assert str(error)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blobs and weights in double precision, and no log of how nets are made."""
    monkeypatch.setattr(choice, "COPY", 0)      # all copies there can be
    torch.set_default_dtype(torch.float64)
    with silence():
        yield
    torch.set_default_dtype(torch.float32)


class Viewer(Player):
    """The last net has NumPy views of all its arrays, which therefore never move."""

    def is_refused(self, action: Callable[[], None]) -> bool:
        refused = super().is_refused(action)
        self.views = [(blob.data, blob.diff) for blob in self.nets[-1].blobs.values()]
        return refused


def played(seeds: Sequence[int], count: int) -> int:
    """Play with a net for each seed; returns how many left something out."""
    elided = 0
    for number in seeds:
        rng = np.random.default_rng(number)
        text = RandomNet(rng).text
        try:
            nets = [build(text) for _ in range(2)]
        except caffe.CaffeError:        # a layer in place where none may be
            continue
        nets[1].elide_padding = nets[1].cuda_graphs = False
        for name, blobs in nets[0].params.items():
            for mine, theirs in zip(blobs, nets[1].params[name]):
                mine.data[...] = theirs.data[...] = rng.normal(size=mine.shape)
        nets[0].forward()
        elided += bool(nets[0].elided_layers)
        player = Viewer(nets, number, (
            *REMEDIES, "cannot propagate a gradient", "does not fit into"))
        try:
            player.play(count)
        except Exception as error:
            raise AssertionError(f"seed {number}, after {player.log}\n{text}") from error
    return elided


@pytest.fixture(params=["elided", "recorded"])
def way(request: pytest.FixtureRequest, double: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the first net does that the second does not: recorded passes elide, too."""
    if request.param == "recorded":
        monkeypatch.setattr(recorded, "KINDS", {"cpu": GraphStandIn})
        monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look
    return request.param


def test_whatever_somebody_does_shows_what_plain_execution_does(way: str) -> None:
    before = GraphStandIn.replays
    assert played(range(SEED, SEED + 60), 12) > 15
    assert (GraphStandIn.replays > before) == (way == "recorded")


@pytest.mark.slow
def test_whatever_somebody_does_thousands_of_times(way: str) -> None:
    assert played(range(SEED + 1000, SEED + 3000), 20)
