"""U-Net in miniature (arXiv 1505.04597): beside FCN-8s, and with and without the weights of pixels.

The miniature of phc-unet on drawn cells that touch each other, with the weights that count what
lies between two cells most; the same without them; and FCN-8s, without them. All three start from
random weights and learn from the same windows for as many iterations. `fcn cells --help` says what
is counted; pictures go to cells-SEED.png in the folder of the analyses.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fcn.analysis.variants import ordered, variant_of
from fcn.nets.source import Source
from fcn.solvers import cells, training
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.miniatures import miniature
from fcn.solvers.scoring.prediction import load_net
from segdata.cell_files import samples
from segdata.files import replacing
from segdata.instances import components
from segdata.means import GREY
from segdata.palette import colour_map

NAME = "phc-unet"
FCN_RATE = 0.02     # of the mean over pixels
SCENES, ZOOM, GAP = 3, 2, 2     # of the picture


def run(options: Namespace) -> None:
    found: dict[str, dict[str, cells.CellScores]] = {}
    for seed in options.seeds:
        directory = options.directory / f"seed-{seed}"
        trained = {title: _trained(directory, seed, *variant)
                   for title, variant in VARIANTS.items()}
        found[f"seed {seed}"] = {title: cells.of_run(each.run, training.final_weights(each))
                                 for title, each in trained.items()}
        print(draw(trained, options.directory / f"cells-{seed}.png"))
    print("\n" + table(found))


def _trained(directory: Path, seed: int, variant: str, change: Callable[[Experiment], dict]
             ) -> Experiment:
    experiment = variant_of(NAME, directory, seed, variant, change)
    miniature.run(experiment, seed)
    return experiment


def without_weights(source: Source) -> Source:
    params = {key: value for key, value in source.train.params.items() if key != "weights"}
    return replace(source, train=source.train._replace(params=params))


def _unweighted(experiment: Experiment) -> dict[str, Any]:
    return dict(source=without_weights(experiment.source))


def _fcn8s(experiment: Experiment) -> dict[str, Any]:
    net = {key: value for key, value in experiment.net.items() if key != "depth"}
    return dict(_unweighted(experiment), head="fcn8s", lr=FCN_RATE, net=dict(net, normalize=True))


VARIANTS: dict[str, tuple[str, Callable[[Experiment], dict]]] = {
    "FCN-8s": ("fcn8s", _fcn8s), "U-Net, no weights": ("unweighted", _unweighted),
    "U-Net": ("", _unweighted)}         # the miniature itself: nothing is changed


def table(found: dict[str, dict[str, cells.CellScores]]) -> str:
    """Of {seed: {variant: CellScores}}: a line each, their sums, and what the paper found."""
    sums = {title: sum((row[title] for row in found.values()), cells.CellScores())
            for title in VARIANTS}
    rows = {f"{seed}, {title}": scores for seed, row in (*found.items(), ("all", sums))
            for title, scores in row.items()}
    claims = [(ordered(*reversed(VARIANTS)), {title: {name: each.iu for name, each in row.items()}
                                              for title, row in (*found.items(), ("all", sums))})]
    answers = [f"IU of cells, {text}: " + ", ".join(
        f"{title} {'yes' if holds(row) else 'no'}" for title, row in values.items())
        for (text, holds), values in claims]
    return "\n\n".join([cells.table(rows), *answers])


def draw(trained: dict[str, Experiment], path: Path) -> Path:
    """Write a picture: of each of the first validation images a row with the image, the true cells,
    and the objects that each variant finds, in a colour each."""
    first = next(iter(trained.values()))
    own = first.source.val.params
    truths = [instances for _, (_, instances) in zip(range(SCENES), samples(
        Path(own["cells_dir"]), own["split"]))]
    pictures = [_images(first), truths, *map(_objects, trained.values())]
    shown = np.vstack([np.hstack([np.pad(picture if picture.ndim == 3 else coloured(picture), (
        (GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255) for picture in row])
        for row in zip(*pictures)])
    with replacing(path) as temporary:
        Image.fromarray(shown.repeat(ZOOM, 0).repeat(ZOOM, 1)).save(temporary, format="PNG")
    return path


def _images(experiment: Experiment) -> list[np.ndarray]:
    """The first validation images, uint8 (height, width, 3)."""
    net = load_net(experiment.run.prototxt("val"), training.final_weights(experiment))
    margin, found = experiment.run.images().margin, []
    for _ in range(SCENES):
        net.forward()
        inside = slice(margin, -margin or None)
        grey = net.blobs["data"].data[0, 0, inside, inside] + GREY[0]
        found.append(grey.astype(np.uint8)[..., None].repeat(3, -1))
    return found


def _objects(experiment: Experiment) -> list[np.ndarray]:
    """The objects that a net finds in the first validation images, as instances."""
    net = load_net(experiment.run.prototxt("val"), training.final_weights(experiment))
    found = []
    for _ in range(SCENES):
        net.forward()
        found.append(components(net.blobs["score"].data[0].argmax(0) == 1))
    return found


def coloured(instances: np.ndarray) -> np.ndarray:
    """Colours of cells, uint8 (height, width, 3); background is black."""
    colours = np.append([[0, 0, 0]], colour_map()[1:200], 0)
    return colours[np.where(instances > 0, 1 + instances % 199, 0)].astype(np.uint8)
