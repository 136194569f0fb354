"""The embedded dataset: textured shapes over textured backgrounds, made in seconds from a seed.

    python -m segdata.embedded.voc DIR [--seed 0] [--train 360] [--val 60]

`nyud`, `siftflow` and `context` beside it draw other scenes in the same manner.

Training scenes are written in SBD layout to DIR/sbdd/dataset (split train), held-out scenes in
VOC layout to DIR/pascal/VOC2011 (split seg11valid), where the real data lie under `data_root`.
`crops` gives single shapes with their class, and pieces of background, for a classifier.
"""

from __future__ import annotations

import argparse
import colorsys
import hashlib
import inspect
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import scipy.io
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from segdata.arguments import ArgumentParser
from segdata.classes import VOID
from segdata.download.splits import write_list
from segdata.embedded import MANIFEST, description
from segdata.files import make_folder, put_folder
from segdata.palette import label_image

# A class is recognised by its shape for certain; colour and texture are good guesses.
SCENE_SIDE = (128, 160)     # height and width of a scene, px; the steps between are SIDE_STEP
SIDE_STEP = 16              # so that sizes come again, which are planned and recorded once each
SHAPES = (4, 7)             # shapes in a scene; later ones hide earlier ones
RADIUS = (14, 38)           # half the extent of a shape, px: small ones are as common as large
HUE_SPREAD = 0.03           # deviation of a shape's hue; the classes' hues are 1/6 apart
TEXTURE_AGREEMENT = 0.9     # share of shapes that wear the texture of their class
TEXTURE_CONTRAST = 0.30     # amplitude of the texture, as a share of full brightness
TEXTURE_PERIOD = (4, 8)     # px
BACKGROUND_CONTRAST = 0.15
NOISE = 0.03                # deviation of the noise of the camera
VOID_WIDTH = 1.2            # px, around every shape
NEIGHBOURS = 2              # shapes at most that reach into a crop


# The shapes: signed distance of (x, y) to the outline in units of the radius, negative inside.

def disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 1


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return box(x, y, 0.8, 0.8)


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    sides = 2 * np.pi / 3 * np.arange(3)
    return np.max([x * np.sin(side) - y * np.cos(side) for side in sides], axis=0) - 0.5


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.78) - 0.22


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(box(x, y, 1, 0.28), box(x, y, 0.28, 1))


def bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return box(x, y, 1.5, 0.2)


def box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> np.ndarray:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


# The textures: brightness -1..1 at (x, y) in units of the texture's period.

def dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.cos(2 * np.pi * x) * np.cos(2 * np.pi * y)


def checks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sign(dots(x, y))


def stripes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x)


def plain(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.zeros_like(x)


def steps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 2 * (x % 1) - 1


def rings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.cos(2 * np.pi * np.hypot(x, y))


CLASSES = ("background", "disc", "square", "triangle", "ring", "cross", "bar")
OUTLINES = (disc, square, triangle, ring, cross, bar)       # of classes 1, 2, ...
TEXTURES = (dots, checks, stripes, plain, steps, rings)     # what they usually wear


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A scene: uint8 RGB image (height, width, 3) and uint8 label (height, width)."""
    height, width = sides(rng)
    image = background(rng, height, width)
    label = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(SHAPES[0], SHAPES[1] + 1)):
        number = rng.integers(1, len(CLASSES))
        centre = rng.uniform(0, (width, height))
        paint(rng, image, label, number, centre)
    return expose(rng, image), label


def sides(rng: np.random.Generator) -> np.ndarray:
    """Height and width of a scene, px."""
    return rng.choice(np.arange(SCENE_SIDE[0], SCENE_SIDE[1] + 1, SIDE_STEP), 2)


def crops(seed: int, n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` square pictures with a shape in the middle, or none, to train a classifier.

    Up to `NEIGHBOURS` other shapes reach in from outside, as around a shape in a scene. Returns
    uint8 RGB (n, size, size, 3) and the classes int64 (n,): indices of `CLASSES`, 0 where nothing
    is in the middle.
    """
    rng = np.random.default_rng((seed, 2))
    images = np.empty((n, size, size, 3), np.uint8)
    labels = rng.integers(0, len(CLASSES), n)
    for image, label in zip(images, labels):
        canvas, ignored = background(rng, size, size), np.zeros((size, size), np.uint8)
        for _ in range(rng.integers(0, NEIGHBOURS + 1)):
            angle, away = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.5, 0.75)
            paint(rng, canvas, ignored, rng.integers(1, len(CLASSES)),
                  size / 2 + away * np.array([np.cos(angle), np.sin(angle)]))
        if label:
            paint(rng, canvas, ignored, label, size / 2 + rng.uniform(-size / 8, size / 8, 2))
        image[...] = expose(rng, canvas)
    return images, labels


