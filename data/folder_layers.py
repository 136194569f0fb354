"""A data layer for one's own images, in a folder laid out like PASCAL VOC.

    FOLDER/JPEGImages/NAME.jpg                          or .jpeg, .png
    FOLDER/SegmentationClass/NAME.png                   palette or grey: class numbers, 255 = void
    FOLDER/ImageSets/Segmentation/{train,val}.txt       NAMEs, one a line
    FOLDER/classes.txt                                  optional: class names, one a line
"""

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
from palette import VOID
from PIL import Image, ImageOps
from seg_data import DataError, SegDataLayer, read_label_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


class FolderSegDataLayer(SegDataLayer):
    """Images and labels of a folder in VOC layout; the directory key is `folder`.

    Two keys beside those of `SegDataLayer`:

        classes  int, default: as many as classes.txt has lines, without it 255;
                 how many classes there are
        mirror   bool, default False: mirror every second training sample, at random
    """

    directory_key = "folder"
    defaults = {**SegDataLayer.defaults, "classes": None, "mirror": False}

    def open(self):
        super().open()
        names, classes = len(read_class_names(self.directory)), self.params["classes"]
        if names and classes and names != classes:
            raise self.error(f"param_str key 'classes' is {classes}, but "
                             f"{self.directory / 'classes.txt'} names {names} classes")
        self.classes = classes or names or VOID

    def split_file(self, split):
        return split_list(self.directory, split)

    def paths(self, entry):
        images = self.directory / "JPEGImages"
        found = (path for suffix in SUFFIXES if (path := images / (entry.name + suffix)).exists())
        return (next(found, images / (entry.name + SUFFIXES[0])),
                self.directory / "SegmentationClass" / f"{entry.name}.png")

    def read_image(self, path):
        """Camera files may be stored turned; labels are drawn on the upright picture."""
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

    def load(self, entry, position):
        data, label = super().load(entry, position)
        if self.params["mirror"] and self.training and coin(self.seed, position):
            return data[:, :, ::-1], label[:, :, ::-1]
        return data, label


class Description(NamedTuple):
    """What a folder holds: the class names in order, and the number of samples of each split."""
    classes: list
    splits: dict


def describe(folder):
    """The `Description` of a folder in VOC layout.

    The class names come from classes.txt; without it every label is read, and the classes
    0 to the largest value that is not void are named class0, class1, ...
    Raises DataError where a part of the layout is missing.
    """
    folder = Path(folder)
    lists = [split_list(folder, split) for split in ("train", "val")]
    for path in (folder / "JPEGImages", folder / "SegmentationClass", *lists):
        if not path.exists():
            raise DataError(f"{folder} is not in VOC layout: {path} does not exist")
    splits = {path.stem: len(path.read_text().split()) for path in lists}
    for path in lists:
        if not splits[path.stem]:
            raise DataError(f"split list {path} is empty")
    return Description(read_class_names(folder) or scan_classes(folder), splits)


def split_list(folder, split):
    return folder / "ImageSets" / "Segmentation" / f"{split}.txt"


def read_class_names(folder):
    """The lines of classes.txt; none without the file."""
    path = folder / "classes.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip()]


def scan_classes(folder):
    """class0, class1, ... up to the largest value in the labels."""
    labels = sorted((folder / "SegmentationClass").glob("*.png"))
    largest = max((largest_class(path) for path in labels), default=0)
    if largest == 0:
        raise DataError(f"the labels in {folder / 'SegmentationClass'} show fewer than two classes")
    return [f"class{number}" for number in range(largest + 1)]


def largest_class(path):
    try:
        label = read_label_image(path)
    except (OSError, ValueError) as error:
        raise DataError(f"label {path} cannot be read: {error}") from error
    return int(label.max(where=label != VOID, initial=0))


def coin(seed, position):
    """True for half of the positions, at random."""
    return random.Random(f"{seed} {position}").random() < 0.5
