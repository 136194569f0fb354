"""Split lists out of the official material, checked against the published counts."""

import os
from pathlib import PureWindowsPath

from segdata.errors import MaterialError

SBD_TRAIN, SEG11VALID = 8498, 736
CONTEXT_TRAIN, CONTEXT_VAL = 4998, 5105
SIFTFLOW_IMAGES, SIFTFLOW_TEST = 2688, 200      # the others are trainval; two have no labels
SIFTFLOW_UNANNOTATED = {"highway_bost181", "street_urb506"}
SIFTFLOW_CATEGORIES = "spatial_envelope_256x256_static_8outdoorcategories"
NYUD_TRAINVAL, NYUD_TEST = 795, 654
# Gupta et al.'s part of trainval to validate on, as the published val.txt: first-last of each run.
NYUD_VAL = """
    5010-5013 5022-5027 5048-5055 5064-5075 5092-5116 5130-5130 5138-5152 5170-5170 5203-5206
    5223-5249 5265-5270 5286-5295 5313-5314 5336-5350 5365-5383 5398-5410 5436-5440 5467-5468
    5514-5514 5534-5536 5552-5554 5584-5590 5608-5611 5622-5632 5646-5649 5659-5662 5674-5675
    5691-5692 5700-5705 5719-5723 5735-5742 5788-5799 5815-5820 5847-5849 5863-5868 5909-5916
    5929-5931 5948-5958 5968-5969 5996-6000 6013-6020 6035-6037 6050-6051 6059-6074 6097-6097
    6110-6116 6132-6134 6159-6161 6172-6173 6185-6191 6213-6215 6231-6232 6251-6253 6281-6284
    6300-6301 6316-6328 6341-6346 6357-6363 6370-6383 6402-6406 6425-6429 6434-6440"""


def expect(what, names, count, source):
    """MaterialError unless there are `count` names."""
    if len(names) != count:
        raise MaterialError(f"{what} has {len(names)} images, expected {count}: {source}")


def read_list(path):
    if not path.is_file():
        raise MaterialError(f"{path} is missing")
    return path.read_text().split()


def write_list(path, names):
    part = path.with_name(path.name + ".part")
    part.write_text("".join(f"{name}\n" for name in names))
    os.replace(part, path)


def write_seg11valid(voc, sbd):
    """Write the split seg11valid of VOC 2011: its val without the images of SBD's train."""
    lists = voc / "ImageSets" / "Segmentation"
    train = set(read_list(sbd / "train.txt"))
    names = [name for name in read_list(lists / "val.txt") if name not in train]
    source = f"{sbd / 'train.txt'}, {lists / 'val.txt'}"
    expect("SBD train", train, SBD_TRAIN, source)
    expect("seg11valid", names, SEG11VALID, source)
    write_list(lists / "seg11valid.txt", names)


def check_context(voc, context):
    """The lists of PASCAL-Context are VOC 2010's own: check them, and that all is annotated."""
    for split, count in (("train", CONTEXT_TRAIN), ("val", CONTEXT_VAL)):
        path = voc / "ImageSets" / "Main" / f"{split}.txt"
        names = [name for name in read_list(path)
                 if (context / "trainval" / f"{name}.mat").is_file()]
        expect(f"PASCAL-Context {split}", names, count, f"{path}, {context / 'trainval'}")


def write_siftflow(root):
    """Write test.txt, the official test set, and trainval.txt, all others; those without labels
    are left out of either."""
    images = root / "Images" / SIFTFLOW_CATEGORIES
    names = sorted(path.stem for path in images.glob("*.jpg"))
    lists = list(root.rglob("TestSet*.txt"))
    if len(lists) != 1:
        raise MaterialError(f"{root} has {len(lists)} lists TestSet*.txt, expected one")
    # Lines are CATEGORIES\NAME.jpg.
    test = [PureWindowsPath(line).stem for line in read_list(lists[0])]
    expect("SIFT Flow test", set(test) & set(names), SIFTFLOW_TEST, lists[0])
    expect("SIFT Flow", names, SIFTFLOW_IMAGES, images)
    trainval = [name for name in names if name not in {*test, *SIFTFLOW_UNANNOTATED}]
    test = [name for name in test if name not in SIFTFLOW_UNANNOTATED]
    for name in test + trainval:
        for labels in ("SemanticLabels", "GeoLabels"):
            if not (root / labels / SIFTFLOW_CATEGORIES / f"{name}.mat").is_file():
                raise MaterialError(f"{root / labels} has no label for {name}")
    write_list(root / "test.txt", test)
    write_list(root / "trainval.txt", trainval)


def write_nyud(root, trainval, test):
    """Write trainval.txt and test.txt, the official splits, and the parts train.txt and val.txt.

    trainval and test are names, "5001" to "6449".
    """
    expect("NYUDv2 trainval", set(trainval), NYUD_TRAINVAL, "splits.mat")
    expect("NYUDv2 test", set(test) - set(trainval), NYUD_TEST, "splits.mat")
    runs = [map(int, run.split("-")) for run in NYUD_VAL.split()]
    val = {str(number) for first, last in runs for number in range(first, last + 1)}
    for split, names in (("train", [name for name in trainval if name not in val]),
                         ("val", [name for name in trainval if name in val]),
                         ("test", test), ("trainval", trainval)):
        write_list(root / f"{split}.txt", names)