def paint(rng: np.random.Generator, image: np.ndarray, label: np.ndarray,
          number: int | np.integer, centre: np.ndarray) -> None:
    """Draw a shape of class `number` at `centre` (x, y) into image and label, in place."""
    patch, x, y, distance = place(rng, OUTLINES[number - 1], centre, label.shape)
    cover(image[patch], distance, surface(rng, x, y, number))
    label[patch][distance < VOID_WIDTH] = VOID
    label[patch][distance < 0] = number


def place(rng: np.random.Generator, outline: Callable, centre: np.ndarray, bounds: tuple,
          flat: float = 1.0, radius: tuple = RADIUS) -> tuple:
    """A shape of random size and direction: the slices of the image in which it lies, x and y
    there from its centre, and the distance to its outline in px, negative inside.

    `flat` is the height of the shape as a share of its width, for one seen from the side; `radius`
    are the least and the greatest half of its extent, px.
    """
    scale = np.exp(rng.uniform(*np.log(radius)))
    patch, x, y = patch_around(centre, 1.6 * scale + 2, bounds)
    return patch, x, y, flat * scale * outline(*(turn(rng, x, y / flat) / scale))


def cover(image: np.ndarray, distance: np.ndarray, colours: np.ndarray) -> None:
    """Lay `colours` over `image`, in place, where `distance` (px) is negative; edges are soft."""
    share = np.clip(0.5 - distance, 0, 1)[..., None]
    image += share * (colours - image)


def patch_around(centre: np.ndarray, reach: float, bounds: tuple) -> tuple:
    """The part of an image within `reach` of `centre`: its slices, and x, y from the centre."""
    (left, top), (height, width) = (np.maximum(np.floor(centre - reach), 0).astype(int), bounds)
    right, bottom = np.ceil(centre + reach).astype(int)
    y, x = np.mgrid[top:min(bottom, height), left:min(right, width)]
    return np.s_[top:bottom, left:right], x - centre[0], y - centre[1]


def surface(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, number: int | np.integer
            ) -> np.ndarray:
    """The colours (height, width, 3), in 0..1, of a shape of class `number`."""
    hue = (number - 1) / len(OUTLINES) + rng.normal(0, HUE_SPREAD)
    colour = vivid(rng, hue)
    own = rng.random() < TEXTURE_AGREEMENT
    texture = TEXTURES[number - 1 if own else rng.integers(len(TEXTURES))]
    return colour + TEXTURE_CONTRAST * weave(rng, x, y, texture)


def vivid(rng: np.random.Generator, hue: float) -> tuple[float, float, float]:
    """A colour of that hue, (3,) in 0..1."""
    return colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.45, 0.9), rng.uniform(0.45, 0.9))


def weave(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, texture: Callable) -> np.ndarray:
    """A texture of random period and direction, (height, width, 1) in -1..1."""
    period = rng.uniform(*TEXTURE_PERIOD)
    return texture(*(turn(rng, x, y) / period))[..., None]


def background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Two muted colours in soft patches, under a texture: float (height, width, 3), 0..1."""
    y, x = np.mgrid[:height, :width]
    first, second = (np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.35),
                                                  rng.uniform(0.25, 0.85))) for _ in range(2))
    patches = Image.fromarray(rng.random((5, 5), np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC)
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    weave = texture(*(turn(rng, x, y) / rng.uniform(*TEXTURE_PERIOD)))
    return (first + (second - first) * np.asarray(patches)[..., None]
            + rng.uniform(0, BACKGROUND_CONTRAST) * weave[..., None])


def turn(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x and y in a system turned at random: (2, height, width)."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)])


def expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Add noise and round: float 0..1 -> uint8."""
    noisy = image + NOISE * rng.standard_normal(image.shape, np.float32)
    return (255 * np.clip(noisy, 0, 1)).round().astype(np.uint8)


