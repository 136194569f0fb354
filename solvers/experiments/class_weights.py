"""Weights of the classes in the loss: given, or measured in the training labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn.solvers.console.errors import RunError
from fcn.solvers.console.text import columns
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.splits import read_split
from segdata.classes import VOID
from segdata.errors import did_you_mean, did_you_mean_path

if TYPE_CHECKING:
    from fcn.solvers.experiments.splits import Sample

MEASURED = {"frequency": "1 / (pixels of the class), so that the mean over pixels is 1",
            "median": "median of the frequencies / frequency, of the images that show the class"}


def with_class_weights(experiment: Experiment, given: str | None = None, is_fresh: bool = False
                       ) -> Experiment:
    """The experiment with weights of the classes: those given, else its recipe's.

    Raises RunError for weights that do not fit.
    """
    asked = given or experiment.class_weights
    if not (weights := class_weights(experiment, asked, is_fresh)):
        return experiment
    kind = asked if asked in MEASURED else "numbers"
    return replace(experiment, options={**experiment.options,
                                        "class_weights": {"as": kind, "of": weights}})


def class_weights(experiment: Experiment, given: str, is_fresh: bool) -> dict[str, list[float]]:
    """{label: weight of each class}, {} for none. Those that were measured when the run began stay.

    Raises RunError for weights that are no numbers from 0 on, or not one for each class.
    """
    if given == "none":
        return {}
    if given not in MEASURED:
        return {label: listed(given, names) for label, names in _only_label(experiment)}
    before = experiment.run.settings().get("--class-weights")
    if not is_fresh and isinstance(before, dict) and before.get("as") == given and "of" in before:
        return before["of"]
    samples = read_split(*experiment.source.train).good
    weights = {}
    for label, names in experiment.class_names.items():
        pixels, areas = counted(samples, label, len(names))
        weights[label] = measured(given, pixels, areas)
        print(f"weights of the classes of '{label}', {given}: {MEASURED[given]}\n"
              + table(names, pixels, weights[label]))
    return weights


def _only_label(experiment: Experiment) -> list[tuple[str, Sequence[str]]]:
    if len(experiment.class_names) > 1:
        raise RunError(f"--class-weights: {experiment.name} has the labels "
                       f"{', '.join(experiment.class_names)}; numbers are for one label: take "
                       f"{' or '.join(MEASURED)}")
    return list(experiment.class_names.items())


def listed(given: str, names: Sequence[str]) -> list[float]:
    """The numbers in a list or file. Raises RunError."""
    text, where = given, "--class-weights"
    if not _numbers(given):
        where = f"--class-weights {given}"
        try:
            text = Path(given).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            path = Path(given)
            why = ("there is no file of that name" + (did_you_mean(given, ["none", *MEASURED])
                                                      or did_you_mean_path(path))
                   if isinstance(error, FileNotFoundError) else
                   getattr(error, "strerror", None) or "it is no text")
            raise RunError(f"{where}: expected none, {', '.join(MEASURED)}, numbers as 1,2.5,4, or "
                           f"a file of numbers; {why}") from None
    weights = _numbers(text)
    if not weights:
        raise RunError(f"{where}: expected numbers, one for each class, got {text[:80]!r}")
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise RunError(f"{where}: weights are {', '.join(f'{weight:g}' for weight in weights)}; "
                       "expected are finite numbers from 0 on, and not only 0")
    if len(weights) != len(names):
        raise RunError(f"{where}: there are {len(weights)} weights for the {len(names)} classes "
                       f"{', '.join(names)}; give one for each, in that order")
    return weights


def _numbers(text: str) -> list[float]:
    """The numbers in a text, with commas or blanks between them; none where it has others."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return []


def counted(samples: Sequence[Sample], label: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each class the pixels in all samples; and the pixels, but void, of those that show it."""
    pixels, areas = np.zeros((2, classes))
    for sample in samples:
        shown = Counter(sample.shown(label))
        del shown[VOID]
        for value, count in shown.items():
            pixels[value] += count
            areas[value] += shown.total()
    return pixels, areas


def measured(kind: str, pixels: np.ndarray, areas: np.ndarray) -> list[float]:
    """The weights by frequency or median frequency; 1 of a class that is never seen."""
    seen = pixels > 0
    weights = np.ones(len(pixels))
    if kind == "frequency":
        weights[seen] = pixels.sum() / (seen.sum() * pixels[seen])
    else:
        frequency = pixels[seen] / areas[seen]
        weights[seen] = np.median(frequency) / frequency
    return [float(f"{weight:.6g}") for weight in weights]


def table(names: Sequence[str], pixels: np.ndarray, weights: Sequence[float]) -> str:
    """The classes with their shares of the pixels and their weights."""
    rows = [("class", "pixels", "weight", "")]
    for name, count, weight in zip(names, pixels, weights):
        rows.append((name, f"{100 * count / max(1, pixels.sum()):.2f}%", f"{weight:.4g}",
                     "" if count else "never seen in training: the weight 1 has no effect"))
    return columns(rows)
