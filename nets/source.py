"""Where a net's images and labels come from: the Python data layers of data/.

`data_dir` is the folder of the downloaded datasets, by default `segdata.paths.data_root()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from caffe import layers as L
from segdata.means import ILSVRC as MEAN
from segdata.paths import data_root

ROOT = Path(__file__).resolve().parent.parent
Dir = str | Path | None
SEED = 1337                                 # that of the published nets


@dataclass(frozen=True)
class Source:
    """A data set.

    train, val : (module, class, param_str dictionary) of the data layers
    val_names : path of the list of validation samples
    labels : {blob: classes}; label values are 0 … classes − 1, and 255 for void
    images : {blob: channels}; the tops of the layers are images, then labels
    """
    train: tuple
    val: tuple
    val_names: Path
    labels: dict
    images: dict = field(default_factory=lambda: {"data": 3})

    @property
    def classes(self) -> int:
        """The classes of the (first) label."""
        return next(iter(self.labels.values()))

    @property
    def batch(self) -> int:
        """The training images in a pass."""
        return self.train[2].get("batch", 1)

    def with_training(self, **params: Any) -> Source:
        """The source whose training layer has these keys of `SegDataLayer` too: batch, crop,
        scale, mirror, jitter, weights; with weights there is a further top, weight."""
        module, layer, own = self.train
        return replace(self, train=(module, layer, {**own, **params}))

    @property
    def has_weights(self) -> bool:
        """Whether training has weights of the pixels, the blob weight."""
        return bool(self.train[2].get("weights"))

    @property
    def margin(self) -> int:
        """The pixels that images have around what labels cover."""
        return self.val[2].get("margin", 0)

    def with_margin(self, margin: int) -> Source:
        """The source whose images have that margin, of their own reflection at the borders."""
        train, val = ((module, layer, {**own, "margin": margin})
                      for module, layer, own in (self.train, self.val))
        return replace(self, train=train, val=val)

    def tops(self, split: str, **params: Any) -> dict[str, object]:
        """{blob: top} of the layer for `split`, 'train' or 'val'."""
        module, layer, own = getattr(self, split)
        names = (*self.images, *self.labels, *(("weight",) if "weights" in own else ()))
        return dict(zip(names, L.Python(module=module, layer=layer, ntop=len(names),
                                        param_str=str({**own, **params}))))


def voc(data_dir: Dir = None, classes: int = 21) -> Source:
    """PASCAL VOC: trained on SBD, scored on VOC 2011 val without SBD's training images."""
    root = _root(data_dir)
    voc_dir = root / "pascal" / "VOC2011"
    return Source(
        ("voc_layers", "SBDDSegDataLayer",
         dict(sbdd_dir=str(root / "sbdd" / "dataset"), split="train", mean=MEAN, seed=SEED)),
        ("voc_layers", "VOCSegDataLayer",
         dict(voc_dir=str(voc_dir), split="seg11valid", mean=MEAN, seed=SEED)),
        voc_dir / "ImageSets" / "Segmentation" / "seg11valid.txt", {"label": classes})


DEEPLAB_MEAN = (104.008, 116.669, 122.675)     # B, G, R: ILSVRC's, as DeepLab rounds it


def voc2012(data_dir: Dir = None, classes: int = 21, crop: int = 321, batch: int = 20,
            mean: tuple = DEEPLAB_MEAN) -> Source:
    """PASCAL VOC 2012 as DeepLab uses it: trained on train_aug, VOC's train and SBD's images that
    are not in val, in mirrored crops of 321, batches of 20; scored on val."""
    root = _root(data_dir)
    voc_dir = root / "pascal" / "VOC2012"
    common = dict(voc_dir=str(voc_dir), mean=mean, seed=SEED)
    return Source(
        ("voc_layers", "AugmentedVOCSegDataLayer",
         dict(common, sbdd_dir=str(root / "sbdd" / "dataset"), split="train_aug", mirror=True,
              crop=crop, batch=batch)),
        ("voc_layers", "VOCSegDataLayer", dict(common, split="val")),
        voc_dir / "ImageSets" / "Segmentation" / "val.txt", {"label": classes})


