"""The pictures of the demo: scenes, and what each net and stride says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn.nets.source import MEAN
from fcn.solvers import training
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.inference.fields import Field, fields_of
from fcn.solvers.miniatures.miniature import Trained
from fcn.solvers.scoring.prediction import load_net, predicted_classes
from segdata.classes import VOID
from segdata.files import replacing
from segdata.palette import colour_map

ACROSS = 64         # heights of its text that a wide picture has


def draw(trained: list[Trained], path: Path, scenes: int = 3) -> Path:
    """Write a picture of the first held-out scenes, input | truth | one column a stage."""
    pictures: dict[str, Sequence[np.ndarray]] = {}
    for experiment, scores in trained:
        images, labels, predictions, _ = _segment(experiment, scenes)
        pictures = pictures or {"input": images, "truth": labels}
        pictures[f"{experiment.head}\nmean IU {100 * scores['label'].mean_iu:.1f}%"] = predictions
    with replacing(path) as temporary:
        grid(pictures, experiment.class_names["label"]).save(temporary, format="PNG")
    return path


def _segment(experiment: Experiment, scenes: int) -> Iterator[tuple[np.ndarray, ...]]:
    """(input, truth, prediction, blocks) of the first validation scenes, four lists of pictures."""
    weights = training.final_weights(experiment)
    net = load_net(experiment.run.prototxt("val"), weights)
    coarse, fields = coarse_scores(experiment)
    pictures = []
    for _ in range(scenes):
        net.forward()
        data, label = net.blobs["data"].data, net.blobs["label"].data
        predicted, before = (predicted_classes(net.blobs[blob].data, f"{weights}, {blob}")[0]
                             for blob in ("score", coarse))
        pictures.append((_photograph(data[0]), _coloured(label[0, 0]), _coloured(predicted),
                         _coloured(blocks(before, fields, predicted.shape))))
    return zip(*pictures)


def coarse_scores(experiment: Experiment) -> tuple[str, list[Field]]:
    """The blob of scores that the net's last deconvolution takes, and its Fields along height and
    width."""
    layers = experiment.run.net_param("deploy").layer
    blob = next(layer.bottom[0] for layer in reversed(layers) if layer.type == "Deconvolution")
    of_blobs = [{top: field for layer, field in zip(layers, fields_of(layers, axis))
                 for top in layer.top} for axis in (0, 1)]
    return blob, [field for each in of_blobs if isinstance(field := each[blob], Field)]


def blocks(classes: np.ndarray, fields: Sequence[Field], size: Sequence[int]) -> np.ndarray:
    """Coarse classes in the size of the image (height, width): a pixel has that of the sample
    nearest to it, by the centres of the samples' Fields."""
    nearest = []
    for samples, field, pixels in zip(classes.shape, fields, size):
        places = (np.arange(pixels) - float(field.centre)) / float(field.stride)
        nearest.append(places.round().astype(int).clip(0, samples - 1))
    return classes[np.ix_(*nearest)]


def draw_strides(trained: list[Trained], path: Path, scenes: int = 2) -> Path:
    """Write a picture of what each net says before its last interpolation, in blocks as large as
    its stride, and of what the last says after it."""
    pictures: dict[str, Sequence[np.ndarray]] = {}
    for experiment, _ in trained:
        images, labels, predictions, coarse = _segment(experiment, scenes)
        pictures = pictures or {"input": images, "truth": labels}
        stride = coarse_scores(experiment)[1][0].stride
        pictures[f"{experiment.head}\nblocks of {stride} pixels"] = coarse
    pictures[f"{experiment.head}\ninterpolated"] = predictions
    with replacing(path) as temporary:
        grid(pictures, experiment.class_names["label"]).save(temporary, format="PNG")
    return path


def grid(columns: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], zoom: int = 2,
         gap: int = 8) -> Image.Image:
    """A picture of {title of one or two lines: images}, enlarged, with a legend of the class names.
    The wider it is, the larger its text, for pages show it in their own width."""
    rows = len(columns["input"])
    height, width = zoom * np.max([image.shape[:2] for image in columns["input"]], axis=0)
    whole = gap + len(columns) * (width + gap)
    size = max(16, whole // ACROSS)
    line = size * 3 // 2
    top = 2 * line
    canvas = Image.new("RGB", (whole, top + line + 2 * gap + rows * (height + gap)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size)
    for number, (title, images) in enumerate(columns.items()):
        x = gap + number * (width + gap)
        pen.text((x, top - gap // 2), title, "black", font, anchor="ld")
        for row, image in enumerate(images):
            enlarged = Image.fromarray(image.repeat(zoom, 0).repeat(zoom, 1))
            canvas.paste(enlarged, (x, top + row * (height + gap)))
    x, y = gap, canvas.height - line - gap
    for name, colour in [*zip(names, colour_map()), ("void", colour_map()[VOID])]:
        pen.rectangle((x, y, x + size, y + size), tuple(map(int, colour)), "black")
        pen.text((x + size * 4 // 3, y + size / 2), name, "black", font, anchor="lm")
        x += 3 * size + round(font.getlength(name))
    return canvas


def _photograph(data: np.ndarray) -> np.ndarray:
    image = np.moveaxis(data, 0, -1) + np.array(MEAN, np.float32)
    return image[..., ::-1].round().clip(0, 255).astype(np.uint8)


def _coloured(label: np.ndarray) -> np.ndarray:
    """Class colours; void is the map's last colour."""
    return colour_map()[np.minimum(label.astype(int), VOID)]
