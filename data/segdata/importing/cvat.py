"""CVAT for images: an XML file of polygons, boxes, ellipses and masks."""

import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path

import numpy as np

from segdata.errors import DataError
from segdata.importing.labelled import Labelled, Options, Sample
from segdata.importing.polygons import Size, box, check_near, ellipse, filled, pasted, polygons
from segdata.importing.shapes import Shape, drawn, values_of
from segdata.importing.tree import Tree, split_named
from segdata.lists import counted, some

NAME, TITLE = "cvat", "CVAT's XML for images"


def recognises(tree: Tree) -> str:
    return next((str(tree.relative(path)) for path in files(tree)), "")


def files(tree: Tree) -> list[Path]:
    return [path for path in tree.with_suffix(".xml") if is_cvat(path)]


def is_cvat(path: Path) -> bool:
    with open(path, "rb") as file:
        return b"<annotations>" in file.read(1000)


def read(tree: Tree, options: Options) -> Labelled:
    roots = {path: parse(path) for path in files(tree)}
    names: dict[str, None] = {}
    for root in roots.values():
        listed = [element.text or "" for element in root.iterfind(".//labels/label/name")]
        names |= dict.fromkeys([*listed, *(shape.get("label", "") for image in root.iter("image")
                                           for shape in areas(image))])
    result = Labelled([], values_of(names))
    numbers = {name: number for number, name in result.values.items()}
    without, lines = [], 0
    for path, root in roots.items():
        for image in root.iter("image"):
            name = image.get("name", "")
            try:
                file = tree.find_image(name, path)
            except DataError:
                without.append(name)
                continue
            found = in_order(image, path)
            lines += sum(child.tag != "tag" for child in image) - len(found)
            shapes = [Shape(numbers[shape.get("label", "")], partial(outline, shape),
                            f"a {shape.tag} '{shape.get('label')}' of {name}") for shape in found]
            size = image.get("height"), image.get("width")
            split = split_named(image.get("subset", "")) or tree.split(file)
            result.samples.append(Sample(file, path, partial(drawn, shapes, size, file, path),
                                         split))
    if lines:
        result.problems.append(f"{counted(lines, 'shape')} without area (points, lines), left out")
    if without:
        result.problems.append(f"{counted(len(without), 'label')} without an image: "
                               f"{some(without)} (in CVAT: export with 'Save images', or put "
                               "the images beside the XML)")
    result.unlabelled = tree.unused({sample.image for sample in result.samples})
    return result


def parse(path: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # also: unknown encodings
        raise DataError(f"{path}: no valid XML: {error}; export it again") from None
    if root.find("track") is not None:
        raise DataError(f"{path}: CVAT's XML for video; export the task as 'CVAT for images 1.1'")
    return root


def areas(image: ElementTree.Element) -> list[ElementTree.Element]:
    return [child for child in image if child.tag in OUTLINES and (
        child.tag != "polygon" or child.get("points", "").count(";") >= 2)]


def in_order(image: ElementTree.Element, path: Path) -> list[ElementTree.Element]:
    """The shapes of an image, the lowest first. DataError where one has no number of its layer."""
    try:
        return sorted(areas(image), key=lambda shape: int(shape.get("z_order", 0)))
    except ValueError as error:
        raise DataError(f"{path}: a z_order of image {image.get('name')}: {error}; mend it, or "
                        "export it again") from None


def outline(shape: ElementTree.Element, size: Size) -> np.ndarray:
    return OUTLINES[shape.tag](shape, size)


def number(shape: ElementTree.Element, *keys: str) -> list[float]:
    return [float(shape.get(key, "nan")) for key in keys]


def _polygon(shape: ElementTree.Element, size: Size) -> np.ndarray:
    points = [float(value) for point in shape.get("points", "").split(";")
              for value in point.split(",")]
    return polygons([points], size)


def _box(shape: ElementTree.Element, size: Size) -> np.ndarray:
    return box(number(shape, "xtl", "ytl", "xbr", "ybr"), size, float(shape.get("rotation", 0)))


def _ellipse(shape: ElementTree.Element, size: Size) -> np.ndarray:
    x, y, rx, ry = number(shape, "cx", "cy", "rx", "ry")
    return ellipse((x, y), (rx, ry), float(shape.get("rotation", 0)), size)


def _mask(shape: ElementTree.Element, size: Size) -> np.ndarray:
    """Run lengths, row by row inside a box, of what is outside and inside in turn."""
    left, top, width, height = map(int, number(shape, "left", "top", "width", "height"))
    check_near(np.array([(left, top), (left + width, top + height)]), size)
    runs = [int(run) for run in shape.get("rle", "").split(",")]
    return pasted(filled(runs, (height, width)), left, top, size)


OUTLINES = {"polygon": _polygon, "box": _box, "ellipse": _ellipse, "mask": _mask}
