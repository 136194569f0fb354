"""A data layer for one's own images, in a folder laid out like PASCAL VOC.

    FOLDER/JPEGImages/NAME.jpg                          or .jpeg, .png, also in capitals
    FOLDER/SegmentationClass/NAME.png                   palette or grey: class numbers, 255 = void
    FOLDER/ImageSets/Segmentation/{train,val}.txt       NAMEs, one a line
    FOLDER/classes.txt                                  optional: class names, one a line
"""

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from segdata.classes import VOID, read_class_names
from segdata.errors import DataError
from segdata.layer import SegDataLayer, check_sizes, check_values, read_file
from segdata.lists import Entry, Listing, as_on_disk, read_list
from segdata.readers import read_label_image, read_photograph

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
LABEL_SUFFIXES = (".png", ".PNG")
SPLITS = ("train", "val")
SHOWN = 5       # problems in a message


class FolderSegDataLayer(SegDataLayer):
    """Images and labels of a folder in VOC layout; the directory key is `folder`.

    One key beside those of `SegDataLayer`:

        classes  int, default: as many as classes.txt has lines, without it 255;
                 how many classes there are
    """

    directory_keys = ("folder",)
    defaults = {**SegDataLayer.defaults, "classes": None}

    def configure(self) -> None:
        classes = self.params["classes"]
        if classes is not None and not (isinstance(classes, int) and 0 < classes <= VOID):
            raise self.error(f"param_str key 'classes' is {classes!r}, expected 1 to {VOID}")
        try:
            names = len(class_names(self.roots["folder"], classes))
        except DataError as error:
            raise self.error(error) from None
        self.classes = {"label": classes or names or VOID}

    def split_file(self, split: str) -> Path:
        return split_list(self.roots["folder"], split)

    def paths(self, name: str) -> dict[str, Path]:
        return sample_paths(self.roots["folder"], name, self.listing)

    def read_image(self, path: Path) -> np.ndarray:
        """Camera files may be stored turned; labels are drawn on the upright picture."""
        return np.asarray(read_photograph(path))


class Description(NamedTuple):
    """What a folder holds: the class names in order, and the number of samples of each split."""
    classes: list
    splits: dict


def describe(folder: str | Path) -> Description:
    """The `Description` of a folder in VOC layout.

    The class names come from classes.txt; without it every label is read, and the classes
    0 to the largest value that is not void are named class0, class1, ...
    Raises DataError where a part of the layout is missing.
    """
    folder = Path(folder)
    splits = {split: len(entries) for split, entries in read_splits(folder).items()}
    return Description(class_names(folder) or scan_classes(folder), splits)


def check(folder: str | Path) -> str:
    """Raise DataError, with the first few problems, unless training can use all of a folder.

    Every image and label in the lists is opened and decoded: they must have equal sizes, and
    the labels values that classes.txt names, without it 0 to 254, or 255 for void, and each split
    two classes or more. Returns a line that says what the folder holds.
    """
    folder, entries = Path(folder), dict[str, Entry]()
    listing = Listing()
    splits = {split: [as_on_disk(entry, partial(is_there, folder, listing)) for entry in listed]
              for split, listed in read_splits(folder).items()}
    for entry in itertools.chain(*splits.values()):
        entries.setdefault(entry.name, entry)       # names in both lists count once
    classes = len(class_names(folder)) or VOID
    with ThreadPoolExecutor() as pool:
        found = dict(zip(entries, pool.map(lambda entry: inspect(folder, entry, classes, listing),
                                           entries.values())))
    problems = [result for result in found.values() if isinstance(result, str)]
    if problems:
        more = len(problems) - SHOWN
        raise DataError("\n  ".join([f"{folder}: {len(problems)} of {len(entries)} samples cannot "
                                     "be used:", *problems[:SHOWN]])
                        + (f"\n  and {more} more" if more > 0 else ""))
    values = {split: set().union(*(found[entry.name] for entry in split_entries)) - {VOID}
              for split, split_entries in splits.items()}
    for split, present in values.items():
        check_learnable(f"{folder}: the labels of the split {split}", present)
    return _summary(folder, splits, set().union(*values.values()))


