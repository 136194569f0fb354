"""COCO JSON: polygons and run lengths, as COCO itself and many tools export them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segdata.errors import DataError
from segdata.importing.labelled import NOTHING, Labelled, Options, Sample, reading
from segdata.importing.polygons import Size, polygons, run_lengths
from segdata.importing.shapes import Shape, drawn, values_of
from segdata.importing.tree import Tree
from segdata.lists import counted, some

NAME, TITLE = "coco", "COCO JSON"
KEYS = ("images", "annotations", "categories")
LOOKED_AT = 20      # JSON files that do not match before a folder is taken for another form


def recognises(tree: Tree) -> str:
    return next((str(tree.relative(path)) for path in files(tree)), "")


def files(tree: Tree) -> list[Path]:
    """The annotation files; in COCO's own folder, which has others of the same images, those of
    instances."""
    found = [path for path in tree.with_suffix(".json")[:LOOKED_AT] if has_keys(path, KEYS)]
    return [path for path in found if path.name.startswith("instances_")] or found


def has_keys(path: Path, keys: tuple[str, ...]) -> bool:
    """Whether all keys occur in a JSON file, which may be large."""
    content = path.read_bytes()
    return all(f'"{key}"'.encode() in content for key in keys)


def load_json(path: Path) -> Any:
    """The content of a JSON file; DataError if it is none."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no valid JSON: {error}; export it again") from None


def read(tree: Tree, options: Options) -> Labelled:
    contents = {path: load_json(path) for path in files(tree)}
    names: dict[str, None] = {}
    for path, content in contents.items():
        with reading(path):
            check(path, content)
        names |= dict.fromkeys(category_names(content).values())
    value = {name: number for number, name in values_of(names).items()}
    result = Labelled([], values_of(names))
    without, boxes = [], 0
    for path, content in contents.items():
        annotations: dict[Any, list] = {}
        for annotation in content["annotations"]:
            annotations.setdefault(annotation["image_id"], []).append(annotation)
        classes = {key: value[name] for key, name in category_names(content).items()}
        for image in content["images"]:
            own = annotations.get(image["id"], [])
            drawable = [each for each in own if has_area(each.get("segmentation"))]
            boxes += len(own) - len(drawable)
            try:
                file = tree.find_image(image["file_name"], path)
            except DataError:
                without.append(image["file_name"])
                continue
            shapes = [shape(annotation, classes, path) for annotation in drawable]
            size = image["height"], image["width"]
            result.samples.append(Sample(file, path, partial(drawn, shapes, size, file, path),
                                         tree.split(path) or tree.split(file)))
    if boxes and not any(has_area(each.get("segmentation")) for content in contents.values()
                         for each in content["annotations"]):
        raise DataError(f"{next(iter(contents))}: {boxes} annotations have boxes, but no outlines; "
                        "export it as segmentation (polygons or masks)")
    if boxes:
        result.problems.append(f"{counted(boxes, 'annotation')} without an outline of three points "
                               "or more, left out")
    if without:
        result.problems.append(f"{counted(len(without), 'label')} without an image: "
                               f"{some(without)}; put the images below the folder, or give "
                               "--images FOLDER")
    result.unlabelled = tree.unused({sample.image for sample in result.samples})
    return result


def check(path: Path, content: Any) -> None:
    """Raise DataError unless all that is used is there."""
    needed = {"images": ("id", "file_name", "height", "width"), "categories": ("id", "name"),
              "annotations": ("id", "image_id", "category_id")}
    for key, fields in needed.items():
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{path}: no list '{key}', which COCO's JSON has; export it as COCO "
                            "instance segmentation")
        for place, entry in enumerate(entries):
            lacking = [name for name in fields if name not in entry]
            if lacking:
                raise DataError(f"{path}: {key}[{place}] has no '{lacking[0]}'")
            if wrong := [name for name in ("name", "file_name") if name in fields
                         and not isinstance(entry[name], str)]:
                raise DataError(f"{path}: {key}[{place}] has a {wrong[0]} that is no text: "
                                f"{entry[wrong[0]]!r}; export it again")
    known = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        if annotation["category_id"] not in known:
            raise DataError(f"{path}: annotation {annotation['id']} is of category "
                            f"{annotation['category_id']}, which 'categories' does not name")


def category_names(content: dict) -> dict[Any, str]:
    """{id: name} in the order of the ids, but for what only stands above others, as in Roboflow's
    exports, and is never used."""
    categories = sorted(content["categories"], key=lambda category: category["id"])
    above = {category.get("supercategory") for category in categories}
    used = {annotation["category_id"] for annotation in content["annotations"]}
    return {category["id"]: category["name"] for category in categories
            if category["id"] in used or category["name"] not in above
            or category.get("supercategory") != "none"}


def shape(annotation: dict, classes: dict, path: Path) -> Shape:
    """A crowd, in which single objects are not told apart, is void."""
    value = NOTHING if annotation.get("iscrowd") else classes[annotation["category_id"]]
    return Shape(value, partial(outline, annotation["segmentation"]),
                 f"annotation {annotation['id']}")


def has_area(segmentation: Any) -> bool:
    return bool(segmentation) and (isinstance(segmentation, dict) or bool(rings(segmentation)))


def rings(segmentation: list) -> list[list[float]]:
    """Its polygons, of three points or more; a single one need not be in a list."""
    listed = [segmentation] if not isinstance(segmentation[0], list) else segmentation
    return [ring for ring in listed if len(ring) >= 6]


def outline(segmentation: Any, size: Size) -> np.ndarray:
    if isinstance(segmentation, dict):
        return run_lengths(segmentation, size)
    return polygons(rings(segmentation), size)
