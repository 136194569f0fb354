"""Random cases on the engine and on forks of Caffe: where both compute, the numbers agree.

FORK_PYCAFFE names the python folders of forks, with colons between them (CONTRIBUTING.md). What a
fork has is seen from its schema; what it has not is skipped. FUZZ_SEED=N begins with other seeds.
"""

import os
from collections import Counter
from pathlib import Path

import fork_data_cases
import pytest
from comparing import compared, solvers_compared
from fork_cases import (
    CLASSES,
    KINDS,
    TRAINED,
    WITH_WEIGHTS,
    fork_case,
    fork_solver_case,
    weights_case,
)
from sides import Original, play, verdict

from caffe.log import silence

pytestmark = pytest.mark.original("FORK_PYCAFFE")
FORKS = [path for path in os.environ.get("FORK_PYCAFFE", "").split(os.pathsep) if path]
SEED = 10_000 * int(os.environ.get("FUZZ_SEED", 0))
CASES, SOLVERS, WEIGHTS = 40, 10, 10


@pytest.fixture(scope="module", params=FORKS or ["no fork"])
def fork(request, tmp_path_factory):
    """A fork, in a folder with the files that MultiStageMeanfield reads."""
    folder = tmp_path_factory.mktemp("fork")
    for name in ("spatial.par", "bilateral.par"):
        (folder / name).write_text("3 " * CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        path = Path(request.param).absolute()
        patch.chdir(folder)
        fork = Original(path, cwd=folder)
        yield fork
        fork.close()


def needs(fork, field):
    if field not in fork.fields:
        pytest.skip(f"this fork has no {field}")


@pytest.mark.parametrize("kind", KINDS)
def test_layers(fork, kind):
    needs(fork, KINDS[kind][0])
    verdicts = Counter(compared(fork, seed, "net", fork_case(seed, kind), 1e-3)
                       for seed in range(SEED, SEED + CASES))
    assert verdicts["equal"] > 0.7 * CASES, verdicts


@pytest.mark.parametrize("kind", WITH_WEIGHTS)
def test_weights_that_the_other_has_saved(fork, kind, tmp_path):
    needs(fork, KINDS[kind][0])
    for seed in range(SEED, SEED + WEIGHTS):
        for sides in ("theirs", "ours"):
            first, second = weights_case(seed, kind, tmp_path / f"{seed} {sides}.caffemodel")
            with silence():
                if sides == "theirs":
                    theirs, ours = fork.play("net", **first), play("net", **second)
                else:
                    ours, theirs = play("net", **first), fork.play("net", **second)
            assert not ours.refusal and not theirs.refusal, (first, ours, theirs)
            wrong = verdict(ours.last(1), theirs.last(1), 1e-3)[1]
            assert not wrong, f"seed {seed}, saved weights are {sides}: {wrong}\n{first['text']}"


def test_fork_solvers_and_their_snapshots(fork, tmp_path):
    needs(fork, TRAINED)
    for seed in range(SEED, SEED + SOLVERS):
        solvers_compared(fork, seed, fork_solver_case(seed), tmp_path / str(seed))


@pytest.mark.parametrize("kind", fork_data_cases.KINDS)
def test_data_layers(fork, kind, tmp_path):
    needs(fork, fork_data_cases.KINDS[kind])
    verdicts = Counter(
        compared(fork, seed, "data", fork_data_cases.fork_data_case(
            seed, kind, tmp_path / str(seed)), 1e-4) for seed in range(SEED, SEED + CASES))
    assert verdicts["equal"] == CASES, verdicts