def check_learnable(labels: str, present: set) -> None:
    """Raise DataError unless labels, named by that text, show two classes beside void.

    With one class alone, whatever a net answers is right.
    """
    if len(present) < 2:
        shown = f"class {min(present)} alone" if present else "no class"
        raise DataError(f"{labels} show {shown}, beside {VOID} for void; there must be two classes "
                        "or more. In masks of 0 and 255 store 1 in place of 255")


def _summary(folder: Path, splits: Mapping[str, Sequence[Entry]], present: set) -> str:
    classes = len(class_names(folder)) or max(present) + 1
    absent = sorted(set(range(classes)) - present)
    counts = " and ".join(f"{len(entries)} for {split}" for split, entries in splits.items())
    shared = len(set.intersection(*({entry.name for entry in entries}
                                    for entries in splits.values())))
    return (f"{folder}: {counts}, {classes} classes"
            + (f", of which no label has {', '.join(map(str, absent[:10]))}"
               + ", ..." * (len(absent) > 10) if absent else "")
            + (f"; {shared} samples are in both lists, so that the scores flatter" if shared
               else ""))


def inspect(folder: Path, entry: Entry, classes: int, listing: Listing) -> set[int] | str:
    """The set of a sample's label values, or a sentence that says what is wrong with it."""
    image_path, label_path = sample_paths(folder, entry.name, listing).values()
    try:
        image_shape = read_file(check_image, "image", image_path, entry.source)
        label = read_file(read_label_image, "label", label_path, entry.source)
        check_sizes([(image_path, image_shape), (label_path, label.shape)], entry.source)
        check_values(label, classes, label_path, entry.source)
        return set(np.unique(label).tolist())
    except DataError as error:
        return str(error)


def check_image(path: Path) -> tuple[int, int]:
    """Read an image to its end; returns (height, width), upright."""
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) >= 5        # orientations 5 to 8 lie on their side
        image.draft("RGB", (1, 1))                          # JPEG: at the least size, faster
        image.load()
    return (width, height) if turned else (height, width)


def read_splits(folder: Path) -> dict[str, list[Entry]]:
    """{split: entries} of a folder in VOC layout; DataError where a part of it is missing."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    lists = {split: split_list(folder, split) for split in SPLITS}
    for path in (folder / "JPEGImages", folder / "SegmentationClass", *lists.values()):
        if not path.exists():
            raise DataError(f"{folder} is not in VOC layout: {path} does not exist")
    return {split: read_list(path) for split, path in lists.items()}


def split_list(folder: Path, split: str) -> Path:
    return folder / "ImageSets" / "Segmentation" / f"{split}.txt"


def sample_paths(folder: Path, name: str, listing: Listing) -> dict[str, Path]:
    """{"data": path, "label": path} of a sample, by the suffixes of the files that there are."""
    return {"data": find(folder / "JPEGImages", name, IMAGE_SUFFIXES, listing),
            "label": find(folder / "SegmentationClass", name, LABEL_SUFFIXES, listing)}


def is_there(folder: Path, listing: Listing, name: str) -> bool:
    """Whether a sample has its image and its label."""
    return all(path in listing for path in sample_paths(folder, name, listing).values())


def find(directory: Path, name: str, suffixes: tuple, listing: Listing) -> Path:
    """The file with the first suffix that there is; without any, that with the first suffix."""
    paths = [directory / (name + suffix) for suffix in suffixes]
    return next((path for path in paths if path in listing), paths[0])


def class_names(folder: Path, count: int | None = None) -> list[str]:
    """The lines of classes.txt, `count` of them where it is given; none without the file."""
    path = folder / "classes.txt"
    try:
        return read_class_names(path, count) if path.exists() else []
    except ValueError as error:
        raise DataError(str(error)) from None


def scan_classes(folder: Path) -> list[str]:
    """class0, class1, ... up to the largest value in the labels."""
    labels = sorted((folder / "SegmentationClass").glob("*.[pP][nN][gG]"))
    with ThreadPoolExecutor() as pool:
        largest = max(pool.map(largest_class, labels), default=0)
    check_learnable(f"the labels in {folder / 'SegmentationClass'}", set(range(largest + 1)))
    return [f"class{number}" for number in range(largest + 1)]


def largest_class(path: Path) -> int:
    try:
        label = read_label_image(path)
    except (OSError, ValueError) as error:
        raise DataError(f"label {path} cannot be read: {error}") from error
    return int(label.max(where=label != VOID, initial=0))
