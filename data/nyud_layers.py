"""The data layer for NYUDv2 (Silberman et al., 2012), as prepared by Gupta et al., 2013/2014."""

from pathlib import Path

import numpy as np

from segdata import means
from segdata.errors import Doubt
from segdata.layer import SegDataLayer
from segdata.readers import read_depth, read_hha, read_mat

MEAN_HHA = means.HHA.reshape(3, 1, 1)
MEAN_LOG_DEPTH = means.LOG_DEPTH


class NYUDSegDataLayer(SegDataLayer):
    """Colour, depth, HHA and labels, whichever are asked for; the directory key is `nyud_dir`.

    The key `tops` lists them in the order of the tops, some of

        color   nyud_dir/data/images/img_NAME.png
        depth   nyud_dir/data/depth/img_NAME.png, 16-bit, millimetres: the top is the logarithm
                minus its mean, one channel; where depth is missing (0) it is the mean
        hha     nyud_dir/data/hha/img_NAME.png, what `hha.py` writes
        label   nyud_dir/segmentation/img_NAME.mat, `segmentation`: 0 for void, classes 1 to 40

    Split lists are nyud_dir/SPLIT.txt.
    """

    directory_keys = ("nyud_dir",)
    required = ("split", "tops")
    classes = {"label": 40}
    first_class = 1
    void_values = (0,)
    mean = means.NYUD.reshape(3, 1, 1)

    def configure(self) -> None:
        self.tops = self.read_tops(self.params["tops"])

    def read_tops(self, tops: object) -> tuple[str, ...]:
        known = self.paths("")
        if (not isinstance(tops, (list, tuple)) or not tops or not set(tops) <= set(known)
                or len(set(tops)) < len(tops)):
            raise self.error(f"param_str key 'tops' is {tops!r}, expected a list of some of "
                             f"{', '.join(known)}")
        return tuple(tops)

    def split_file(self, split: str) -> Path:
        return self.roots["nyud_dir"] / f"{split}.txt"

    def paths(self, name: str) -> dict[str, Path]:
        root = self.roots["nyud_dir"]
        return {"color": root / "data" / "images" / f"img_{name}.png",
                "depth": root / "data" / "depth" / f"img_{name}.png",
                "hha": root / "data" / "hha" / f"img_{name}.png",
                "label": root / "segmentation" / f"img_{name}.mat"}

    def decode_image(self, top: str, path: Path) -> np.ndarray:
        if top == "depth":
            return log_depth(read_depth(path))[None]
        if top == "hha":
            return subtract_hha_mean(read_hha(path))
        return super().decode_image(top, path)

    def doubts(self, top: str, path: Path) -> list[Doubt]:
        return [] if top == "depth" else super().doubts(top, path)

    def read_label(self, path: Path) -> np.ndarray:
        return read_mat(path, "segmentation")


def subtract_hha_mean(hha: np.ndarray) -> np.ndarray:
    """uint8 (height, width, 3) -> float32 (3, height, width), the channels in the same order."""
    return hha.transpose(2, 0, 1) - MEAN_HHA


def log_depth(depth: np.ndarray) -> np.ndarray:
    """The logarithm of depth in millimetres minus its mean; 0 where depth is missing."""
    logs = np.full(depth.shape, MEAN_LOG_DEPTH)
    return np.log(depth.astype(np.float32), out=logs, where=depth > 0) - MEAN_LOG_DEPTH
