"""The embedded RGB-D dataset: rooms seen by a depth camera, in NYUDv2's layout.

    python -m segdata.embedded.nyud DIR [--seed 0] [--train 300] [--test 60]

    DIR/nyud/{train,val,trainval,test}.txt          train and val are the parts of trainval
    DIR/nyud/data/images/img_NAME.png               colour
    DIR/nyud/data/depth/img_NAME.png                16 bit, mm, no gaps
    DIR/nyud/data/hha/img_NAME.png                  disparity, height, angle
    DIR/nyud/segmentation/img_NAME.mat              'segmentation': 1.. = CLASSES, 0 = unlabelled

A wall, a floor, and shapes of any outline and texture that are red or blue, and lie on wall or
floor (posters), stand upright before them (boards) or lean back (ramps). Depth cannot tell red
from blue and sees no poster; colour cannot tell posters, boards and ramps: it takes both.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
from PIL import Image

from segdata.download.splits import write_list
from segdata.embedded import description
from segdata.embedded import voc as base

CLASSES = ("wall", "floor", "red poster", "blue poster", "red board", "blue board",
           "red ramp", "blue ramp")
HUES = (0.0, 0.6)           # red, blue
HUE_SPREAD = 0.04
SIDE = (120, 160)           # height and width, px, 4:3 as the Kinect's
FOCAL = 130.0               # px
CAMERA = (1.0, 1.5)         # height over the floor, m; the camera looks level
WALL = (2.6, 4.2)           # distance, m
WALL_TURN = np.radians(25)  # at most, to either side
LEAN = np.radians((30, 50)) # of a ramp, from the vertical
BEFORE = (0.55, 0.85)       # distance of a shape, as a share of that of what it hides
SHAPES = (5, 8)
RADIUS = (18, 42)           # half the extent of a shape, px: FCN-32s is all that this task has
DEPTH_NOISE = 0.003         # deviation, as a share of the depth
TRAIN_SHARE = 0.75          # of trainval


class Scene(NamedTuple):
    """image, hha: uint8 (height, width, 3); depth: m; label: uint8, 0 = unlabelled."""
    image: np.ndarray
    depth: np.ndarray
    hha: np.ndarray
    label: np.ndarray


@dataclass
class Room:
    """What is drawn so far, seen along the rays (x, y, 1), y down: all arrays (height, width)."""
    x: np.ndarray
    y: np.ndarray
    image: np.ndarray       # (height, width, 3)
    depth: np.ndarray       # m
    angle: np.ndarray       # degrees between gravity and the normal that leads away from the eye
    label: np.ndarray


def scene(rng: np.random.Generator) -> Scene:
    """A `Scene`. Posters are drawn first, for they lie on wall and floor; then the nearest wins."""
    camera = rng.uniform(*CAMERA)
    room = empty_room(rng, camera)
    for number in np.sort(rng.integers(3, len(CLASSES) + 1, rng.integers(*SHAPES))):
        put(rng, room, number)
    noisy = room.depth * (1 + DEPTH_NOISE * rng.standard_normal(room.depth.shape))
    height = camera - room.y * room.depth
    return Scene(base.expose(rng, room.image), noisy, hha(room.depth, height, room.angle),
                 room.label)


def empty_room(rng: np.random.Generator, camera: float) -> Room:
    """A wall that is turned a little, and the floor, `camera` m below the eye."""
    height, width = SIDE
    v, u = np.mgrid[:height, :width]
    x, y = (u - width / 2) / FOCAL, (v - height * rng.uniform(0.35, 0.5)) / FOCAL
    turned = rng.uniform(-WALL_TURN, WALL_TURN)
    wall = rng.uniform(*WALL) / (x * np.sin(turned) + np.cos(turned))
    floor = np.divide(camera, y, out=np.full(SIDE, np.inf), where=y > 0)
    below = floor < wall
    image = np.where(below[..., None], base.background(rng, *SIDE), base.background(rng, *SIDE))
    return Room(x, y, image, np.minimum(floor, wall), np.where(below, 0.0, 90.0),
                np.where(below, 2, 1).astype(np.uint8))


def put(rng: np.random.Generator, room: Room, number: int) -> None:
    """Draw a shape of class `number` into the room, where nothing nearer hides it."""
    outline = base.OUTLINES[rng.integers(len(base.OUTLINES))]
    patch, x, y, distance = base.place(rng, outline, rng.uniform(0, SIDE[::-1]), SIDE,
                                  radius=RADIUS)
    kind, hue = divmod(number - 3, len(HUES))
    if kind > 0:
        lean = rng.uniform(*LEAN) if kind == 2 else 0.0
        depth = plane(rng, room.y[patch], np.where(distance < 0, room.depth[patch], np.inf), lean)
        distance = np.where(depth < room.depth[patch], distance, np.inf)
        room.depth[patch] = np.where(distance < 0, depth, room.depth[patch])
        room.angle[patch][distance < 0] = 90 - np.degrees(lean)
    colours = (base.vivid(rng, HUES[hue] + rng.normal(0, HUE_SPREAD))
               + base.TEXTURE_CONTRAST * base.weave(
                   rng, x, y, base.TEXTURES[rng.integers(len(base.TEXTURES))]))
    base.cover(room.image[patch], distance, colours)
    room.label[patch][distance < base.VOID_WIDTH] = 0
    room.label[patch][distance < 0] = number


def plane(rng: np.random.Generator, y: np.ndarray, behind: float | np.ndarray, lean: float
          ) -> np.ndarray:
    """The depth (m) of a plane that leans back by `lean` and lies in front of `behind` (m).

    Its points P have n·P constant with n = (0, sin lean, cos lean), so that along the ray
    (x, y, 1) the depth is proportional to 1 / (y sin lean + cos lean).
    """
    slope = 1 / (y * np.sin(lean) + np.cos(lean))
    return rng.uniform(*BEFORE) * (behind / slope).min() * slope


def hha(depth: np.ndarray, height: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Disparity, height over the floor and angle with gravity, uint8 (height, width, 3).

    Scaled as by Gupta et al. (ECCV 2014): 31000 over the depth in cm, cm, degrees + 38.
    """
    planes = np.stack([310 / depth, 100 * height, angle + 38], axis=-1)
    return np.clip(planes.round(), 0, 255).astype(np.uint8)


