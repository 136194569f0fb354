"""Roboflow's semantic masks: beside each NAME.jpg NAME_mask.png, and _classes.csv."""

from pathlib import Path

from segdata.errors import DataError
from segdata.importing.labelled import VOID_NAME, Labelled, Options
from segdata.importing.masks import Reading, labelled, load
from segdata.importing.pairs import match
from segdata.importing.tree import Tree
from segdata.lists import read_lines

NAME, TITLE = "roboflow", "Roboflow's semantic masks"
TABLE = "_classes.csv"


def recognises(tree: Tree) -> str:
    return next((str(tree.relative(path)) for path in tables(tree)
                 if any(is_mask(image) for image in tree.images if image.parent == path.parent)),
                "")


def tables(tree: Tree) -> list[Path]:
    return [path for path in tree.files if path.name == TABLE]


def is_mask(path: Path) -> bool:
    return path.stem.endswith("_mask") and path.suffix == ".png"


def read(tree: Tree, options: Options) -> Labelled:
    values: dict[int, str] = {}
    for path in tables(tree):
        for value, name in read_classes(path).items():
            if values.setdefault(value, name) != name:
                raise DataError(f"{path}: {value} is '{name}', in another {TABLE} it is "
                                f"'{values[value]}'; export all splits in one version")
    masks = [path for path in tree.images if is_mask(path)]
    pairing = match([path for path in tree.images if not is_mask(path)], masks)
    return labelled(pairing, tree, Reading(values | {255: VOID_NAME}, load, []))


def read_classes(path: Path) -> dict[int, str]:
    """{value: class name} of lines `value, name` under a headline."""
    values = {}
    for number, text in read_lines(path)[1:]:
        value, _, name = text.partition(",")
        if not value.strip().isdecimal() or not name.strip():
            raise DataError(f"{path}:{number}: '{text}' is no class, expected `value, name`")
        values[int(value)] = name.strip()
    return values
