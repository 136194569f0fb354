"""The best, median and worst validation samples: input, truth, prediction, error map."""

from __future__ import annotations

import base64
import importlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fcn.solvers.console.errors import RunError
from fcn.solvers.scoring import samples, score_file
from segdata.classes import VOID
from segdata.lists import literal
from segdata.means import HHA, OF_LAYERS
from segdata.overlay import error_map
from segdata.palette import class_colours

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run
    from segdata.layer import SegDataLayer

SIDE = 360      # pixels of a picture's longest side, at most


@dataclass
class Picture:
    """A validation sample. kind : best, median or worst, '' where all samples are shown; iou : mean
    IU in percent; images : {caption: data: URI}; classes : those in the truth or the prediction"""
    kind: str
    name: str
    iou: float
    images: dict[str, str]
    classes: set[int]


def sample_ious(run: Run) -> list[float | None]:
    """The mean IU of each validation sample, which score.json has; none where it has not."""
    with suppress(Exception):       # missing, of an earlier version, or damaged in whatever way
        text = score_file.read(run)["sample IU"]
        return [None if word == "-" else float(word) for word in text.split()]
    return []


def pictures(run: Run, names: Sequence[str]) -> list[Picture]:
    """The pictures of a run, that of the best sample first: images and truth from its data,
    predictions as they were scored.

    Raises RunError where the scores say nothing of single samples, DataError where data are gone.
    """
    ious, predictions = sample_ious(run), _predictions(run)
    if not ious or not predictions:
        raise RunError("the scores are of an earlier version, which kept no predictions; they are "
                       "there after the next scores of a training")
    reader, shown = data_layer(run), []
    for kind, number in samples.chosen(ious):
        entry, predicted = reader.entries[number], predictions[number]
        arrays = reader.load(entry, number, seed=0)     # whole and unchanged: nothing is drawn
        truth = next(array for top, array in arrays.items() if top in reader.classes)[0]
        shown.append(Picture(kind, entry.name, ious[number] or 0.0, {
            **_inputs(run, reader, arrays), "truth": data_uri(coloured(truth, names)),
            "prediction": data_uri(coloured(predicted, names)),
            "errors": data_uri(np.asarray(error_map(predicted, truth)))},
            set(np.unique(truth[truth != VOID]).tolist()) | set(np.unique(predicted).tolist())))
    return shown


def _predictions(run: Run) -> dict[int, np.ndarray]:
    """{number of the sample: its classes (height, width)}, none unless they are those scored."""
    with suppress(Exception), np.load(run.directory / samples.FILE) as file:    # or damaged
        if int(file["iteration"]) == score_file.read(run)["iteration"]:
            return {int(name): file[name] for name in file.files if name != "iteration"}
    return {}


def data_layer(run: Run) -> SegDataLayer:
    """The data layer of val.prototxt, outside a net."""
    param = next(layer.python_param for layer in run.net_param("val").layer
                 if layer.python_param.module in OF_LAYERS)
    layer = getattr(importlib.import_module(param.module), param.layer)
    reader = layer.__new__(layer)
    reader.name, reader.param_str = "data", str(dict(literal(param.param_str)))
    reader.open()
    return reader


def _inputs(run: Run, reader: SegDataLayer, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """{caption: data: URI} of what a sample gives the net."""
    uris, (kinds, mean, margin, _) = {}, run.images()
    inside = slice(margin, -margin or None)
    tops = [top for top in reader.tops if top not in reader.classes]
    for kind, array in zip(kinds, (arrays[top][:, inside, inside] for top in tops)):
        if kind == "color":
            pixels = (np.moveaxis(array, 0, -1) + np.array(mean))[..., ::-1]
        elif kind == "hha":
            pixels = np.moveaxis(array, 0, -1) + HHA
        else:       # the logarithm of depth, of one channel
            grey = 255 * (array[0] - array.min()) / max(float(np.ptp(array)), 1e-6)
            pixels = np.repeat(grey[..., None], 3, -1)
        caption = "input" if len(kinds) == 1 else f"input: {kind}"
        uris[caption] = data_uri(pixels.round().clip(0, 255).astype(np.uint8), photograph=True)
    return uris


def coloured(label: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A label image in the colours of overlays, in which void is cream."""
    return class_colours(names)[np.minimum(label.astype(int), VOID)]


def data_uri(pixels: np.ndarray, photograph: bool = False) -> str:
    """A picture as a data: URI, made smaller where it is larger than shown."""
    image, data = Image.fromarray(pixels), io.BytesIO()
    scale = SIDE / max(image.size)
    if scale < 1:
        image = image.resize([max(1, round(length * scale)) for length in image.size],
                             Image.Resampling.BILINEAR if photograph else Image.Resampling.NEAREST)
    image.save(data, "JPEG" if photograph else "PNG", **({"quality": 88} if photograph else {}))
    kind = "jpeg" if photograph else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
