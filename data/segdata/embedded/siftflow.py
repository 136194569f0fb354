"""The embedded dataset with two label sets: outdoor views, in SIFT Flow's layout.

    python -m segdata.embedded.siftflow DIR [--seed 0] [--train 300] [--test 60]

    DIR/sift-flow/{trainval,test}.txt
    DIR/sift-flow/Images/CATEGORIES/NAME.jpg
    DIR/sift-flow/SemanticLabels/CATEGORIES/NAME.mat    'S': 1.. = SEMANTIC, 0 = unlabelled
    DIR/sift-flow/GeoLabels/CATEGORIES/NAME.mat         'S': 1.. = GEOMETRIC, -1 = unlabelled

Sky, houses and ground, and shapes before them. What a shape is its outline tells, and for the
most part colour and texture; a shape on the ground either stands (vertical, in shade) or lies
(horizontal: flattened, in light). Some shapes never occur in the test set.
"""

import colorsys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import scipy.io

from segdata.classes import SIFTFLOW_GEOMETRIC
from segdata.download.splits import SIFTFLOW_CATEGORIES as CATEGORIES
from segdata.embedded import voc as base

SEMANTIC = ("sky", "house", "ground", *base.CLASSES[1:])
GEOMETRIC = SIFTFLOW_GEOMETRIC
ABSENT = ("ring", "cross")          # from the test set
SKY, HORIZONTAL, VERTICAL = 1, 2, 3
REGION_GEOMETRY = np.array([0, SKY, VERTICAL, HORIZONTAL])      # of sky, house, ground = 1, 2, 3

SIDE = 128                          # px
HORIZON = (0.4, 0.65)               # from the top, as a share of the side
HOUSES = (3, 7)                     # plots in a view, some of them empty
FLATTENED = 0.4                     # height of a lying shape, as a share of its width
LIGHT, SHADE = 1.15, 0.75           # brightness of what lies and of what stands
# Hue, saturation and value of the regions, from and to.
PALETTE = (((0.50, 0.10, 0.75), (0.65, 0.45, 1.00)),
           ((0.00, 0.00, 0.30), (1.00, 0.20, 0.65)),
           ((0.08, 0.20, 0.30), (0.35, 0.50, 0.60)))


def scene(rng: np.random.Generator, present: Sequence[str] = base.CLASSES[1:]
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A view: RGB uint8 (SIDE, SIDE, 3), semantic uint8 and geometric int16 labels (SIDE, SIDE)."""
    region = regions(rng)
    image = np.choose(region[..., None] - 1, [coloured(rng, *hsv) for hsv in PALETTE])
    unlabelled = border(region)
    semantic = np.where(unlabelled, 0, region).astype(np.uint8)
    geometric = np.where(unlabelled, -1, REGION_GEOMETRY[region]).astype(np.int16)
    for _ in range(rng.integers(base.SHAPES[0], base.SHAPES[1] + 1)):
        number = base.CLASSES.index(present[int(rng.integers(len(present)))])
        put(rng, image, semantic, geometric, region, number)
    return base.expose(rng, image), semantic, geometric


def regions(rng: np.random.Generator) -> np.ndarray:
    """1 = sky, 2 = house, 3 = ground (SIDE, SIDE): houses of any width along the horizon."""
    y, x = np.mgrid[:SIDE, :SIDE]
    horizon = SIDE * rng.uniform(*HORIZON)
    ends = np.sort(rng.uniform(0, SIDE, rng.integers(*HOUSES)))
    heights = np.maximum(SIDE * rng.uniform(-0.2, 0.4, len(ends) + 1), 0)
    roof = horizon - heights[np.searchsorted(ends, x)]
    return np.where(y >= horizon, 3, np.where(y >= roof, 2, 1))


def coloured(rng: np.random.Generator, low: tuple, high: tuple) -> np.ndarray:
    """A surface of one colour between two (hue, saturation, value), under a texture."""
    y, x = np.mgrid[:SIDE, :SIDE]
    texture = base.TEXTURES[rng.integers(len(base.TEXTURES))]
    return (np.array(colorsys.hsv_to_rgb(*rng.uniform(low, high)))
            + rng.uniform(0, base.BACKGROUND_CONTRAST) * base.weave(rng, x, y, texture))


def border(region: np.ndarray) -> np.ndarray:
    """True on both sides of every edge between regions."""
    edge = np.zeros(region.shape, bool)
    for axis in (0, 1):
        step = np.diff(region, axis=axis) != 0
        edge |= np.insert(step, 0, False, axis) | np.insert(step, step.shape[axis], False, axis)
    return edge


def put(rng: np.random.Generator, image: np.ndarray, semantic: np.ndarray, geometric: np.ndarray,
        region: np.ndarray, number: int) -> None:
    """Draw the shape of class `number` (of `CLASSES`) into image and labels, in place."""
    centre = rng.uniform(0, SIDE, 2)
    geometry = REGION_GEOMETRY[region[tuple(centre[::-1].astype(int))]]
    if geometry == HORIZONTAL and rng.random() < 0.5:
        geometry = VERTICAL
    flat = FLATTENED if geometry == HORIZONTAL else 1.0
    patch, x, y, distance = base.place(rng, base.OUTLINES[number - 1], centre, region.shape, flat)
    brightness = {SKY: 1.0, HORIZONTAL: LIGHT, VERTICAL: SHADE}[geometry]
    base.cover(image[patch], distance, brightness * base.surface(rng, x, y, number))
    for label, value, unlabelled in ((semantic, SEMANTIC.index(base.CLASSES[number]) + 1, 0),
                                     (geometric, geometry, -1)):
        label[patch][distance < base.VOID_WIDTH] = unlabelled
        label[patch][distance < 0] = value


def generate(directory: str | Path, seed: int = 0, train: int = 300, test: int = 60) -> None:
    """Write the dataset to `directory`; see `voc.publish`."""
    base.publish(directory, write_scenes, seed=seed, train=train, test=test)


def write_scenes(directory: Path, seed: int, train: int, test: int) -> None:
    root = directory / "sift-flow"
    for folder in ("Images", "SemanticLabels", "GeoLabels"):
        (root / folder / CATEGORIES).mkdir(parents=True)
    present = [name for name in base.CLASSES[1:] if name not in ABSENT]
    base.write_split(root / "trainval.txt", (seed, 0), train, scene, partial(save, root))
    base.write_split(root / "test.txt", (seed, 1), test, partial(scene, present=present),
                partial(save, root))


def save(root: Path, name: str, image: np.ndarray, semantic: np.ndarray, geometric: np.ndarray
        ) -> None:
    base.save_jpeg(image, root / "Images" / CATEGORIES / f"{name}.jpg")
    for folder, label in (("SemanticLabels", semantic), ("GeoLabels", geometric)):
        scipy.io.savemat(root / folder / CATEGORIES / f"{name}.mat", {"S": label})


if __name__ == "__main__":
    base.command(__doc__, generate)
