"""Random nets. Valid ones, and whatever somebody does with them, show what a model of Caffe says;
others give the project's own error.

FUZZ_SEED=N begins with other seeds; `pytest -m slow` plays thousands of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

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
from model_player import Case, draw, played

SETTINGS = settings(max_examples=150, deadline=None, database=None, derandomize=False,
                    suppress_health_check=list(HealthCheck), print_blob=True)
SEED = int(os.environ.get("FUZZ_SEED", 0))
ACTIONS = 12
# {way: (how well numbers agree, how many cases, of which so many leave padding out)}
WAYS = {"double": (1e-8, 140, 40), "recorded": (1e-8, 70, 15), "single": (1e-3, 60, 15)}


def build(text: str) -> caffe.Net:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), caffe.TEST)


NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 5, 64, 3000, 2 ** 31 - 1, 2 ** 32 - 1, 10 ** 30])
FIELDS = st.sampled_from(["kernel_size", "stride", "pad", "num_output", "group", "axis",
                          "dilation", "kernel_h", "nothing"])
TYPES = st.sampled_from(sorted(set(caffe.layer_type_list())
                               - {"Python", "HDF5Output", "Data", "HDF5Data"}))


@seed(SEED)
@SETTINGS
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


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How the engine runs: in double precision; with passes that are recorded and replayed, too; or
    in single precision, of nets in which rounding stays small. All may leave padding out."""
    monkeypatch.setattr(choice, "COPY", 0)      # all copies there can be
    if request.param == "recorded":
        monkeypatch.setattr(recorded, "GRAPHS", {"cpu": GraphStandIn})
        monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look
    if request.param != "single":
        torch.set_default_dtype(torch.float64)
    with silence():
        yield request.param
    torch.set_default_dtype(torch.float32)


def cases(way: str, seeds: Iterable[int], count: int) -> Iterator[Case]:
    """A view that is kept shows memory of the host, and a recording has that of the GPU. Their
    stand-in has both in one place, so nobody keeps views there."""
    without = {"hold"} if way == "recorded" else set()
    return (draw(seed, count, WAYS[way][0], without) for seed in seeds)


def test_whatever_somebody_does_shows_what_the_model_says(way: str) -> None:
    _, count, elided_at_least = WAYS[way]
    before = GraphStandIn.replays
    ends, elided = played(cases(way, range(SEED, SEED + count), ACTIONS))
    assert elided >= elided_at_least and ends["whole"] > 0.7 * count, ends
    assert (GraphStandIn.replays > before) == (way == "recorded")


@pytest.mark.slow
def test_whatever_somebody_does_thousands_of_times(way: str) -> None:
    played(cases(way, range(SEED + 1000, SEED + 1000 + 20 * WAYS[way][1]), 2 * ACTIONS))
