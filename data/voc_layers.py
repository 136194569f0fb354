"""Data layers for PASCAL VOC and for SBD, its extension (Hariharan et al., ICCV 2011)."""

import scipy.io
from seg_data import SegDataLayer


class SBDDSegDataLayer(SegDataLayer):
    """SBD's images and class segmentations; the directory key is `sbdd_dir`.

    sbdd_dir/{train,val}.txt, sbdd_dir/img/NAME.jpg, sbdd_dir/cls/NAME.mat
    """

    directory_key = "sbdd_dir"

    def split_file(self, split):
        return self.directory / f"{split}.txt"

    def paths(self, entry):
        return (self.directory / "img" / f"{entry.name}.jpg",
                self.directory / "cls" / f"{entry.name}.mat")

    def read_label(self, path):
        return scipy.io.loadmat(path)["GTcls"][0, 0]["Segmentation"]


class VOCSegDataLayer(SegDataLayer):
    """PASCAL VOC's images and class segmentations; the directory key is `voc_dir`.

    voc_dir/ImageSets/Segmentation/SPLIT.txt, voc_dir/JPEGImages/NAME.jpg,
    voc_dir/SegmentationClass/NAME.png
    """

    directory_key = "voc_dir"

    def split_file(self, split):
        return self.directory / "ImageSets" / "Segmentation" / f"{split}.txt"

    def paths(self, entry):
        return (self.directory / "JPEGImages" / f"{entry.name}.jpg",
                self.directory / "SegmentationClass" / f"{entry.name}.png")
