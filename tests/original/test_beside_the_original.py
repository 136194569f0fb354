"""Random cases on the engine and on BVLC Caffe: where both compute, the numbers agree; where only
the engine refuses, it says one of the things that docs/fidelity.md explains.

BVLC_PYCAFFE names the python folder of a BVLC Caffe, BVLC_PYTHON the Python that imports it, if it
is another one (CONTRIBUTING.md). FUZZ_SEED=N begins with other seeds.
"""

import os
from collections import Counter

import data_cases
import pytest
from comparing import compared, solvers_compared
from layer_cases import KINDS, layer_case
from net_cases import net_case
from sides import Original
from solver_cases import solver_case

from caffe.engine.elision import choice

pytestmark = pytest.mark.original("BVLC_PYCAFFE")
SEED = 10_000 * int(os.environ.get("FUZZ_SEED", 0))
NETS, SOLVERS, DATA = 120, 60, 60
EQUAL, TRIED = 10, 150      # of a type of layers: cases that both compute, and cases at most


@pytest.fixture(scope="module")
def original():
    original = Original(os.environ["BVLC_PYCAFFE"])
    yield original
    original.close()


@pytest.mark.parametrize("kind", KINDS)
def test_layers(original, kind):
    verdicts = Counter()
    for seed in range(SEED, SEED + TRIED):
        verdicts[compared(original, seed, "net", layer_case(seed, kind), 1e-3)] += 1
        if verdicts["equal"] == EQUAL:
            break
    assert verdicts["equal"] == EQUAL, verdicts


@pytest.mark.parametrize("copied", [0, 20, 128])
def test_nets(original, copied, monkeypatch):
    """In which the engine leaves out what is copied, if that is at least so much."""
    monkeypatch.setattr(choice, "COPY", copied)
    seeds = range(SEED + copied * NETS, SEED + copied * NETS + NETS // 3)
    verdicts = Counter(compared(original, seed, "net", net_case(seed), 3e-3) for seed in seeds)
    assert verdicts["equal"] > 0.5 * len(seeds), verdicts


def test_solvers_and_their_snapshots(original, tmp_path):
    for seed in range(SEED, SEED + SOLVERS):
        solvers_compared(original, seed, solver_case(seed), tmp_path / str(seed))


@pytest.mark.parametrize("kind", data_cases.KINDS)
def test_data_layers(original, kind, tmp_path):
    absent = f"this build of the original reads no {kind}; that needs OpenCV and LMDB"
    if kind not in original.types:
        pytest.skip(absent)
    case = data_cases.data_case(SEED, kind, tmp_path / "first")
    if "Unknown database backend" in (original.play("data", **case).refusal or ""):
        pytest.skip(absent)
    verdicts = Counter()
    for seed in range(SEED, SEED + DATA):
        case = data_cases.data_case(seed, kind, tmp_path / str(seed))
        verdicts[compared(original, seed, "data", case, 1e-4)] += 1
    assert verdicts["equal"] > 0.4 * DATA, verdicts
