"""What is written for each image, and under which names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fcn.solvers.inference import marks, polygons
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.segmenter import Segmentation
from fcn.solvers.inference.truths import Truth
from segdata.files import replacing
from segdata.overlay import beside_truth, shares
from segdata.palette import label_image

# {what the command line calls it: (what follows the stem of its name, help)}
OUTPUT_KINDS = {
    "mask": (".png", "the classes as a palette image"),
    "overlay": ("_overlay.png", "the image under the colours of its classes"),
    "probabilities": ("_probabilities.npy", "float32 (classes, height, width), for numpy.load"),
    "json": (".json", "classes with their pixels and shares"),
    "variance": ("_variance.png", "where the passes of --samples differ: the darker, the more"),
    "polygons": ("_polygons.json", "the classes as polygons, which LabelMe opens"),
}
DEFAULT = "mask", "overlay"


class Look(NamedTuple):
    """Of overlays: opacity from 0 to 1, and whether classes have contours."""
    opacity: float
    contours: bool


class Outputs:
    """Writes the `kinds` of an image's results, all of them or none.

    origin : what a JSON file says of the net
    """

    def __init__(self, kinds: Sequence[str], look: Look, origin: dict[str, str]) -> None:
        self.kinds, self.look, self.origin = kinds, look, origin

    def write(self, stem: Path, source: Path | str, result: Segmentation, truth: Truth | None = None
              ) -> list[Path]:
        """Write the results of the image `source`, a file or what names it elsewhere, under names
        that begin with `stem`; returns the paths."""
        paths = [Path(f"{stem}{OUTPUT_KINDS[kind][0]}") for kind in self.kinds]
        with ExitStack() as stack:
            for kind, path in zip(self.kinds, paths):
                temporary = stack.enter_context(replacing(path))
                self._writer(kind)(temporary, path, source, result, truth)
        return paths

    def _writer(self, kind: str) -> Callable[..., None]:
        return getattr(self, f"_{kind}")

    def _mask(self, to: Path, path: Path, source: Path | str, result: Segmentation,
              truth: Truth | None) -> None:
        marks.save(label_image(result.labels, result.names), to)

    def _overlay(self, to: Path, path: Path, source: Path | str, result: Segmentation,
                 truth: Truth | None) -> None:
        marks.save(self.picture(result, truth), to)

    def picture(self, result: Segmentation, truth: Truth | None = None) -> Image.Image:
        """The overlay; with a truth, beside it."""
        if truth is None:
            return result.overlay(*self.look)
        return beside_truth(result.image, result.labels, truth.labels, result.names, *self.look)

    def _probabilities(self, to: Path, path: Path, source: Path | str, result: Segmentation,
                       truth: Truth | None) -> None:
        with to.open("wb") as file:
            array = np.ascontiguousarray(result.probabilities)
            form = np.lib.format
            form.write_array_header_1_0(file, form.header_data_from_array_1_0(array))
            file.write(array.data)      # numpy.save does not say why it cannot: a full disk ...

    def _variance(self, to: Path, path: Path, source: Path | str, result: Segmentation,
                  truth: Truth | None) -> None:
        marks.save(variance_image(result.variance), to)

    def _json(self, to: Path, path: Path, source: Path | str, result: Segmentation,
              truth: Truth | None) -> None:
        pixels = result.labels.size
        content = {
            "image": str(source), "width": result.image.width, "height": result.image.height,
            **self.origin,
            "classes": [{"number": number, "name": result.names[number],
                         "pixels": round(share * pixels), "share": share}
                        for number, share in shares(result.labels)],
            **({} if result.variance is None else {"variance": {
                "mean": float(result.variance.mean()), "largest": float(result.variance.max())}}),
            **({"truth": str(truth.path), "scores": truth.scores} if truth else {})}
        write_json(content, to)

    def _polygons(self, to: Path, path: Path, source: Path | str, result: Segmentation,
                  truth: Truth | None) -> None:
        if isinstance(source, Path):
            source = Path(os.path.relpath(source.resolve(), path.resolve().parent)).as_posix()
        write_json(polygons.labelme(result.labels, result.names, source), to)


def variance_image(variance: np.ndarray | None) -> Image.Image:
    """A grey image of a variance (height, width): white is 0, black the largest of the image.
    Raises InferError where there is none."""
    if variance is None:
        raise InferError("--variance takes several passes: --samples N, and a net whose dropout "
                         "acts in testing, too")
    largest = max(float(variance.max()), np.finfo(np.float32).tiny)
    return Image.fromarray(np.rint(255 * (1 - variance / largest)).astype(np.uint8))


def write_json(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def name_outputs(sources: Sequence[Path], folder: Path, suffixes: Iterable[str],
                 kept: Iterable[Path]) -> list[tuple[Path, Path]]:
    """[(source, FOLDER/STEM)]: what is written is STEM with one of `suffixes`.

    Where two sources have one name, or a file in `kept` (those that are read) has the name of an
    output, STEM becomes NAME_2, NAME_3, ..., whatever the case of the letters.
    """
    taken = {name_key(path) for path in (*sources, *kept)}
    suffixes, named = list(suffixes), []
    for source in sources:
        def keys(stem: str) -> list[str]:
            return [name_key(folder / f"{stem}{suffix}") for suffix in suffixes]
        stem = free_stem(source.stem, keys, taken.__contains__)
        taken.update(keys(stem))
        named.append((source, folder / stem))
    return named


def free_stem(stem: str, keys: Callable[[str], Iterable[str]], is_taken: Callable[[str], bool]
              ) -> str:
    """The first of STEM, STEM_2, STEM_3, ... of whose outputs, by their `keys`, none is taken."""
    found, number = stem, 2
    while any(map(is_taken, keys(found))):
        found, number = f"{stem}_{number}", number + 1
    return found


def name_key(path: Path) -> str:
    """What two paths of one file have in common, whatever the case of the letters."""
    return os.path.realpath(path).lower()
