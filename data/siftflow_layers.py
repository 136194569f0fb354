"""The data layer for SIFT Flow (Liu et al., 2011): semantic and geometric classes together."""

from pathlib import Path

import numpy as np

from segdata import means
from segdata.download.splits import SIFTFLOW_CATEGORIES as SCENES
from segdata.layer import SegDataLayer
from segdata.readers import read_mat


class SIFTFlowSegDataLayer(SegDataLayer):
    """Images with two labels each, the tops data, sem and geo; the directory key is `siftflow_dir`.

    siftflow_dir/SPLIT.txt, and below the folder of the scenes in each of Images (NAME.jpg),
    SemanticLabels and GeoLabels (NAME.mat with the labels S, 0 or -1 for void, classes from 1 on).
    33 semantic classes; 3 geometric classes: sky, horizontal, vertical.
    """

    directory_keys = ("siftflow_dir",)
    required = ("split",)
    tops = ("data", "sem", "geo")
    classes = {"sem": 33, "geo": 3}
    first_class = 1
    void_values = (0, -1)
    mean = means.SIFTFLOW.reshape(3, 1, 1)

    def split_file(self, split: str) -> Path:
        return self.roots["siftflow_dir"] / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        root = self.roots["siftflow_dir"]
        return {"data": root / "Images" / SCENES / f"{name}.jpg",
                "sem": root / "SemanticLabels" / SCENES / f"{name}.mat",
                "geo": root / "GeoLabels" / SCENES / f"{name}.mat"}

    def read_label(self, path: Path) -> np.ndarray:
        return read_mat(path, "S")
