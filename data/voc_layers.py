"""Data layers for PASCAL VOC and for SBD, its extension (Hariharan et al., ICCV 2011)."""

from pathlib import Path

import numpy as np

from segdata.layer import SegDataLayer
from segdata.readers import read_mat


class SBDDSegDataLayer(SegDataLayer):
    """SBD's images and class segmentations; the directory key is `sbdd_dir`.

    sbdd_dir/{train,val}.txt, sbdd_dir/img/NAME.jpg, and cls/NAME.mat or, in copies of SBD that
    are converted, cls/NAME.png
    """

    directory_keys = ("sbdd_dir",)

    def split_file(self, split: str) -> Path:
        return self.roots["sbdd_dir"] / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        root = self.roots["sbdd_dir"]
        converted = root / "cls" / f"{name}.png"
        return {"data": root / "img" / f"{name}.jpg",
                "label": (converted if converted in self.known_files
                          else root / "cls" / f"{name}.mat")}

    def read_label(self, path: Path) -> np.ndarray:
        if path.suffix == ".png":
            return super().read_label(path)
        return read_mat(path, "GTcls")["Segmentation"][0, 0]


class VOCSegDataLayer(SegDataLayer):
    """PASCAL VOC's images and class segmentations; the directory key is `voc_dir`.

    voc_dir/ImageSets/Segmentation/SPLIT.txt, voc_dir/JPEGImages/NAME.jpg,
    voc_dir/SegmentationClass/NAME.png
    """

    directory_keys = ("voc_dir",)

    def split_file(self, split: str) -> Path:
        return self.roots["voc_dir"] / "ImageSets" / "Segmentation" / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        root = self.roots["voc_dir"]
        return {"data": root / "JPEGImages" / f"{name}.jpg",
                "label": root / "SegmentationClass" / f"{name}.png"}


class AugmentedVOCSegDataLayer(SBDDSegDataLayer):
    """PASCAL VOC with SBD's segmentations of the images that VOC does not segment; the directory
    keys are `voc_dir` and `sbdd_dir`.

    The list and the images are VOC's, and the labels where it has them; the others are SBD's.
    """

    directory_keys = ("voc_dir", "sbdd_dir")

    def split_file(self, split: str) -> Path:
        return self.roots["voc_dir"] / "ImageSets" / "Segmentation" / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        root = self.roots["voc_dir"]
        own = root / "SegmentationClass" / f"{name}.png"
        return {"data": root / "JPEGImages" / f"{name}.jpg",
                "label": own if own in self.known_files else super().paths(name)["label"]}
