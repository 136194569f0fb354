"""Split lists out of the official material, checked against the published counts."""

import itertools
from collections.abc import Collection
from pathlib import Path

from segdata.errors import DataError, MaterialError
from segdata.files import replacing
from segdata.lists import read_list

SBD_TRAIN, SEG11VALID = 8498, 736
TRAIN_AUG, VOC2012_VAL = 10_582, 1449
CONTEXT_TRAIN, CONTEXT_VAL = 4998, 5105
SIFTFLOW_CATEGORIES = "spatial_envelope_256x256_static_8outdoorcategories"
NYUD_VAL = 414      # images of trainval that are not in train


def expect(what: str, names: Collection[str], count: int, source: object) -> None:
    """MaterialError unless there are `count` names."""
    if len(names) != count:
        raise MaterialError(f"{what} has {len(names)} images, expected {count}: {source}")


def read_names(path: Path) -> list[str]:
    """The names in a list, one a line. MaterialError where it is none."""
    try:
        names = [entry.name for entry in read_list(path)]
    except DataError as error:
        raise MaterialError(str(error)) from None
    for name in names:
        if len(name.split()) > 1:
            raise MaterialError(f"split list {path}: '{name}' has {len(name.split())} columns, "
                                "expected is the name of one sample a line")
    return names


def released(name: str) -> list[str]:
    """A list as the authors released it (shelhamer/fcn.berkeleyvision.org, data/), in its order.

    For a given seed the training draws are places in it.
    """
    return (Path(__file__).parent / "lists" / f"{name}.txt").read_text().split()


def write_list(path: Path, names: list[str]) -> None:
    with replacing(path) as part:
        part.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write_seg11valid(voc: Path, sbd: Path) -> None:
    """Write the split seg11valid of VOC 2011: its val without the images of SBD's train."""
    lists = voc / "ImageSets" / "Segmentation"
    train = set(read_names(sbd / "train.txt"))
    names = [name for name in read_names(lists / "val.txt") if name not in train]
    source = f"{sbd / 'train.txt'}, {lists / 'val.txt'}"
    expect("SBD train", train, SBD_TRAIN, source)
    expect("seg11valid", names, SEG11VALID, source)
    write_list(lists / "seg11valid.txt", names)


def write_train_aug(voc: Path, sbd: Path) -> None:
    """Write the split train_aug of VOC 2012, on which DeepLab is trained, by name: its train and
    all images of SBD, without those of its val."""
    lists = voc / "ImageSets" / "Segmentation"
    val = set(read_names(lists / "val.txt"))
    files = (lists / "train.txt", sbd / "train.txt", sbd / "val.txt")
    names = sorted(set(itertools.chain(*map(read_names, files))) - val)
    source = ", ".join(map(str, (*files, lists / "val.txt")))
    expect("VOC 2012 val", val, VOC2012_VAL, source)
    expect("train_aug", names, TRAIN_AUG, source)
    write_list(lists / "train_aug.txt", names)


def check_context(voc: Path, context: Path) -> None:
    """The lists of PASCAL-Context are VOC 2010's own: check them, and that all is annotated."""
    for split, count in (("train", CONTEXT_TRAIN), ("val", CONTEXT_VAL)):
        path = voc / "ImageSets" / "Main" / f"{split}.txt"
        names = [name for name in read_names(path)
                 if (context / "trainval" / f"{name}.mat").is_file()]
        expect(f"PASCAL-Context {split}", names, count, f"{path}, {context / 'trainval'}")


def write_siftflow(root: Path) -> None:
    """Write the released lists trainval.txt and test.txt, of all images that have labels."""
    splits = {split: released(f"siftflow_{split}") for split in ("trainval", "test")}
    names = {path.stem for path in (root / "Images" / SIFTFLOW_CATEGORIES).glob("*.jpg")}
    for split, chosen in splits.items():
        expect(f"SIFT Flow {split}", names.intersection(chosen), len(chosen), root / "Images")
    for name in itertools.chain(*splits.values()):
        for labels in ("SemanticLabels", "GeoLabels"):
            if not (root / labels / SIFTFLOW_CATEGORIES / f"{name}.mat").is_file():
                raise MaterialError(f"{root / labels} has no label for {name}")
    for split, chosen in splits.items():
        write_list(root / f"{split}.txt", chosen)


def write_nyud(root: Path, trainval: list[str], test: list[str]) -> None:
    """Write the official splits trainval.txt and test.txt, and the parts train.txt and val.txt.

    trainval and test are names, "5001" to "6449". train and test are in the order of the released
    lists; of trainval, on which the nets are trained, the authors released no list: it is in the
    order of the numbers.
    """
    splits = {"train": released("nyud_train"), "test": released("nyud_test")}
    splits["val"] = sorted(set(trainval) - set(splits["train"]))
    splits["trainval"] = sorted(trainval)
    for split, official in (("train", trainval), ("test", test)):
        if not set(splits[split]) <= set(official):
            raise MaterialError(f"splits.mat lacks images of NYUDv2's {split}")
    expect("NYUDv2 trainval", set(trainval), len(splits["train"]) + NYUD_VAL, "splits.mat")
    expect("NYUDv2 test", set(test) - set(trainval), len(splits["test"]), "splits.mat")
    for split, names in splits.items():
        write_list(root / f"{split}.txt", names)
