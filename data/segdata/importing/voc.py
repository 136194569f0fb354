"""VOC layouts: split lists of any names, class numbers or colours; CVAT's masks are such, too."""

from collections.abc import Iterator
from pathlib import Path

from segdata.errors import DataError
from segdata.importing.labelled import SPLITS, Labelled, Options
from segdata.importing.masks import labelled, reading
from segdata.importing.pairs import match, some
from segdata.importing.tree import Tree, split_named
from segdata.lists import read_lines

NAME, TITLE = "voc", "a VOC layout"
IMAGES = ("JPEGImages",)
LABELS = ("SegmentationClass", "SegmentationClassPNG", "SegmentationClassRaw")


def recognises(tree: Tree) -> str:
    return LABELS[0] if labels(tree) else ""


def labels(tree: Tree) -> Path | None:
    """The folder of the labels, of which one holds images."""
    folders = {path.parent for path in tree.images}
    return next((tree.root / name for name in LABELS if tree.root / name in folders), None)


def read(tree: Tree, options: Options) -> Labelled:
    folder = labels(tree)
    if folder is None:
        raise DataError(f"{tree.root}: no folder SegmentationClass with labels")
    masks = [path for path in tree.images if path.is_relative_to(folder)]
    others = [path for path in tree.images if path.is_relative_to(tree.root / "JPEGImages")]
    if not others:
        raise DataError(f"{tree.root}: labels, but no images in {tree.root / 'JPEGImages'}; put "
                        "them there (in CVAT: export with 'Save images')")
    found = match(others, masks)
    lists = dict(split_lists(tree))
    by_name = {pair.mask.relative_to(folder).with_suffix("").as_posix(): pair
               for pair in found.pairs}
    result = labelled(found, tree, options,
                      reading([pair.mask for pair in found.pairs], [tree.root, folder], options))
    if not lists:
        return result
    samples = {sample.source: sample for sample in result.samples}
    result.samples = [samples[by_name[name].mask]._replace(split=split)
                      for split, names in lists.items() for name in names if name in by_name]
    listed = {name for names in lists.values() for name in names}
    missing = sorted(listed - by_name.keys())
    extra = sorted(by_name.keys() - listed)
    if missing:
        result.problems.append(f"{len(missing)} names in the lists have no image or no label: "
                               f"{some(missing)}")
    if extra:
        result.problems.append(f"{len(extra)} samples are in no list and are left out: "
                               f"{some(extra)}")
    return result


def split_lists(tree: Tree) -> Iterator[tuple[str, list[str]]]:
    """(split, names of samples) of the lists; those in ImageSets/Segmentation come first.

    Where there are lists of train and of val, one of trainval, which repeats them, is left alone.
    """
    found: dict[str, Path] = {}
    for path in sorted(tree.with_suffix(".txt"), key=lambda path: (
            "trainval" in path.stem.lower(), path.parent.name != "Segmentation",
            "ImageSets" not in path.parts, len(path.name), path.name)):
        split = split_named(path.stem)
        if split and split not in found and not (
                "trainval" in path.stem.lower() and found.keys() & {"train", "val"}):
            found[split] = path
    for split in SPLITS:
        if split in found:
            yield split, names(found[split])


def names(path: Path) -> list[str]:
    """The names in a list, also where it has folders, suffixes or a second column."""
    lines = [text for _, text in read_lines(path)]
    cleaned = []
    for text in lines:
        first = text.split()[0] if "/" in text or "." in text else text
        parts = Path(first.replace("\\", "/")).parts
        inside = parts[parts.index("JPEGImages") + 1:] if "JPEGImages" in parts else parts
        cleaned.append(Path(*inside).with_suffix("").as_posix())
    return list(dict.fromkeys(cleaned))
