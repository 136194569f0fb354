"""Plays cases on both sides and fails with what differs."""

import pytest
from sides import play, verdict
from solver_cases import SNAPSHOT_AT, STEPS

from caffe.log import silence


def compared(original, seed, name, arguments, tolerance):
    """The verdict on a case; fails with it if something is wrong."""
    with silence():
        ours = play(name, **arguments)
    kind, wrong = verdict(ours, original.play(name, **arguments), tolerance)
    if wrong:
        lines = (f"{name}: {value}" for name, value in arguments.items())
        pytest.fail("\n".join([f"seed {seed}, {kind}: {wrong}", *lines]), pytrace=False)
    return kind


def solvers_compared(original, seed, case, folder):
    """Both train alike, and each goes on from a snapshot of the other."""
    folder.mkdir()
    suffix = ".h5" if "HDF5" in case["solver"] else ""
    snapshot = f"s_iter_{SNAPSHOT_AT}.solverstate{suffix}"
    with silence():
        ours = play("solver", folder=folder / "ours", **case)
        theirs = original.play("solver", folder=folder / "theirs", **case)
        ours_from_theirs = play("solver", folder=folder / "ours from theirs",
                                restored=folder / "theirs" / snapshot, **case)
        theirs_from_ours = original.play("solver", folder=folder / "theirs from ours",
                                         restored=folder / "ours" / snapshot, **case)
    for what, found, wanted in (
            ("whole", ours, theirs),
            ("the engine goes on from the original's snapshot", ours_from_theirs, theirs),
            ("the original goes on from the engine's snapshot", ours, theirs_from_ours)):
        assert not found.refusal and not wanted.refusal, (seed, what, found, wanted)
        steps = min(len(found.results), len(wanted.results))
        assert steps in (STEPS, STEPS - SNAPSHOT_AT), (seed, what)
        wrong = verdict(found.last(steps), wanted.last(steps), 2e-3)[1]
        assert not wrong, f"seed {seed}, {what}: {wrong}\n{case['solver']}\n{case['net']}"
