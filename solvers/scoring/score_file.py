"""score.json of a run: the scores of its newest iteration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.scoring.samples import SampleTally
from fcn.solvers.scoring.tables import HEADLINES
from segdata.files import replacing

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run

FILE = "score.json"         # in a run's folder


def save(scores: dict[str, Scores], run: Run, class_names: dict, iteration: int,
         tally: SampleTally | None = None) -> None:
    """Write the scores of an iteration as score.json of `run`: {label: percent and matrix}.

    With a `tally`, also the losses, and beside it what the report shows of single samples.

    Classes that do not occur, or are not scored, have null. Where classes are unscored, "all
    classes" has the metrics with them.
    """
    content = {label: _content(one, class_names[label]) for label, one in scores.items()}
    samples: dict[str, Any] = {}
    if tally:
        tally.save(run, iteration)
        samples = {**tally.losses(), "sample IU": " ".join(
            "-" if iou is None else f"{iou:g}" for iou in tally.ious)}
    with replacing(run.directory / FILE) as temporary:
        temporary.write_text(json.dumps({"iteration": iteration, **samples, "labels": content},
                                        ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _content(scores: Scores, class_names: Sequence[str]) -> dict[str, Any]:
    def percent(values: np.ndarray) -> dict[str, float | None]:
        return {name: round(100 * float(v), 2) if np.isfinite(v) else None
                for name, v in zip(class_names, values)}

    every = {"all classes": summary(scores.with_all_classes())} if scores.unscored else {}
    return {**summary(scores), "headline": HEADLINES[scores.in_truth],
            "unscored": list(scores.unscored), **every,
            "class accuracy": percent(scores.accuracy), "class IU": percent(scores.iu),
            "confusion": [" ".join(map(str, row)) for row in scores.matrix.tolist()]}


def summary(scores: Scores) -> dict[str, float]:
    """{metric: percent with two digits}, as score.json has them."""
    return {name: round(float(value), 2) for name, value in scores.summary().items()}


def summaries(scores: dict[str, Scores]) -> dict[str, dict[str, float]]:
    """{label: its summary}"""
    return {label: summary(one) for label, one in scores.items()}


def read(run: Run) -> dict[str, Any]:
    """The content of score.json of `run`, {} where it is missing or no JSON object."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads((run.directory / FILE).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def load(run: Run, iteration: int) -> dict[str, Scores] | None:
    """The {label: Scores} in score.json of `run`, None unless they are those of `iteration`."""
    content = read(run)
    if content.get("iteration") != iteration:
        return None
    try:
        return {label: Scores.of(np.array([row.split() for row in one["confusion"]], np.int64),
                                 tuple(one["unscored"]), one["headline"] == HEADLINES[True])
                for label, one in content["labels"].items()}
    except Exception:       # damaged in whatever way: it is scored again
        return None


def validation_losses(run: Run) -> dict[str, float | None]:
    """What score.json says of them, as fields of log.LogRow; {} where it does not."""
    content = read(run)
    try:
        return {name: None if content[name] is None else float(content[name])
                for name in ("validation_loss", "validation_loss_per_pixel")}
    except Exception:       # one of an earlier version, or damaged
        return {}