DILATED_MEAN = (102.93, 111.36, 116.52)         # B, G, R: PASCAL VOC's


def dilated_voc2012(data_dir: Dir = None, classes: int = 21) -> Source:
    """`voc2012` as dilated convolutions are trained on it: 128 pixels, which with the margin of 186
    are the published crops of 500, in batches of 14."""
    return voc2012(data_dir, classes, 128, 14, DILATED_MEAN)


def context_voc2012(data_dir: Dir = None, classes: int = 21) -> Source:
    """`voc2012` as the context module is trained on it: crops of 66×66 scores."""
    return voc2012(data_dir, classes, 528, 3, DILATED_MEAN)


def folder(path: str | Path, classes: int, mirror: bool = False) -> Source:
    """Any folder in VOC layout, with the splits train and val."""
    path = Path(path).resolve()
    common = dict(folder=str(path), mean=MEAN, classes=classes)
    return Source(
        ("folder_layers", "FolderSegDataLayer",
         dict(common, split="train", seed=SEED, mirror=mirror)),
        ("folder_layers", "FolderSegDataLayer", dict(common, split="val")),
        path / "ImageSets" / "Segmentation" / "val.txt", {"label": classes})


def nyud(inputs: tuple = ("color",), data_dir: Dir = None, classes: int = 40) -> Source:
    """NYUDv2, trained on trainval, scored on test. The layer holds the means itself.

    `inputs` are some of 'color' and 'hha' (3 channels), 'depth' (its logarithm, 1 channel); a
    single one becomes the blob data.
    """
    nyud_dir = _root(data_dir) / "nyud"
    channels = {name: 1 if name == "depth" else 3 for name in inputs}
    return Source(
        *_splits("nyud_layers", "NYUDSegDataLayer", ("trainval", "test"),
                 dict(nyud_dir=str(nyud_dir), tops=[*inputs, "label"])),
        nyud_dir / "test.txt", {"label": classes},
        channels if len(channels) > 1 else {"data": channels[inputs[0]]})


def siftflow(data_dir: Dir = None, classes: int = 33, geometric: int = 3) -> Source:
    """SIFT Flow, with semantic and geometric labels, trained on trainval, scored on test."""
    siftflow_dir = _root(data_dir) / "sift-flow"
    return Source(
        *_splits("siftflow_layers", "SIFTFlowSegDataLayer", ("trainval", "test"),
                 dict(siftflow_dir=str(siftflow_dir))),
        siftflow_dir / "test.txt", {"sem": classes, "geo": geometric})


def pascalcontext(data_dir: Dir = None, classes: int = 60) -> Source:
    """PASCAL-Context, 59 classes and background (0), trained and scored on VOC 2010's splits."""
    root = _root(data_dir)
    return Source(
        *_splits("pascalcontext_layers", "PASCALContextSegDataLayer", ("train", "val"),
                 dict(voc_dir=str(root / "pascal"),
                      context_dir=str(root / "pascal-context"))),
        root / "pascal" / "VOC2010" / "ImageSets" / "Main" / "val.txt", {"label": classes})


def _root(data_dir: Dir) -> Path:
    return Path(data_dir).resolve() if data_dir else data_root()


def _splits(module: str, layer: str, splits: tuple[str, str], params: dict) -> tuple[tuple, tuple]:
    train, val = ((module, layer, dict(params, split=split, seed=SEED)) for split in splits)
    return train, val


def cells(name: str, data_dir: Dir = None, classes: int = 2, crop: int = 388, elastic: float = 10
          ) -> Source:
    """Microscope images of cells, grey, prepared by segdata.download.cells: 'isbi', 'phc' or 'dic'.

    Training has random windows of `crop` pixels of mirrored images, deformed elastically with a
    deviation of `elastic` pixels, and the pixels' weights that part touching cells.
    """
    root = _root(data_dir) / "cells" / name
    train, val = _splits("segdata.cells", "CellSegDataLayer", ("train", "val"),
                         dict(cells_dir=str(root)))
    return Source(train, val, root / "val.txt", {"label": classes}, {"data": 1}).with_training(
        crop=crop, mirror=True, elastic=elastic, weights=str(root / "weights"))
