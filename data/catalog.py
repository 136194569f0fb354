"""What the experiments need that is downloaded: where it lies, how large it is, how to get it."""

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Item:
    """One download.

    title     what it is
    path      the file that is there when the item is complete, relative to `ROOT`
    about     the size of the download, for people
    size      the size in bytes, None where the project has not verified it
    checksum  "ALGORITHM:HEX" of the download
    urls      where it is, tried in turn
    target    the make target that gets it
    folder    for an archive: the folder that its content becomes, relative to `ROOT`
    inside    for an archive: the folder in it that is unpacked
    """
    title: str
    path: str
    about: str
    size: int | None
    checksum: str
    urls: tuple
    target: str
    folder: str = ""
    inside: str = ""


ITEMS = {
    # Size and SHA-1: as published with the weights.
    "vgg16": Item(
        title="the ILSVRC-trained VGG-16",
        path="ilsvrc/VGG_ILSVRC_16_layers.caffemodel",
        about="553 MB",
        size=553_432_081,
        checksum="sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
        urls=("http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"
              "VGG_ILSVRC_16_layers.caffemodel",),
        target="vgg16"),
    # SHA-1: GluonCV's pascal_voc.py.
    "sbd": Item(
        title="the SBD images and segmentations",
        path="sbdd/dataset/train.txt",
        about="1.4 GB",
        size=None,
        checksum="sha1:7129e0a480c2d6afb02b517bb18ac54283bfaa35",
        urls=("http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
              "semantic_contours/benchmark.tgz",
              "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
              "semantic_contours/benchmark.tgz"),
        target="data-voc",
        folder="sbdd/dataset",
        inside="benchmark_RELEASE/dataset"),
    # MD5 and the folder inside: torchvision's datasets/voc.py.
    "voc2011": Item(
        title="the PASCAL VOC 2011 images and segmentations",
        path="pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt",
        about="1.7 GB",
        size=None,
        checksum="md5:6c3384ef61512963050cb5d687e5bf1e",
        urls=("http://host.robots.ox.ac.uk/pascal/VOC/voc2011/VOCtrainval_25-May-2011.tar",
              "https://thor.robots.ox.ac.uk/pascal/VOC/voc2011/VOCtrainval_25-May-2011.tar"),
        target="data-voc",
        folder="pascal/VOC2011",
        inside="TrainVal/VOCdevkit/VOC2011"),
}


def path(name):
    """Where the item of that name lies, absolute."""
    return ROOT / ITEMS[name].path


def missing(name, root=ROOT):
    """None if the item is there, else a message: what is missing, its size, how to get it."""
    item = ITEMS[name]
    file = root / item.path
    size = file.stat().st_size if file.is_file() else None
    if size is None:
        problem = f"{file} is missing"
    elif not item.folder and size != item.size:
        problem = f"{file} has {size} bytes, expected {item.size}"
    else:
        return None
    return (f"{problem}: {item.title}, a download of {item.about}. "
            f"Get it with `make {item.target}`. `make demo` needs no download at all.")


def main():
    """python3 data/catalog.py NAME...: fail, saying what is missing."""
    problems = [problem for name in sys.argv[1:] if (problem := missing(name))]
    sys.exit("error: " + "\n".join(problems) if problems else 0)


if __name__ == "__main__":
    main()
