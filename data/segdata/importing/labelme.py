"""LabelMe's JSON, one file an image: polygons, rectangles, circles and masks."""

import base64
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segdata.errors import DataError
from segdata.importing.coco import LOOKED_AT, has_keys, load_json
from segdata.importing.colours import find_names
from segdata.importing.labelled import Labelled, Options, Sample
from segdata.importing.photographs import geometry
from segdata.importing.polygons import (
    Size,
    box,
    check_near,
    ellipse,
    pasted,
    png_text,
    polygons,
)
from segdata.importing.shapes import Shape, drawn, values_of
from segdata.importing.tree import Tree
from segdata.lists import counted, some

NAME, TITLE = "labelme", "LabelMe JSON"
KEYS = ("shapes", "imagePath")
AREAS = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 1}      # with so many points at least


def recognises(tree: Tree) -> str:
    return next((str(tree.relative(path)) for path in tree.with_suffix(".json")[:LOOKED_AT]
                 if has_keys(path, KEYS)), "")


def read(tree: Tree, options: Options) -> Labelled:
    contents = {path: load_json(path) for path in tree.with_suffix(".json")
                if has_keys(path, KEYS)}
    listed = find_names([tree.root, *{path.parent: None for path in contents}])
    used = {shape["label"] for path, content in contents.items() for shape in areas(path, content)}
    names = [*(listed[1] if listed else ()), *sorted(used - set(listed[1] if listed else ()))]
    values = values_of(names)
    numbers = {name: number for number, name in values.items()}
    result = Labelled([], values)
    without: list[str] = []
    lines = 0
    for path, content in contents.items():
        if not isinstance(content.get("imagePath"), str):
            raise DataError(f"{path}: its imagePath is {content.get('imagePath')!r}, expected is "
                            "the name of its image; save it anew in LabelMe")
        try:
            image = tree.find_image(content["imagePath"], path)
        except DataError:
            if not content.get("imageData"):
                without.append(str(path))
                continue
            image = options.scratch / f"{len(result.samples)}" / f"{path.stem}.png"
            unpack(content["imageData"], image, path)
        shapes = [Shape(numbers[each["label"]], partial(outline, each),
                        f"shapes[{content['shapes'].index(each)}] '{each['label']}'")
                  for each in areas(path, content)]
        lines += len(content["shapes"]) - len(shapes)
        result.samples.append(Sample(image, path, partial(draw, shapes, content, image, path),
                                     tree.split(image) or tree.split(path.parent / "x")))
    if lines:
        result.problems.append(f"{counted(lines, 'shape')} without area (points, lines), left out")
    if without:
        result.problems.append(f"{counted(len(without), 'label')} without an image: "
                               f"{some(without)}; put the images below the folder, or give "
                               "--images FOLDER")
    result.unlabelled = tree.unused({sample.image for sample in result.samples})
    return result


def unpack(text: str, image: Path, path: Path) -> None:
    """Write the image that a JSON file holds, in base64; DataError naming that file if it is none.
    """
    try:
        content = base64.b64decode(text)
    except ValueError as error:
        raise DataError(f"{path}: its imageData is no image: {error}") from None
    image.parent.mkdir()
    image.write_bytes(content)


def areas(path: Path, content: Any) -> list[dict]:
    """The shapes that have an area. DataError naming the file where they are none of LabelMe's."""
    try:
        found = [shape for shape in content["shapes"]
                 if len(shape["points"]) >= AREAS.get(shape.get("shape_type") or "polygon", 1e9)]
        for shape in found:
            if not isinstance(shape["label"], str):
                raise TypeError(f"a label that is a text, for it is {shape['label']!r},")
        return found
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: no file of LabelMe's: {error} is missing in 'shapes'; save it "
                        "anew in LabelMe") from None


def draw(shapes: list[Shape], content: dict, image: Path, path: Path) -> np.ndarray:
    """The label in the size in which it was drawn."""
    height, width = content.get("imageHeight"), content.get("imageWidth")
    return drawn(shapes, (height, width) if height and width else geometry(image).size, image,
                 path)


def outline(shape: dict, size: Size) -> np.ndarray:
    points = np.asarray(shape["points"], float)
    kind = shape.get("shape_type") or "polygon"
    if kind == "rectangle":
        return box([*points.min(0), *points.max(0)], size)
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        return ellipse(points[0], (radius, radius), 0, size)
    if kind == "mask":
        check_near(points, size)
        left, top = map(int, points[0])
        return pasted(png_text(shape["mask"]), left, top, size)
    return polygons([points.ravel().tolist()], size)