def generate(directory: str | Path, seed: int = 0, train: int = 300, test: int = 60) -> None:
    """Write the dataset to `directory`; see `voc.publish`."""
    base.publish(directory, write_scenes, seed=seed, train=train, test=test)


def write_scenes(directory: Path, seed: int, train: int, test: int) -> None:
    root = directory / "nyud"
    for folder in ("data/images", "data/depth", "data/hha", "segmentation"):
        (root / folder).mkdir(parents=True)
    names = base.write_split(root / "trainval.txt", (seed, 0), train, scene, partial(save, root))
    write_list(root / "train.txt", names[:int(TRAIN_SHARE * train)])
    write_list(root / "val.txt", names[int(TRAIN_SHARE * train):])
    base.write_split(root / "test.txt", (seed, 1), test, scene, partial(save, root))


def save(root: Path, name: str, image: np.ndarray, depth: np.ndarray, hha: np.ndarray,
         label: np.ndarray) -> None:
    millimetres = (1000 * depth).round().astype(np.uint16)
    for folder, picture in (("images", image), ("depth", millimetres), ("hha", hha)):
        Image.fromarray(picture).save(root / "data" / folder / f"img_{name}.png",
                                      exif=description())
    scipy.io.savemat(root / "segmentation" / f"img_{name}.mat", {"segmentation": label})


if __name__ == "__main__":
    base.command(__doc__, generate)
