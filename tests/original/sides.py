"""Both sides of a comparison, and whether they agree."""

import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from plays import PLAYS

import caffe
from model_player import REMEDIES

# What the engine may refuse where the original computes: docs/fidelity.md says why.
REFUSALS = [
    r"would overwrite .* in place before it has read it",
    r"in place, its top of shape .* does not fit its bottom",
    r"expected dropout_ratio in \[0, 1\)",
    r"label .* is outside \[",
    r"expected up to 3 spatial axes",
    *map(re.escape, REMEDIES),      # of gradients that were left out with the padding
]

VERDICTS = Counter()    # how often each came, for the last line of pytest


class Outcome(NamedTuple):
    """What a side shows: {what: array} of each operation that ended, and why it refused the next
    one, or None."""

    results: list
    refusal: str | None

    def last(self, count):
        return Outcome(self.results[-count:], self.refusal)


class Original:
    """A process of the Caffe whose python folder this is, in the folder cwd; `types` are the layers
    of its build, if it can say so, `fields` those of its schema."""

    def __init__(self, pycaffe, cwd=None):
        python = os.environ.get("BVLC_PYTHON") or sys.executable
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name("play_original.py"))], cwd=cwd,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "BVLC_PYCAFFE": str(Path(pycaffe).absolute())})
        try:
            self.types, self.fields = (pickle.load(self.process.stdout) for _ in range(2))
        except EOFError:
            raise RuntimeError(f"{python} cannot import the original from {pycaffe}; standard "
                               "error says why") from None

    def play(self, name, **arguments):
        pickle.dump((name, arguments), self.process.stdin)
        self.process.stdin.flush()
        return Outcome(*pickle.load(self.process.stdout))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def play(name, **arguments):
    """The Outcome of the engine. An error that is not the project's own is raised."""
    results = []
    try:
        for result in PLAYS[name](caffe, **arguments):
            results.append(result)
    except caffe.CaffeError as error:
        return Outcome(results, str(error))
    return Outcome(results, None)


def verdict(engine, original, tolerance):
    """("equal", "differ", "both refuse", "only the original refuses", or "only the engine refuses",
    what is wrong or None). What both computed has to agree, however a case ended."""
    kind, wrong = _verdict(engine, original, tolerance)
    VERDICTS[kind] += 1
    return kind, wrong


def _verdict(engine, original, tolerance):
    floor = noise(original)
    for i, pair in enumerate(zip(engine.results, original.results)):
        if wrong := difference(*pair, tolerance, floor):
            return "differ", f"operation {i}, {wrong}"
    if original.refusal:
        return ("both refuse" if engine.refusal else "only the original refuses"), None
    if engine.refusal:
        known = any(re.search(known, engine.refusal) for known in REFUSALS)
        return "only the engine refuses", None if known else engine.refusal
    return "equal", None


def noise(outcome):
    """What rounding may leave where sums cancel out: a share of the largest value of the case."""
    return 1e-5 * max((abs(array[np.isfinite(array)]).max(initial=0) for result in outcome.results
                       for array in result.values()), default=0)


def difference(found, wanted, tolerance, floor=0.0):
    """Where {what: array} of the engine is not that of the original, or None."""
    if set(found) != set(wanted):
        return f"only one side shows {sorted(set(found) ^ set(wanted))}"
    for what, theirs in wanted.items():
        ours = np.asarray(found[what], np.float64)
        theirs = np.asarray(theirs, np.float64)
        if ours.shape != theirs.shape:
            return f"{what}: the shape {ours.shape} is not {theirs.shape}"
        largest = abs(theirs[np.isfinite(theirs)]).max(initial=0)
        limit = max(tolerance * max(largest, 0.02), floor)
        wrong = ~np.isclose(ours, theirs, rtol=tolerance, atol=limit, equal_nan=True)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            return (f"{what}: {wrong.sum()} of {wrong.size} values differ, at {place} "
                    f"{ours[place]}, in the original {theirs[place]}")
    return None
