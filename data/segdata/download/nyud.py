"""NYUDv2 out of its official files, in the layout that `NYUDSegDataLayer` reads.

    nyud/data/images/img_NAME.png       colour
    nyud/data/depth/img_NAME.png        16 bit, mm, gaps filled in by the authors of the dataset
    nyud/data/hha/img_NAME.png          HHA of that depth, with normals of what was measured
    nyud/segmentation/img_NAME.mat      'segmentation': 1..40, 0 = unlabelled
    nyud/{train,val,trainval,test}.txt

NAME is 5000 + the number of the image, and images lose their white frame, 640×480 -> 560×425, as
Gupta et al. (CVPR 2013) have it and the published models expect it.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image
from tqdm import tqdm

from segdata.download.splits import write_nyud
from segdata.errors import MaterialError
from segdata.files import new_folder
from segdata.hha import NYUD, hha
from segdata.readers import read_mat

FRAME = np.s_[45:470, 40:600]   # what is left of 480×640
FIRST = 5001                    # the name of the first image
RAW_CLASSES, CLASSES = 894, 40


def prepare(labelled: Path, splits: Path, classes: Path, root: Path) -> None:
    """Write `root` from the paths of nyu_depth_v2_labeled.mat, splits.mat, classMapping40.mat."""
    table = class_table(classes)
    with new_folder(root) as content:
        for folder in ("data/images", "data/depth", "data/hha", "segmentation"):
            (content / folder).mkdir(parents=True)
        trainval, test = read_splits(splits)
        write_nyud(content, trainval, test)
        try:
            with h5py.File(labelled) as file:
                bar = tqdm(range(len(file["images"])), desc="preparing NYUDv2", unit="image",
                           disable=None)
                if bar.disable:     # stderr is no terminal
                    print(f"preparing the {len(bar)} images of NYUDv2", file=sys.stderr, flush=True)
                for index in bar:
                    save(content, file, index, table)
        except Exception as error:      # what h5py raises on a damaged file has no base
            raise MaterialError(f"{labelled} cannot be read; if it is damaged, remove it and run "
                                f"again: {error or type(error).__name__}") from error


def class_table(path: Path) -> np.ndarray:
    """uint8 (895,): the class 1..40 of every raw label, 0 for 0, out of classMapping40.mat."""
    values = variable(path, "mapClass").ravel()
    if len(values) != RAW_CLASSES or values.min() < 1 or values.max() != CLASSES:
        raise MaterialError(f"{path} is no mapping of {RAW_CLASSES} labels to {CLASSES} classes")
    return np.concatenate([[0], values]).astype(np.uint8)


def read_splits(path: Path) -> list[list[str]]:
    """The names of trainval and test out of splits.mat, in order."""
    return [[str(FIRST - 1 + number) for number in sorted(variable(path, key).ravel())]
            for key in ("trainNdxs", "testNdxs")]


def variable(path: Path, name: str) -> np.ndarray:
    """A variable of a MATLAB file. MaterialError, with the path, where there is none."""
    try:
        return read_mat(path, name)
    except ValueError as error:
        raise MaterialError(f"{path}: {error}") from None


def save(root: Path, file: h5py.File, index: int, table: np.ndarray) -> None:
    """Write one image and what belongs to it; MATLAB's arrays come with their axes reversed."""
    name = f"img_{FIRST + index}"
    image, depth, raw, label = (file[key][index].T[FRAME]
                                     for key in ("images", "depths", "rawDepths", "labels"))
    pictures = {"images": image, "depth": (1000 * depth).round().astype(np.uint16),
                "hha": hha(depth, NYUD[depth.shape], measured=raw > 0)}
    for folder, picture in pictures.items():
        Image.fromarray(np.ascontiguousarray(picture)).save(
            root / "data" / folder / f"{name}.png")
    scipy.io.savemat(root / "segmentation" / f"{name}.mat", {"segmentation": table[label]},
                     do_compression=True)
