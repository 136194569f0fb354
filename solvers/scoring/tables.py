"""Scores as text."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from fcn.solvers.console.text import columns
from fcn.solvers.scoring.metrics import Scores

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run

WITH_CRF = " with CRF"      # behind the label of scores

# what f.w. IU is, which is also called frequency-weighted IU
WEIGHTED = "the mean of the classes' IU, each weighted by its share of the pixels in the labels"

HEADLINES = {True: "mean IU (in truth)", False: "mean IU"}


def table(scores: Scores, class_names: Sequence[str]) -> str:
    """Scores as text: the metrics, then accuracy and IU of each class, in percent.

    Where classes are unscored the metrics stand twice, without them and with them.
    """
    headers, kinds, notes = [], [scores], []
    if scores.unscored:
        names, count = ", ".join(class_names[i] for i in scores.unscored), len(class_names)
        kinds.append(scores.with_all_classes())
        headers = [("", f"without {names}", f"with {names}")]
        notes.append(f"Without {names}: the {count - len(scores.unscored)} classes of the task. "
                     f"With {names}: all {count}, as in the authors' score.py.")
    metrics = [(name, *(f"{value:.1f}" for value in values)) for name, *values in zip(
        scores.summary(), *(kind.summary().values() for kind in kinds))]
    notes.append("mean IU: over the classes in the labels or the predictions. A class that is "
                 "predicted but is\nin no label counts 0, as in VOC's evaluation and the authors' "
                 "score.py.\nmean IU (in truth): over the classes in the labels alone.\n"
                 + fill(f"f.w. IU (frequency-weighted): {WEIGHTED}.", 90) +
                 f"\nThis data set is scored by {HEADLINES[scores.in_truth]}.")
    classes: list[tuple[str, ...]] = [("class", "accuracy", "IU")]
    for name, *values in zip(class_names, scores.accuracy, scores.iu):
        classes.append((name, *(f"{100 * value:.1f}" if np.isfinite(value) else "–"
                                for value in values)))
    return "\n\n".join([columns(headers + metrics), "\n".join(notes), columns(classes)])


def tables(scores: dict[str, Scores], run: Run) -> str:
    """One table for each label of `scores`, {label: Scores}."""
    return "\n\n".join(f"{label}\n" * (len(scores) > 1)
                       + table(one, run.class_names(label.removesuffix(WITH_CRF), len(one.iu)))
                       for label, one in scores.items())


def gains(scores: dict[str, Scores]) -> str:
    """What the CRF changes: a line for each label that was scored without it and with it; '' where
    there is none."""
    return "\n".join(f"{label}: {HEADLINES[before.in_truth]} {100 * before.headline:.1f} without, "
                     f"{100 * scores[label + WITH_CRF].headline:.1f} with CRF"
                     for label, before in scores.items() if label + WITH_CRF in scores)
