"""Where a net's images and labels come from: the Python data layers of data/."""

from dataclasses import dataclass
from pathlib import Path

from caffe import layers as L

ROOT = Path(__file__).resolve().parent.parent
MEAN = (104.00699, 116.66877, 122.67892)    # ILSVRC, B G R
SEED = 1337                                 # that of the published nets


@dataclass(frozen=True)
class Source:
    """A data set.

    classes : int, label values 0 … classes − 1 (255 is void)
    train, val : (module, class, param_str dictionary) of the data layers
    """
    classes: int
    train: tuple
    val: tuple

    def tops(self, split, **params):
        """(data, label) of the layer for `split`, 'train' or 'val'."""
        module, layer, own = getattr(self, split)
        return L.Python(module=module, layer=layer, ntop=2, param_str=str({**own, **params}))

    def val_list(self):
        """The path of the list of validation samples."""
        own = self.val[2]
        root = Path(own.get("voc_dir") or own["folder"])
        return root / "ImageSets" / "Segmentation" / f"{own['split']}.txt"


def voc(data_dir=ROOT / "data", classes=21):
    """PASCAL VOC: trained on SBD, scored on VOC 2011 val without SBD's training images."""
    data_dir = Path(data_dir).resolve()
    return Source(
        classes,
        ("voc_layers", "SBDDSegDataLayer",
         dict(sbdd_dir=str(data_dir / "sbdd" / "dataset"), split="train", mean=MEAN, seed=SEED)),
        ("voc_layers", "VOCSegDataLayer",
         dict(voc_dir=str(data_dir / "pascal" / "VOC2011"), split="seg11valid", mean=MEAN,
              seed=SEED)))


def folder(path, classes, mirror=False):
    """Any folder in VOC layout, with the splits train and val."""
    common = dict(folder=str(Path(path).resolve()), mean=MEAN, classes=classes)
    return Source(
        classes,
        ("folder_layers", "FolderSegDataLayer",
         dict(common, split="train", seed=SEED, mirror=mirror)),
        ("folder_layers", "FolderSegDataLayer", dict(common, split="val")))