def generate(directory: str | Path, seed: int = 0, train: int = 360, val: int = 60) -> None:
    """Write the dataset to `directory`; see `publish`."""
    publish(directory, write_scenes, seed=seed, train=train, val=val)


def publish(directory: str | Path, write: Callable[..., None], **settings: int) -> None:
    """write(folder, **settings), and the folder becomes `directory`.

    Nothing is done where the same dataset is there already. An older dataset in that place is
    replaced; a directory with anything else in it is an error. Another process that writes it,
    too, is waited for, by a lock beside it.
    """
    directory = Path(directory).resolve()
    make_folder(directory.parent)
    lock = directory.with_name(f".{directory.name}.lock")
    with FileLock(lock):
        _publish(directory, write, settings)
        with suppress(OSError):         # Windows keeps a file that is open
            lock.unlink()               # whoever waits for it finds the dataset and does nothing


def _publish(directory: Path, write: Callable[..., None], settings: dict[str, int]) -> None:
    manifest = directory / MANIFEST
    function = write.func if isinstance(write, partial) else write
    sources = {__file__, inspect.getsourcefile(function) or __file__}
    digest = hashlib.sha1(b"".join(Path(file).read_bytes() for file in sorted(sources)))
    wanted = json.dumps({**settings, "source": digest.hexdigest()})
    if manifest.exists() and manifest.read_text() == wanted:
        return
    if directory.exists() and any(directory.iterdir()) and not manifest.exists():
        raise FileExistsError(f"{directory} exists and holds no embedded dataset")
    staging = directory.with_name(directory.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    write(staging, **settings)
    (staging / manifest.name).write_text(wanted)
    shutil.rmtree(directory, ignore_errors=True)
    put_folder(staging, directory)


def write_scenes(directory: Path, seed: int, train: int, val: int) -> None:
    sbdd, voc = directory / "sbdd" / "dataset", directory / "pascal" / "VOC2011"
    lists = voc / "ImageSets" / "Segmentation"
    for folder in (sbdd / "img", sbdd / "cls",
                   voc / "JPEGImages", voc / "SegmentationClass", lists):
        folder.mkdir(parents=True)
    (voc / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    write_split(sbdd / "train.txt", (seed, 0), train, scene, partial(save_sbd, sbdd))
    write_split(lists / "seg11valid.txt", (seed, 1), val, scene, partial(save_voc, voc))


def write_split(list_file: Path, seed: tuple, count: int, make: Callable, save: Callable
                ) -> list[str]:
    """Hand `count` scenes, made by make(rng), to save(name, *scene); then write their list.

    Returns the names.
    """
    names = [f"{list_file.stem}_{index:05d}" for index in range(count)]
    for index, name in enumerate(tqdm(names, desc=f"drawing {list_file.stem}", unit="scene",
                                      disable=None)):
        save(name, *make(np.random.default_rng((*seed, index))))
    write_list(list_file, names)
    return names


def save_jpeg(image: np.ndarray, path: Path) -> None:
    Image.fromarray(image).save(path, quality=95, exif=description())


def save_sbd(root: Path, name: str, image: np.ndarray, label: np.ndarray) -> None:
    save_jpeg(image, root / "img" / f"{name}.jpg")
    scipy.io.savemat(root / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": label}})


def save_voc(root: Path, name: str, image: np.ndarray, label: np.ndarray) -> None:
    save_jpeg(image, root / "JPEGImages" / f"{name}.jpg")
    label_image(label).save(root / "SegmentationClass" / f"{name}.png")


def command(description: str, generate: Callable[..., None]) -> None:
    """The command line of a dataset: DIR, and --NAME for each further argument of `generate`."""
    parser = ArgumentParser(description=description,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", metavar="DIR")
    for name, argument in list(inspect.signature(generate).parameters.items())[1:]:
        parser.add_argument(f"--{name}", type=int, default=argument.default,
                            help=f"default {argument.default}")
    try:
        generate(**vars(parser.parse_args()))
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    command(__doc__, generate)
