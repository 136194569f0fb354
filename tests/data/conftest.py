"""Tiny data sets on disk, and nets that consist of one data layer."""

import caffe
import h5py
import numpy as np
import pytest
import scipy.io

from data_samples import MEAN, labels, picture
from segdata.palette import label_image


@pytest.fixture
def net(tmp_path):
    """net(module, layer, tops=("data", "label"), **params): a net of that one Python layer.

    net.from_text(module, layer, param_str) takes the param_str as text.
    """
    def make(module, layer, tops=("data", "label"), /, **params):
        mean = {"mean": MEAN} if module in ("voc_layers", "folder_layers") else {}
        return from_text(module, layer, str({**mean, **params}), tops)

    def from_text(module, layer, param_str, tops=("data", "label")):
        path = tmp_path / "data.prototxt"
        top_lines = " ".join(f'top: "{top}"' for top in tops)
        escaped = param_str.replace("\\", "\\\\").replace('"', '\\"')
        path.write_text(f'layer {{ name: "input" type: "Python" {top_lines} python_param {{ '
                        f'module: "{module}" layer: "{layer}" param_str: "{escaped}" }} }}')
        return caffe.Net(str(path), caffe.TEST)

    make.from_text = from_text
    return make


@pytest.fixture
def voc(tmp_path):
    """A VOC folder with 5 samples, a, b, c, d, e: red and label are 0, 1, 2, 3, 4.

    PNG files named .jpg: Pillow goes by the content, and the values survive.
    """
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate("abcde"):
        picture(number, 9 + number).save(root / "JPEGImages" / f"{name}.jpg", "PNG")
        label_image(labels(number, 9 + number)).save(root / "SegmentationClass" / f"{name}.png")
    for split in ("train", "val"):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("a\nb\nc\nd\ne\n")
    return root


@pytest.fixture
def sbd(tmp_path):
    """An SBD folder with the samples a, b, c: red and label are 0, 1, 2."""
    root = tmp_path / "sbd"
    (root / "img").mkdir(parents=True)
    (root / "cls").mkdir()
    for number, name in enumerate("abc"):
        picture(number).save(root / "img" / f"{name}.jpg", "PNG")
        scipy.io.savemat(root / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": labels(number)}})
    (root / "train.txt").write_text("a\nb\nc\n")
    return root


@pytest.fixture
def nyud_files(tmp_path):
    """NYUDv2's official files with three images, by their names in the catalog.

    Image 5001 + i is 480×640 with red = i and, at row v and column u, green v % 256 and blue
    u % 256, depth 1 + i + v / 1000 m and raw label v; the second image tests.
    """
    count = 3
    v, u = np.mgrid[:480, :640]
    images = np.stack([np.stack([np.full_like(v, i), v % 256, u % 256]) for i in range(count)])
    depths = np.stack([1 + i + v / 1000 for i in range(count)])
    paths = {name: tmp_path / name for name in ("nyud", "nyud_splits", "nyud_classes")}
    with h5py.File(paths["nyud"], "w") as file:        # MATLAB's axes come reversed
        file["images"] = images.astype(np.uint8).swapaxes(2, 3)
        file["depths"] = depths.astype(np.float32).swapaxes(1, 2)
        file["rawDepths"] = np.where(u < 100, 0, depths).astype(np.float32).swapaxes(1, 2)
        file["labels"] = np.stack([v.T] * count).astype(np.uint16)
    with open(paths["nyud_splits"], "wb") as file:
        scipy.io.savemat(file, {"trainNdxs": [[1], [3]], "testNdxs": [[2]]})
    with open(paths["nyud_classes"], "wb") as file:
        scipy.io.savemat(file, {"mapClass": np.arange(894)[None] % 40 + 1})
    return paths
