"""Scores of cells, on the validation set of a run: how many are found, which are merged.

    fcn cells RUN [--best | --weights W] [--gpu N | --cpu]

RUN is a trained isbi-unet, phc-unet or dic-unet, its miniature (dic-unet-demo), or its folder. An
object is what is connected in the prediction, over edges of pixels.

    IU of cells     as in the cell tracking challenge (SEG): of each true cell its overlap, over the
                    union, with the object that covers more than half of it, or 0; their mean
    found           cells of which that is above 1/2
    merged          cells whose object covers more than half of another one as well
    extra           objects that cover more than half of no cell
    pixel error     share of the pixels whose class is wrong
    Rand error      1 - the F-score of pairs of pixels that are together in truth and prediction
                    (ISBI 2012), of pixels inside true cells; what is predicted as background there
                    is with no other pixel; the mean over the images that have cells
    warping error   share of the pixels that stay wrong after the truth is warped on the prediction
                    without a change of its topology (Jain et al., CVPR 2010): a split, a merger, a
                    hole stay, a border that lies elsewhere does not
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.solvers.cells"))

import argparse
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from fcn.solvers.console.arguments import add_device, add_snapshot
from fcn.solvers.console.commands import fcn_command, near
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import RunError, report_errors
from fcn.solvers.console.text import columns
from fcn.solvers.inference import trust
from fcn.solvers.runs import all_runs
from fcn.solvers.runs.reading import reading
from fcn.solvers.scoring.prediction import load_net, predicted_classes
from segdata.arguments import ArgumentParser
from segdata.cell_files import samples
from segdata.instances import components, parted
from segdata.lists import literal

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run

MODULE = "segdata.cells"        # of the data layer of such runs


@dataclass(frozen=True)
class CellScores:
    """Sums over images, which add up; `summary` has the scores.

    pixels, wrong, warped : of all pixels, those of the wrong class, those that warping leaves wrong
    cells, overlap, found, merged, extra : see the module; overlap is the sum of the IUs
    rand : the sum of the Rand errors of images with cells; images : how many of them there are
    """
    pixels: int = 0
    wrong: int = 0
    warped: int = 0
    cells: int = 0
    overlap: float = 0.0
    found: int = 0
    merged: int = 0
    extra: int = 0
    rand: float = 0.0
    images: int = 0

    def __add__(self, other: CellScores) -> CellScores:
        return CellScores(*(getattr(self, field.name) + getattr(other, field.name)
                            for field in fields(self)))

    @property
    def iu(self) -> float:
        return self.overlap / max(1, self.cells)

    def summary(self) -> dict[str, str]:
        """{name: value as text}, in the order of the table."""
        return {"IU of cells, %": f"{100 * self.iu:.1f}", "cells": str(self.cells),
                "found": str(self.found), "merged": str(self.merged), "extra": str(self.extra),
                "pixel error": f"{self.wrong / max(1, self.pixels):.4f}",
                "Rand error": f"{self.rand / self.images:.4f}" if self.images else "-",
                "warping error": f"{self.warped / max(1, self.pixels):.6f}"}


def score_cells(instances: np.ndarray, mask: np.ndarray) -> CellScores:
    """The CellScores of one image: true instances and the predicted mask, both (height, width)."""
    cells, objects = instances.astype(np.int64), components(mask).astype(np.int64)
    if cells.shape != objects.shape:
        raise RunError(f"instances are {cells.shape}, the prediction is {objects.shape} (height, "
                       "width)")
    count = int(objects.max()) + 1
    numbers, cells = np.unique(cells, return_inverse=True)
    if numbers[0] != 0:
        numbers, cells = np.append(0, numbers), cells + 1
    cells = cells.reshape(objects.shape)
    shared = np.bincount(cells.ravel() * count + objects.ravel(), minlength=len(numbers) * count)
    shared = shared.reshape(len(numbers), count)
    truth = parted(instances) > 0
    return CellScores(
        truth.size, int((truth != mask).sum()), int((warped(truth, mask) != mask).sum()),
        **_matches(shared), rand=rand_error(shared), images=int(len(numbers) > 1))


def _matches(shared: np.ndarray) -> dict:
    """What CellScores counts of cells; `shared` has the pixels by (cell, object), 0 for none."""
    inside, sizes, objects = shared[1:, 1:], shared[1:].sum(1), shared[:, 1:].sum(0)
    covered = 2 * inside > sizes[:, None]
    union = sizes[:, None] + objects - inside
    ious = np.where(covered, inside / np.maximum(union, 1), 0).sum(1)   # one at most is covered
    return dict(cells=len(sizes), overlap=float(ious.sum()), found=int((ious > 0.5).sum()),
                merged=int((covered & (covered.sum(0) > 1)).sum()),
                extra=int((covered.sum(0) == 0).sum()))


def rand_error(shared: np.ndarray) -> float:
    """1 - the F-score of pairs of pixels, of the pixels by (cell, object), 0 for none of them; 0
    where there is no cell."""
    alone = float(shared[1:, 0].sum())              # pixels that are with no other
    inside = shared[1:, 1:].astype(float)
    both = (inside ** 2).sum() + alone
    said = (inside.sum(0) ** 2).sum() + alone
    truth = (shared[1:].sum(1).astype(float) ** 2).sum()
    return 1 - 2 * both / (said + truth) if truth else 0.0


# the warping error

def warped(truth: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The mask `truth` (height, width) with pixels flipped, one after the other, to what `target`
    has, as long as that changes no topology: how many parts there are, and how many holes.

    Parts hang together over edges of pixels, background over corners too.
    """
    mask = np.pad(truth.astype(np.uint8), 1)
    wanted = np.pad(target.astype(np.uint8), 1)
    queue = deque(zip(*np.nonzero(mask != wanted)))
    while queue:
        row, column = queue.popleft()
        if mask[row, column] == wanted[row, column]:
            continue
        around = mask[row - 1:row + 2, column - 1:column + 2]
        if not _simple()[int((around * POWERS).sum())]:
            continue
        mask[row, column] = wanted[row, column]
        places = np.argwhere(around != wanted[row - 1:row + 2, column - 1:column + 2])
        queue.extend((row + down - 1, column + right - 1) for down, right in places)
    return mask[1:-1, 1:-1].astype(bool)


