"""The true labels beside a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcn.solvers.inference.errors import InferError, no_such_file
from fcn.solvers.scoring.metrics import Scores, confusion
from segdata.classes import VOID
from segdata.readers import read_label_image


class Truth(NamedTuple):
    """labels : uint8 (height, width), 255 where they are void; scores : percent of a prediction,
    by their names"""
    path: Path
    labels: np.ndarray
    scores: dict[str, float]


def path_of(folder: Path, image: Path) -> Path:
    """The PNG file named as the image; of a folder in VOC layout, in its SegmentationClass."""
    inside = folder / "SegmentationClass"
    return (inside if inside.is_dir() else folder) / f"{image.stem}.png"


def read(path: Path, predicted: np.ndarray, classes: int) -> Truth:
    """The Truth in a file, beside the labels that a net predicted. Raises InferError where it does
    not fit."""
    try:
        labels = read_label_image(path)
    except FileNotFoundError:
        raise InferError(f"{no_such_file(path)}; --truth is a folder of PNG files named as the "
                         "images") from None
    except Exception as error:      # what Pillow raises on damaged files has no base
        raise InferError(f"{path}: no label image: {error}") from None
    if labels.shape != predicted.shape:
        raise InferError(f"{path} is {labels.shape[1]}x{labels.shape[0]}, its image is "
                         f"{predicted.shape[1]}x{predicted.shape[0]} (width x height)")
    known = labels[labels != VOID]
    if known.size == 0:
        return Truth(path, labels, {})
    if (most := int(known.max())) >= classes:
        raise InferError(f"{path} has the class {most}, but the net's are 0 to {classes - 1} (and "
                         f"{VOID} is void); is it the truth of another data set?")
    scores = Scores.of(confusion(labels, predicted, classes)).summary()
    return Truth(path, labels, {name: scores[name] for name in ("pixel accuracy", "mean IU")})
