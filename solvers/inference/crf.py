"""The option --crf: probabilities sharpened along the edges of the image by a dense CRF.

Needs this project's caffe; the original has no function for it.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcn.solvers.console.errors import RunError
from fcn.solvers.inference.averaging import softmax
from fcn.solvers.runs.reading import reading
from fcn.solvers.runs.run import Run
from segdata.files import replacing
from segdata.means import OF_LAYERS

if TYPE_CHECKING:
    import caffe

FILE = "crf.json"       # in a run's folder: the best of `python -m analysis crf`


class Settings(NamedTuple):
    """Of the kernel over places and colours: its weight; its deviations, in pixels and in colour
    values from 0 to 255. The defaults are those of DeepLab (Chen et al. 2015)."""
    w: float = 5
    xy: float = 50
    rgb: float = 10

    def __str__(self) -> str:
        return f"w {self.w:g}, xy {self.xy:g}, rgb {self.rgb:g}"


def add_crf(parser: argparse._ActionsContainer) -> None:
    """Add --crf, which `chosen` takes: None, "" without a value, or Settings."""
    parser.add_argument("--crf", nargs="?", const="", type=parsed, metavar="W,XY,RGB",
                        help="sharpen the classes along the edges of the image by a dense CRF; W: "
                             "weight of the kernel over places and colours, XY and RGB: its "
                             f"deviations (default: the run's {FILE}, which `analysis crf` writes, "
                             "else {:g},{:g},{:g})".format(*Settings()))


def parsed(text: str) -> Settings | str:
    """An argparse type: Settings of W,XY,RGB; "" stays."""
    if not text:
        return text
    try:
        settings = Settings(*map(float, text.split(",")))
        if len(text.split(",")) != len(settings):
            raise ValueError
        return checked(settings)
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(
            f"expected W,XY,RGB, three numbers above 0 such as 5,50,10, got '{text}'; without "
            "numbers --crf comes last, or before another option") from None


def checked(settings: Settings) -> Settings:
    """The settings. Raises ValueError unless all are finite and above 0."""
    if not all(math.isfinite(value) and value > 0 for value in settings):
        raise ValueError(f"expected w, xy and rgb above 0, found {settings}")
    return settings


def chosen(option: Settings | str | None, directory: Path) -> Settings | None:
    """The Settings that --crf asks for, None without it, of a run in `directory`. Prints them.

    Raises RunError where caffe has no dense CRF, or the run's file is damaged.
    """
    if option is None:
        return None
    check_caffe()
    path, source = directory / FILE, "as given"
    if isinstance(option, Settings):
        settings = option
    elif path.exists():
        settings, source = read(path), f"the best in {path}"
    else:
        settings, source = Settings(), "DeepLab's"
    print(f"CRF: {settings} ({source})")
    return settings


def check_caffe() -> None:
    """Raise RunError where caffe has no dense CRF."""
    import caffe
    if not hasattr(caffe, "dense_crf"):
        raise RunError(f"{caffe.__file__} has no dense_crf, which a CRF needs; the original Caffe "
                       "has none. Use this project's caffe, or leave --crf out")


def read(path: Path) -> Settings:
    """The Settings in a file that `write` wrote. Raises RunError if it is damaged."""
    with reading(path, f"JSON file of {', '.join(Settings._fields)}"):
        content = json.loads(path.read_text(encoding="utf-8"))
        return checked(Settings(*(float(content[name]) for name in Settings._fields)))


def write(settings: Settings, directory: Path) -> Path:
    """Have --crf without values use them for the run in `directory`; returns the file."""
    with replacing(directory / FILE) as temporary:
        temporary.write_text(json.dumps(settings._asdict()) + "\n", encoding="utf-8")
    return directory / FILE


def refine(probabilities: np.ndarray, image: np.ndarray, settings: Settings) -> np.ndarray:
    """Probabilities after 10 iterations of the mean field.

    probabilities : float32 (classes, height, width); image : uint8 R G B (height, width, 3)
    """
    import caffe
    if len(probabilities) < 2:
        raise RunError("--crf: the net has one class, so that there is nothing to sharpen; leave "
                       "--crf out")
    try:
        return caffe.dense_crf(probabilities, image, **settings._asdict())
    except RuntimeError as error:
        raise RunError(f"--crf ({settings}): {error}") from None


class Sharpener:
    """Refines the scores of a validation net whose samples are colour photographs."""

    def __init__(self, run: Run, settings: Settings) -> None:
        """Raises RunError where the net takes no colour, or not from one of the project's data
        layers, of which the mean is known."""
        self.settings, self.path = settings, run.prototxt("val")
        kinds, mean, self.margin, _ = run.images()
        layers = [layer for layer in run.net_param("val").layer
                  if layer.python_param.module in OF_LAYERS]
        if not layers or "color" not in kinds:
            raise RunError(f"--crf: {self.path} takes {' and '.join(kinds)} from "
                           f"{layers[0].python_param.layer}; a CRF needs colour images" if layers
                           else f"--crf: {self.path} has no data layer of the project, by which "
                           "the mean of its images is known")
        self.blob, self.mean = layers[0].top[kinds.index("color")], np.reshape(mean, (3, 1, 1))

    def photographs(self, net: caffe.Net) -> np.ndarray:
        """uint8 R G B (number, height, width, 3): the net's present images with their mean, and
        without a margin."""
        inside = slice(self.margin, -self.margin or None)
        images = net.blobs[self.blob].data[:, :, inside, inside]
        pixels = np.rint(images + self.mean).clip(0, 255)
        return pixels[:, ::-1].transpose(0, 2, 3, 1).astype(np.uint8)

    def __call__(self, net: caffe.Net, scores: np.ndarray, source: str) -> np.ndarray:
        """The probabilities that scores (number, classes, height, width) say, refined with the
        net's present images. `source` says in messages where the scores come from."""
        images = self.photographs(net)
        expected = len(images), *images.shape[1:3]
        if (len(scores), *scores.shape[2:]) != expected or scores.shape[1] < 2:
            raise RunError(f"{source} of {self.path}: --crf needs scores of at least 2 classes, "
                           f"(number, height, width) as the images, {expected}; their shape is "
                           f"{scores.shape}")
        return np.stack([refine(probabilities, image, self.settings)
                         for probabilities, image in zip(softmax(scores), images)])