POWERS = np.array([[1, 2, 4], [8, 0, 16], [32, 64, 128]])       # of the eight around a pixel


@cache
def _simple() -> np.ndarray:
    """Whether a pixel can be flipped, by its neighbours: those of its part that touch it by an edge
    hang together around it, and so does the background."""
    simple = np.zeros(256, bool)
    for number in range(256):
        around = (number & POWERS) > 0
        parts = ndimage.label(around)[0]
        beside = set(parts[[0, 1, 1, 2], [1, 0, 2, 1]]) - {0}
        outside = ~around
        outside[1, 1] = False
        simple[number] = len(beside) == 1 and ndimage.label(outside, np.ones((3, 3)))[1] == 1
    return simple


# of a run

def of_run(run: Run, weights: str | Path) -> CellScores:
    """The CellScores of weights on the validation set of a run. Raises RunError where that has no
    instances."""
    folder, split = _data_of(run)
    net, total = load_net(run.present("val.prototxt"), weights), CellScores()
    for name, instances in samples(folder, split):
        net.forward()
        said = predicted_classes(net.blobs["score"].data, f"{weights}, sample '{name}'")[0]
        total += score_cells(instances, said == 1)
    return total


def _data_of(run: Run) -> tuple[Path, str]:
    """(the folder of cells, the split) that val.prototxt of a run reads."""
    for layer in run.net_param("val").layer:
        if layer.python_param.module == MODULE:
            with reading(run.prototxt("val"), "prototxt with a data layer's param_str"):
                params = dict(literal(layer.python_param.param_str))
                return Path(params["cells_dir"]), params["split"]
    raise RunError(f"{run.prototxt('val')} has no data layer of {MODULE}: instances of cells are "
                   "what is scored here; `fcn score` scores classes")


def next_step(run: Run) -> str:
    """How to score the cells of a run on cells, in words; '' of another run."""
    if not any(layer.python_param.module == MODULE for layer in run.net_param("val").layer):
        return ""
    return ("These scores are of pixels. How many cells are found, merged and extra:\n    "
            + fcn_command("cells", near(run.directory)))


def table(found: dict[str, CellScores]) -> str:
    """{what is scored: CellScores} as text, a line each."""
    rows: list[Sequence[str]] = []
    for name, scores in found.items():
        summary = scores.summary()
        rows = rows or [("", *summary)]
        rows.append((name, *summary.values()))
    return columns(rows)


def main() -> None:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", metavar="RUN",
                        help="a trained experiment on cells, or the folder of a run")
    add_snapshot(parser)
    add_device(parser, learns=False)
    args = parser.parse_args()
    with report_errors():
        run = all_runs.find(args.run)
        trust.check(run.present("val.prototxt"), own_data=True)
        weights, told = (args.weights, "") if args.weights else run.chosen_weights(args.best)
        print("\n".join(filter(None, (str(weights), told, set_device(args)))))
        print("\n" + table({run.directory.name: of_run(run, weights)}))
