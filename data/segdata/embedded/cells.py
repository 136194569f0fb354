"""The embedded dataset of touching cells, as three microscopes see them, in the layout of the real
sets.

    python -m segdata.embedded.cells DIR [--seed 0] [--train 40] [--val 12]

    DIR/cells/{isbi,phc,dic}/{train,val}.txt
    DIR/cells/LOOK/images/NAME.tif          grey
    DIR/cells/LOOK/instances/NAME.tif       16 bit, a number for each cell, 0 for background
    DIR/cells/LOOK/weights/NAME.npy         weights of the pixels

isbi: cells fill the plane, and dark membranes part them, here and there hardly to be seen. phc:
cells with dark rims in bright halos. dic: cells as a relief in slanting light. In phc and dic cells
touch each other, and where they do there is only a faint line.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from segdata.cell_files import CLASSES, write_sample, write_weights
from segdata.embedded import description
from segdata.embedded import voc as base

__all__ = ["CLASSES", "LOOKS", "generate", "generator", "scene"]

LOOKS = ("isbi", "phc", "dic")
SIDE = 128                  # px, of a scene
RADIUS = (10, 16)           # px, of a cell
APART = 1.25                # radii, at least, between the centres of cells
TRIES = 60                  # places that are tried for cells
FLATTENED = (0.7, 1.0)      # the short radius of a cell, as a share of the long one
LINE = 1.5                  # px, of the line between cells that touch
MEMBRANE = 1.5              # px on each side of the line between two cells of isbi
FAINT = (0.4, 1.0)          # how clear lines between cells are, from place to place
TEXTURE = 0.04              # amplitude inside cells
NOISE = 0.03                # deviation of the camera's noise


def scene(rng: np.random.Generator, look: str) -> tuple[np.ndarray, np.ndarray]:
    """A scene: uint8 image (SIDE, SIDE) and its instances, int32 (SIDE, SIDE)."""
    cells, distance = place(rng, fills=look == "isbi")
    line, away = lines(cells)
    faint = between(rng, FAINT)
    if look == "isbi":
        image = 0.7 - 0.45 * faint * np.exp(-(line / MEMBRANE) ** 2)
        cells = np.where(line < MEMBRANE, 0, cells)
    elif look == "phc":
        outer = ndimage.distance_transform_edt(cells > 0)
        rim = np.maximum(np.exp(-(outer / 2) ** 2), faint * np.exp(-(line / LINE) ** 2))
        image = np.where(cells > 0, 0.45 - 0.25 * rim, 0.5 + 0.3 * np.exp(-(away / 4) ** 2))
    else:
        height = ndimage.gaussian_filter(np.sqrt(np.clip(1 - distance ** 2, 0, 1)), 1.0)
        slope = ndimage.sobel(height, 0) + ndimage.sobel(height, 1)
        image = 0.5 + 0.12 * slope - 0.25 * faint * np.exp(-(line / LINE) ** 2) * (cells > 0)
    image += TEXTURE * (cells > 0) * grain(rng, 1.5) + 0.5 * TEXTURE * grain(rng, 20)
    image += NOISE * rng.standard_normal(image.shape)
    return (255 * np.clip(image, 0, 1)).round().astype(np.uint8), renumbered(cells)


def place(rng: np.random.Generator, fills: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cells, int32 (SIDE, SIDE), and the distance of each pixel to the centre of the nearest, in
    radii of that cell. They fill the plane, or end one radius from their centres."""
    y, x = np.mgrid[:SIDE, :SIDE]
    centres: list[tuple[np.ndarray, float]] = []
    distances = [np.full((SIDE, SIDE), np.inf if fills else 1.0)]       # of background
    for _ in range(3 * TRIES if fills else TRIES):
        centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(*RADIUS)
        if any(np.hypot(*(centre - other)) < APART * (radius + beside) / 2
               for other, beside in centres):
            continue
        centres.append((centre, radius))
        u, v = base.turn(rng, x - centre[0], y - centre[1])
        distances.append(np.hypot(u, v / rng.uniform(*FLATTENED)) / radius)
    nearest = np.argmin(distances, axis=0)
    return nearest.astype(np.int32), np.min(distances[1:], axis=0)


def lines(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distances, px, to the line between two cells, and to the nearest cell."""
    beside = np.zeros(cells.shape, bool)
    for axis in (0, 1):
        first, second = cells.swapaxes(0, axis)[:-1], cells.swapaxes(0, axis)[1:]
        meets = (first != second) & (first > 0) & (second > 0)
        beside.swapaxes(0, axis)[:-1] |= meets
        beside.swapaxes(0, axis)[1:] |= meets
    line = ndimage.distance_transform_edt(~beside) if beside.any() else np.full(cells.shape, SIDE)
    return line, ndimage.distance_transform_edt(cells == 0)


def between(rng: np.random.Generator, bounds: tuple[float, float]) -> np.ndarray:
    """Values (SIDE, SIDE) that change slowly from place to place, between two bounds."""
    coarse = Image.fromarray(rng.random((6, 6), np.float32)).resize((SIDE, SIDE),
                                                                    Image.Resampling.BICUBIC)
    return bounds[0] + (bounds[1] - bounds[0]) * np.clip(np.asarray(coarse), 0, 1)


def grain(rng: np.random.Generator, size: float) -> np.ndarray:
    """Smooth noise of that size in px, with the deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), size)
    return noise / noise.std()


def renumbered(cells: np.ndarray) -> np.ndarray:
    """The cells numbered from 1 without a gap: of those that a line cuts, every part is one."""
    found = np.zeros_like(cells)
    for number in range(1, cells.max() + 1):
        parts, _ = ndimage.label(cells == number)
        found[parts > 0] = parts[parts > 0] + found.max()
    return found


def generate(directory: str | Path, seed: int = 0, train: int = 40, val: int = 12) -> None:
    """Write all looks to `directory`; see `voc.publish`."""
    base.publish(directory, partial(write_scenes, LOOKS), seed=seed, train=train, val=val)


def generator(look: str) -> Callable[..., None]:
    """`generate` for one look alone."""
    def generate(directory: str | Path, seed: int = 0, train: int = 40, val: int = 12) -> None:
        base.publish(directory, partial(write_scenes, (look,)), seed=seed, train=train, val=val)
    return generate


def write_scenes(looks: Iterable[str], directory: Path, seed: int, train: int, val: int) -> None:
    for look in looks:
        number, folder = LOOKS.index(look), directory / "cells" / look
        folder.mkdir(parents=True)
        make, save = partial(scene, look=look), partial(write_sample, folder, exif=description())
        base.write_split(folder / "train.txt", (seed, number, 0), train, make, save)
        base.write_split(folder / "val.txt", (seed, number, 1), val, make, save)
        write_weights(folder)


if __name__ == "__main__":
    base.command(__doc__, generate)
