"""Where a net's images and labels come from: the Python data layers of data/.

`data_dir` is the folder of the downloaded datasets, by default `segdata.paths.data_root()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from caffe import layers as L
from segdata.means import ILSVRC as MEAN
from segdata.paths import data_root

ROOT = Path(__file__).resolve().parent.parent
Dir = str | Path | None
SEED = 1337                                 # that of the published nets


class DataLayer(NamedTuple):
    """A Python data layer. module, layer : where its class is, and its name; params : its
    param_str, a dictionary"""
    module: str
    layer: str
    params: dict[str, Any]

    def with_params(self, **params: Any) -> DataLayer:
        """The layer with these keys of param_str, too, or in place of its own."""
        return self._replace(params={**self.params, **params})


@dataclass(frozen=True)
class Source:
    """A data set.

    train, val : the data layers
    val_names : path of the list of validation samples
    labels : {blob: classes}; label values are 0 … classes − 1, and 255 for void
    images : {blob: channels}; the tops of the layers are images, then labels
    """
    train: DataLayer
    val: DataLayer
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
        return self.train.params.get("batch", 1)

    @property
    def crop(self) -> tuple[int, ...]:
        """The sides of training crops: none where whole images are trained on, or one or two."""
        crop = self.train.params.get("crop") or ()
        return (crop,) if isinstance(crop, int) else crop

    def with_training(self, **params: Any) -> Source:
        """The source whose training layer has these keys of `SegDataLayer` too: batch, crop,
        scale, mirror, jitter, weights; with weights there is a further top, weight."""
        return replace(self, train=self.train.with_params(**params))

    @property
    def has_weights(self) -> bool:
        """Whether training has weights of the pixels, the blob weight."""
        return bool(self.train.params.get("weights"))

    @property
    def margin(self) -> int:
        """The pixels that images have around what labels cover."""
        return self.val.params.get("margin", 0)

    def with_margin(self, margin: int) -> Source:
        """The source whose images have that margin, of their own reflection at the borders."""
        return self._with_both(margin=margin)

    @property
    def multiple(self) -> int:
        """Of which the sides of images and labels are multiples."""
        return self.val.params.get("multiple", 1)

    def with_multiple(self, multiple: int) -> Source:
        """The source whose images and labels are padded to sides that are multiples of it."""
        return self._with_both(multiple=multiple)

    def _with_both(self, **params: Any) -> Source:
        return replace(self, train=self.train.with_params(**params),
                       val=self.val.with_params(**params))

    def tops(self, split: str, **params: Any) -> dict[str, object]:
        """{blob: top} of the layer for `split`, 'train' or 'val'."""
        module, layer, given = getattr(self, split).with_params(**params)
        names = (*self.images, *self.labels, *(("weight",) if "weights" in given else ()))
        return dict(zip(names, L.Python(module=module, layer=layer, ntop=len(names),
                                        param_str=str(given))))


def voc(data_dir: Dir = None, classes: int = 21) -> Source:
    """PASCAL VOC: trained on SBD, scored on VOC 2011 val without SBD's training images."""
    root = _root(data_dir)
    voc_dir = root / "pascal" / "VOC2011"
    return Source(
        DataLayer("voc_layers", "SBDDSegDataLayer",
                  dict(sbdd_dir=str(root / "sbdd" / "dataset"), split="train", mean=MEAN,
                       seed=SEED)),
        DataLayer("voc_layers", "VOCSegDataLayer",
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
        DataLayer("voc_layers", "AugmentedVOCSegDataLayer",
                  dict(common, sbdd_dir=str(root / "sbdd" / "dataset"), split="train_aug",
                       mirror=True, crop=crop, batch=batch)),
        DataLayer("voc_layers", "VOCSegDataLayer", dict(common, split="val")),
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
        DataLayer("folder_layers", "FolderSegDataLayer",
                  dict(common, split="train", seed=SEED, mirror=mirror)),
        DataLayer("folder_layers", "FolderSegDataLayer", dict(common, split="val")),
        path / "ImageSets" / "Segmentation" / "val.txt", {"label": classes})


def camvid(data_dir: Dir = None, classes: int = 11, batch: int = 4) -> Source:
    """CamVid in VOC layout, as SegNet is trained on it: batches of 4 whole images."""
    return folder(_root(data_dir) / "camvid", classes).with_training(batch=batch)


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


def _splits(module: str, layer: str, splits: tuple[str, str], params: dict
            ) -> tuple[DataLayer, DataLayer]:
    train, val = (DataLayer(module, layer, dict(params, split=split, seed=SEED))
                  for split in splits)
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
