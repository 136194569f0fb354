"""A data layer for one's own images, in a folder laid out like PASCAL VOC.

    FOLDER/JPEGImages/NAME.jpg                          or .jpeg, .png, also in capitals
    FOLDER/SegmentationClass/NAME.png                   palette or grey: class numbers, 255 = void
    FOLDER/ImageSets/Segmentation/{train,val}.txt       NAMEs, one a line
    FOLDER/classes.txt                                  optional: class names, one a line
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segdata.classes import VOID, read_class_names
from segdata.errors import DataError, did_you_mean_path
from segdata.layer import SegDataLayer
from segdata.lists import Entry, KnownFiles, first_there, read_list
from segdata.readers import read_label_image, read_photograph

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
LABEL_SUFFIXES = (".png", ".PNG")
SPLITS = ("train", "val")


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
        return sample_paths(self.roots["folder"], name, self.known_files)

    def suffixes(self, kind: str) -> tuple[str, ...]:
        own = {"image": IMAGE_SUFFIXES, "label": LABEL_SUFFIXES}
        return own.get(kind) or super().suffixes(kind)

    def read_image(self, path: Path) -> np.ndarray:
        """Camera files may be stored turned; labels are drawn on the upright picture."""
        return np.asarray(read_photograph(path))


class Description(NamedTuple):
    """What a folder holds: the class names in order, and the number of samples of each split."""
    classes: list
    splits: dict


def describe(folder: str | Path) -> Description:
    """The `Description` of a folder in VOC layout.

    The class names come from classes.txt; without it every label in the lists is read, and the
    classes 0 to the largest value that is not void are named class0, class1, ...
    Raises DataError where a part of the layout is missing.
    """
    folder = Path(folder)
    names = existing_layout(folder)
    splits = {split: read_list(split_list(folder, split)) for split in SPLITS}
    return Description(names or scan_classes(folder, {entry for listed in splits.values()
                                                      for entry in listed}),
                       {split: len(listed) for split, listed in splits.items()})


def existing_layout(folder: Path) -> list[str]:
    """The class names in classes.txt, none without it; DataError where a part of the layout is
    missing."""
    if not folder.is_dir():
        raise DataError(f"{folder}: is a file, expected a folder" if folder.exists() else
                        f"{folder}: no such folder{did_you_mean_path(folder)}")
    lists = [split_list(folder, split) for split in SPLITS]
    for path in (folder / "JPEGImages", folder / "SegmentationClass", *lists):
        if not path.exists():
            from segdata.importing.recognise import conversion
            raise DataError(f"{folder} is not a complete VOC layout: {path} does not exist"
                            + (conversion(folder) or _remedy(folder)))
    return class_names(folder)


def _remedy(folder: Path) -> str:
    """What helps where no labels are recognised in a folder."""
    parent = folder.resolve().parent
    if (parent / "JPEGImages").is_dir():
        return f". Is the folder above it meant, {parent}?"
    return (". Such a folder holds JPEGImages, SegmentationClass and ImageSets; `fcn import` "
            "writes them from images and labels of other forms")


def split_list(folder: Path, split: str) -> Path:
    return folder / "ImageSets" / "Segmentation" / f"{split}.txt"


def sample_paths(folder: Path, name: str, known_files: KnownFiles) -> dict[str, Path]:
    """{"data": path, "label": path} of a sample, by the suffixes of the files that there are."""
    return {"data": find(folder / "JPEGImages", name, IMAGE_SUFFIXES, known_files),
            "label": find(folder / "SegmentationClass", name, LABEL_SUFFIXES, known_files)}


def find(directory: Path, name: str, suffixes: tuple, known_files: KnownFiles) -> Path:
    """The file with the first suffix that there is; without any, that with the first suffix."""
    return first_there([directory / (name + suffix) for suffix in suffixes], known_files)


def class_names(folder: Path, count: int | None = None) -> list[str]:
    """The lines of classes.txt, `count` of them where it is given; none without the file."""
    path = folder / "classes.txt"
    try:
        return read_class_names(path, count) if path.exists() else []
    except ValueError as error:
        raise DataError(str(error)) from None


def scan_classes(folder: Path, entries: Iterable[Entry]) -> list[str]:
    """class0, class1, ... up to the largest value in the labels."""
    known_files = KnownFiles()
    labels = [sample_paths(folder, entry.name, known_files)["label"] for entry in entries]
    with ThreadPoolExecutor() as pool:
        largest = max(pool.map(largest_class, labels), default=0)
    return [f"class{number}" for number in range(largest + 1)]


def largest_class(path: Path) -> int:
    try:
        label = read_label_image(path)
    except (OSError, ValueError) as error:
        raise DataError(f"label {path} cannot be read: {error}") from error
    return int(label.max(where=label != VOID, initial=0))
