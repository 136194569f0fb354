"""Cityscapes: leftImg8bit/SPLIT/CITY/*_leftImg8bit.png, and labelIds or labelTrainIds in gtFine."""

import re
from pathlib import Path

from segdata.errors import DataError
from segdata.importing.labelled import VOID_NAME, Labelled, Options
from segdata.importing.masks import Reading, labelled, load
from segdata.importing.pairs import match
from segdata.importing.tree import Tree

NAME, TITLE = "cityscapes", "Cityscapes folders"
IMAGES = "leftImg8bit"
LABELS = ("labelTrainIds", "labelIds")      # in the order in which they are preferred

# the classes that are trained and scored, in their order, with their labelIds; all others are void
CLASSES = {"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
           "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
           "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31,
           "motorcycle": 32, "bicycle": 33}
LAST_ID = 33


def recognises(tree: Tree) -> str:
    return next((str(tree.relative(path)) for path in tree.images if kind(path)), "")


def kind(path: Path) -> str:
    """'labelIds' or 'labelTrainIds' of a label file of gtFine or gtCoarse, else ''."""
    found = re.search(r"_gt[A-Z][a-z]+_(labelTrainIds|labelIds)$", path.stem)
    return found[1] if found else ""


def read(tree: Tree, options: Options) -> Labelled:
    found = {kind(path) for path in tree.images}
    which = next((name for name in LABELS if name in found), None)
    if which is None:
        raise DataError(f"{tree.root}: no label files *_gtFine_labelIds.png")
    stored = dict(enumerate(CLASSES))
    if which == "labelIds":
        stored = {number: name for name, number in CLASSES.items()}
    values = stored | dict.fromkeys({*range(LAST_ID + 1), 255} - stored.keys(), VOID_NAME)
    pairing = match([path for path in tree.images if path.stem.endswith("_" + IMAGES)],
                    [path for path in tree.images if kind(path) == which])
    return labelled(pairing, tree, Reading(values, load, [f"the labels are {which}"]))
