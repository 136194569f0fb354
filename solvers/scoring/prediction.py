"""A trained net: its weights loaded and checked, and the classes that its scores say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn.solvers.console.errors import RunError
from fcn.solvers.runs.reading import damage
from fcn.solvers.runs.run import Run
from segdata.errors import did_you_mean_path

if TYPE_CHECKING:
    import caffe

UNFILLED = -2.9375e38       # marks parameters before a caffemodel is read; no weight has this value


class ScoreError(RunError):
    """Scores that say no class."""


def load_net(prototxt: str | Path, weights: str | Path, complete: bool = False) -> caffe.Net:
    """The TEST net of a prototxt with the weights of a caffemodel, of a snapshot as it is made
    ready for testing (solvers.training.batch_statistics).

    Layers with parameters for which the caffemodel has none keep what their fillers gave, zero
    without one; that is printed to stderr. Raises RunError if all of them do; with
    `complete`, if any does; and if the file .resume of its snapshot says that it is damaged.
    """
    import caffe
    for path in (prototxt, weights):
        if not Path(path).is_file():
            raise RunError(f"{path}: no such file{did_you_mean_path(Path(path))}")
    if problem := damage(Path(weights)):
        raise RunError(problem)
    run = Run(Path(weights).parent.parent)
    if not (ready := run.for_testing(Path(weights))).is_file():
        raise RunError(f"{weights} cannot be tested: its BN has no statistics yet, {ready} is "
                       "missing. They are measured when it is scored, at the end of an interval: "
                       "continue the training, or take another snapshot (--best)")
    weights = ready
    net = caffe.Net(str(prototxt), caffe.TEST)
    before = {name: _mark(net.params[name][0].data) for name in net.params}
    net.copy_from(str(weights))
    unfilled = [name for name, value in before.items() if _restore(net.params[name][0].data, value)]
    if unfilled and (complete or len(unfilled) == len(before)):
        raise RunError(f"{weights} has no weights for the layers of {prototxt}: "
                       f"{', '.join(unfilled)}")
    if unfilled:
        print(f"warning: {weights} has no weights for these layers of {prototxt}, which stay as "
              f"their fillers made them: {', '.join(unfilled)}", file=sys.stderr)
    return net


def _mark(data: np.ndarray) -> float:
    """Put the mark in the first place of an array; returns what was there."""
    before = data.flat[0]
    data.flat[0] = UNFILLED
    return before


def _restore(data: np.ndarray, before: float) -> bool:
    """Whether the mark is still there; what was there before it then is again."""
    unfilled = data.flat[0] == np.float32(UNFILLED)
    if unfilled:
        data.flat[0] = before
    return unfilled


def predicted_classes(scores: np.ndarray, source: str) -> np.ndarray:
    """The class with the highest score: int64 (number, …) of scores (number, classes, …).

    `source` says in the message where the scores come from. Raises ScoreError unless all scores are
    finite: of others no class is the highest.
    """
    check_finite(scores, source)
    return scores.argmax(1)


def check_finite(scores: np.ndarray, source: str) -> None:
    """Raise ScoreError unless all scores are finite; `source` says where they come from."""
    finite = np.isfinite(scores)
    if not finite.all():
        count = scores.size - np.count_nonzero(finite)
        raise ScoreError(f"{source}: {count} of {scores.size} scores are not finite, so that there "
                       "is no prediction. Either the weights are damaged, or the training that "
                       "made them diverged (its rate was too high), or the image holds numbers "
                       "that are not finite")
