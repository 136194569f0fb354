"""What counts as a difference between two sides; needs no original."""

import numpy as np
import pytest
from sides import VERDICTS, Outcome, verdict


@pytest.fixture(autouse=True)
def uncounted():
    """These are no cases beside the original."""
    before = VERDICTS.copy()
    yield
    VERDICTS.clear()
    VERDICTS.update(before)


def outcome(*values, refusal=None):
    return Outcome([{"top": np.array(values, np.float32)}], refusal)


@pytest.mark.parametrize("found, wanted", [
    (1.01, 1), (np.nan, 1), (np.inf, 1), (-np.inf, np.inf), (0, 0.1)])
def test_other_numbers_are_a_fault(found, wanted):
    kind, wrong = verdict(outcome(1, found), outcome(1, wanted), 1e-3)
    assert kind == "differ" and "operation 0, top: 1 of 2 values differ, at (1,)" in wrong


@pytest.mark.parametrize("found, wanted", [
    (1.0005, 1), (np.nan, np.nan), (np.inf, np.inf), (1e-6, 0)])
def test_rounding_is_none(found, wanted):
    assert verdict(outcome(1, found), outcome(1, wanted), 1e-3) == ("equal", None)


def test_other_shapes_and_names_are_a_fault():
    assert verdict(outcome(1, 1), outcome(1), 1e-3)[0] == "differ"
    other = Outcome([{"bottom": np.ones(1, np.float32)}], None)
    assert verdict(other, outcome(1), 1e-3)[0] == "differ"


def test_the_engine_may_refuse_alone_what_is_known():
    known, unknown = "expected dropout_ratio in [0, 1), got 2", "expected something else"
    assert verdict(outcome(1, refusal=known), outcome(1), 1e-3) == ("only the engine refuses", None)
    assert verdict(outcome(1, refusal=unknown), outcome(1), 1e-3) == (
        "only the engine refuses", unknown)


def test_the_original_may_refuse_but_not_what_came_before():
    failed = "Check failed: ..."
    assert verdict(outcome(1), outcome(1, refusal=failed), 1e-3) == (
        "only the original refuses", None)
    assert verdict(outcome(1, refusal="?"), outcome(1, refusal=failed), 1e-3) == (
        "both refuse", None)
    assert verdict(outcome(2), outcome(1, refusal=failed), 1e-3)[0] == "differ"
