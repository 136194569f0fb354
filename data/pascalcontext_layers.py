"""The data layer for PASCAL-Context (Mottaghi et al., CVPR 2014), the task of 59 classes."""

import numpy as np

from segdata import means
from segdata.layer import SegDataLayer
from segdata.readers import class_numbers, read_mat

# What the list of the 59 classes calls otherwise than the list of all.
FULL_NAMES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


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
    mean = np.float32(means.PASCALCONTEXT).reshape(3, 1, 1)

    def open(self):
        super().open()
        context = self.roots["context_dir"]
        try:
            self.table = class_table(self.existing(context / "labels.txt"),
                                     self.existing(context / "59_labels.txt"))
        except ValueError as error:
            raise self.error(error) from None

    def split_file(self, split):
        return self.roots["voc_dir"] / "VOC2010" / "ImageSets" / "Main" / f"{split}.txt"

    def paths(self, name):
        return {"data": self.roots["voc_dir"] / "VOC2010" / "JPEGImages" / f"{name}.jpg",
                "label": self.roots["context_dir"] / "trainval" / f"{name}.mat"}

    def read_label(self, path):
        values = class_numbers(read_mat(path, "LabelMap"))
        if values.min() < 0 or values.max() >= len(self.table):
            raise ValueError(f"its values are {values.min()} to {values.max()}, labels.txt names "
                             f"those up to {len(self.table) - 1}")
        return self.table[values]


def class_table(labels, chosen):
    """uint8, the class of every value in LabelMap: its place in the list `chosen`, else 0."""
    values = {name: value for value, name in read_labels(labels)}
    table = np.zeros(max(values.values()) + 1, np.uint8)
    for number, (_, name) in enumerate(read_labels(chosen), 1):
        name = FULL_NAMES.get(name, name)
        if name not in values:
            raise ValueError(f"{chosen}: '{name}' is not in {labels}")
        table[values[name]] = number
    return table


def read_labels(path):
    """[(number, name)] of the lines NUMBER: NAME; blanks do not count, files differ in them."""
    found = []
    for place, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        number, colon, name = line.replace(" ", "").partition(":")
        if line.strip():
            if not (number.isdecimal() and name):
                raise ValueError(f"{path}:{place}: '{line}' is not a line NUMBER: NAME")
            found.append((int(number), name))
    return found
