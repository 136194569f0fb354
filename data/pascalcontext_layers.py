"""The data layer for PASCAL-Context (Mottaghi et al., CVPR 2014), the task of 59 classes."""

from pathlib import Path

import numpy as np

from segdata import means
from segdata.classes import PASCALCONTEXT_FULL_NAMES
from segdata.layer import SegDataLayer
from segdata.lists import latin1, read_lines
from segdata.readers import class_numbers, read_mat


class PASCALContextSegDataLayer(SegDataLayer):
    """VOC 2010's images with labels 1 to 59, and 0 for everything else.

    The directory keys are `voc_dir` and `context_dir`.

    voc_dir/VOC2010/ImageSets/Main/SPLIT.txt, voc_dir/VOC2010/JPEGImages/NAME.jpg,
    context_dir/trainval/NAME.mat with the labels LabelMap, context_dir/labels.txt that names all
    its values, context_dir/59_labels.txt that names the classes in the order of their numbers;
    the lines of both are NUMBER: NAME
    """

    directory_keys = ("voc_dir", "context_dir")
    required = ("split",)
    classes = {"label": 60}
    mean = means.PASCALCONTEXT.reshape(3, 1, 1)

    def configure(self) -> None:
        context = self.roots["context_dir"]
        try:
            self.table = class_table(self.existing(context / "labels.txt"),
                                     self.existing(context / "59_labels.txt"))
        except ValueError as error:
            raise self.error(error) from None

    def split_file(self, split: str) -> Path:
        return self.roots["voc_dir"] / "VOC2010" / "ImageSets" / "Main" / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        return {"data": self.roots["voc_dir"] / "VOC2010" / "JPEGImages" / f"{name}.jpg",
                "label": self.roots["context_dir"] / "trainval" / f"{name}.mat"}

    def read_label(self, path: Path) -> np.ndarray:
        values = class_numbers(read_mat(path, "LabelMap"))
        if values.min() < 0 or values.max() >= len(self.table):
            raise ValueError(f"its values are {values.min()} to {values.max()}, labels.txt names "
                             f"those up to {len(self.table) - 1}")
        return self.table[values]


def class_table(labels: Path, chosen: Path) -> np.ndarray:
    """uint8, the class of every value in LabelMap: its number in the list `chosen`, else 0."""
    values = read_labels(labels)
    table = np.zeros(max(values.values()) + 1, np.uint8)
    for name, number in read_labels(chosen).items():
        name = PASCALCONTEXT_FULL_NAMES.get(name, name)
        if name not in values:
            raise ValueError(f"{chosen}: '{name}' is not in {labels}")
        table[values[name]] = number
    return table


def read_labels(path: Path) -> dict[str, int]:
    """{name: number} of the lines NUMBER: NAME, which count from 1 without a gap.

    Blanks do not count, for the files differ in them. Raises ValueError with the line.
    """
    found: dict[str, int] = {}
    for place, line in read_lines(path):
        number, colon, name = line.replace(" ", "").partition(":")
        if not (number.isdecimal() and name):
            raise ValueError(f"{path}:{place}: '{latin1(line)}' is not a line NUMBER: NAME")
        if int(number) != len(found) + 1:
            raise ValueError(f"{path}:{place}: '{latin1(line)}' has the number {number}, expected "
                             f"is {len(found) + 1}: numbers count from 1 without a gap")
        name = latin1(name)
        if name in found:
            raise ValueError(f"{path}:{place}: '{name}' has the number {found[name]} already")
        found[name] = int(number)
    if not found:
        raise ValueError(f"{path} is empty, expected lines NUMBER: NAME")
    return found
