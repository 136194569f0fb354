"""The embedded dataset with many classes: 59 and background, in PASCAL-Context's layout.

    python -m segdata.embedded.context DIR [--seed 0] [--train 360] [--val 60]

    DIR/pascal/VOC2010/ImageSets/Main/{train,val}.txt
    DIR/pascal/VOC2010/JPEGImages/NAME.jpg
    DIR/pascal-context/trainval/NAME.mat            'LabelMap': the lines of labels.txt, from 1
    DIR/pascal-context/labels.txt                   459 lines "ID: name"
    DIR/pascal-context/59_labels.txt                59 lines "ID: name"

There are 60 kinds of things: each of the six shapes of `voc`, in its texture, in ten hues.
59 have the names of the task's classes, the last is outside the task, thus background. The
regions behind the shapes are of the same kinds, recognised by their surface. As in the original
every pixel is labelled, and classes are common or rare: the six shapes in the hues that they have
in `voc`, which the miniatures' classifier has seen, come ten times as often as the last six.
"""

from functools import partial
from pathlib import Path

import numpy as np
import scipy.io

from segdata.classes import PASCALCONTEXT, PASCALCONTEXT_FULL_NAMES
from segdata.download.splits import write_list
from segdata.embedded import voc as base

CLASSES = PASCALCONTEXT[1:]

LABELS = 459            # in the full list; every seventh is one of `CLASSES`
SPACING = 7
HUES = 10               # of a shape, the first its own in `voc`
HUE_SPREAD = 0.01       # deviation; the hues of a shape are 1/10 apart
KINDS = HUES * len(base.OUTLINES)
FREQUENCY = 1 / (1 + np.arange(KINDS) // len(base.OUTLINES))     # falls from hue to hue
SIDE = (112, 136)       # height and width of a scene, px
REGIONS = (2, 3)        # behind the shapes
SHAPES = (3, 6)
RADIUS = (18, 40)       # half the extent of a shape, px: FCN-32s sees no small ones


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A scene: uint8 RGB image (height, width, 3) and uint16 label (height, width), 1..LABELS."""
    height, width = rng.integers(*SIDE, size=2, endpoint=True)
    y, x = np.mgrid[:height, :width]
    seeds = rng.uniform(0, (width, height), (rng.integers(*REGIONS, endpoint=True), 2))
    nearest = np.hypot(x - seeds[:, 0, None, None], y - seeds[:, 1, None, None]).argmin(axis=0)
    kinds = random_kinds(rng, len(seeds))
    image = np.choose(nearest[..., None], [surface(rng, x, y, kind) for kind in kinds])
    label = full_label(kinds)[nearest]
    for kind in random_kinds(rng, rng.integers(*SHAPES, endpoint=True)):
        put(rng, image, label, kind)
    return base.expose(rng, image), label


def random_kinds(rng: np.random.Generator, count: int | np.integer) -> np.ndarray:
    """`count` kinds, drawn by frequency: numbers 0..58 are classes, 59 is background."""
    return rng.choice(KINDS, count, p=FREQUENCY / FREQUENCY.sum())


def full_label(kind: int | np.ndarray) -> np.ndarray:
    """The label of a kind in the full list: 7, 14, ... for 0, 1, ..."""
    return (SPACING * (np.asarray(kind) + 1)).astype(np.uint16)


def put(rng: np.random.Generator, image: np.ndarray, label: np.ndarray, kind: int) -> None:
    """Draw a shape of that kind into image and label, in place."""
    patch, x, y, distance = base.place(rng, base.OUTLINES[kind % len(base.OUTLINES)],
                                  rng.uniform(0, label.shape[::-1]), label.shape, radius=RADIUS)
    base.cover(image[patch], distance, surface(rng, x, y, kind))
    label[patch][distance < 0] = full_label(kind)


def surface(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, kind: int) -> np.ndarray:
    """The colours (height, width, 3), in 0..1, of a kind."""
    hue, shape = divmod(kind, len(base.OUTLINES))
    colour = base.vivid(rng, shape / len(base.OUTLINES) + hue / HUES + rng.normal(0, HUE_SPREAD))
    return colour + base.TEXTURE_CONTRAST * base.weave(rng, x, y, base.TEXTURES[shape])


def generate(directory: str | Path, seed: int = 0, train: int = 360, val: int = 60) -> None:
    """Write the dataset to `directory`; see `voc.publish`."""
    base.publish(directory, write_scenes, seed=seed, train=train, val=val)


def write_scenes(directory: Path, seed: int, train: int, val: int) -> None:
    voc, context = directory / "pascal" / "VOC2010", directory / "pascal-context"
    lists = voc / "ImageSets" / "Main"
    for folder in (voc / "JPEGImages", lists, context / "trainval"):
        folder.mkdir(parents=True)
    names = [f"other{number}" for number in range(1, LABELS + 1)]
    for kind, name in enumerate(CLASSES):
        names[full_label(kind) - 1] = PASCALCONTEXT_FULL_NAMES.get(name, name)
    for file, values in (("labels.txt", names), ("59_labels.txt", CLASSES)):
        write_list(context / file, [f"{number}: {name}" for number, name in enumerate(values, 1)])
    base.write_split(lists / "train.txt", (seed, 0), train, scene, partial(save, voc, context))
    base.write_split(lists / "val.txt", (seed, 1), val, scene, partial(save, voc, context))


def save(voc: Path, context: Path, name: str, image: np.ndarray, label: np.ndarray) -> None:
    base.save_jpeg(image, voc / "JPEGImages" / f"{name}.jpg")
    scipy.io.savemat(context / "trainval" / f"{name}.mat", {"LabelMap": label})


if __name__ == "__main__":
    base.command(__doc__, generate)
