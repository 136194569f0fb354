"""VOC layouts: split lists of any names, class numbers or colours; CVAT's masks are such, too."""

from collections.abc import Container
from pathlib import Path

from segdata.errors import DataError
from segdata.importing.labelled import SPLITS, Labelled, Options
from segdata.importing.masks import labelled, reading
from segdata.importing.pairs import match
from segdata.importing.tree import Tree, split_named
from segdata.lists import counted, read_lines, some

NAME, TITLE = "voc", "a VOC layout"
IMAGES = "JPEGImages"
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
    others = [path for path in tree.images if path.is_relative_to(tree.root / IMAGES)]
    if not others:
        raise DataError(f"{tree.root}: labels, but no images in {tree.root / IMAGES}; put "
                        "them there (in CVAT: export with 'Save images')")
    found = match(others, masks)
    by_name = {name: pair for pair in found.pairs for name in (
        stem(pair.image, tree.root / IMAGES), stem(pair.mask, folder))}
    lists = {split: names(path, by_name) for split, path in split_lists(tree).items()}
    result = labelled(found, tree,
                      reading([pair.mask for pair in found.pairs], [tree.root, folder], options))
    if not lists:
        return result
    samples = {sample.source: sample for sample in result.samples}
    result.samples = [samples[by_name[name].mask]._replace(split=split)
                      for split, names in lists.items() for name in names if name in by_name]
    listed = {name for names in lists.values() for name in names}
    missing = sorted(listed - by_name.keys())
    taken = {by_name[name] for name in listed if name in by_name}
    extra = [stem(pair.mask, folder) for pair in found.pairs if pair not in taken]
    if missing:
        result.problems.append(f"{counted(len(missing), 'name')} in the lists without image or "
                               f"label: {some(missing)}")
    if extra:
        result.problems.append(f"{counted(len(extra), 'sample')} in no list, left out: "
                               f"{some(extra)}")
    return result


def stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def split_lists(tree: Tree) -> dict[str, Path]:
    """{split: its list}; of several, that in ImageSets/Segmentation, and that of the short name.

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
    return {split: found[split] for split in SPLITS if split in found}


def names(path: Path, known: Container[str]) -> list[str]:
    """The names in a list, also where it has folders, suffixes or a second column."""
    found = []
    for _, text in read_lines(path):
        forms = [form for words in (text, text.split()[0]) for form in without_folders(words)]
        found.append(next((form for form in forms if form in known), text))
    return list(dict.fromkeys(found))


def without_folders(text: str) -> list[str]:
    """A name as it is, and without the folders up to JPEGImages, and without its suffix."""
    parts = Path(text.replace("\\", "/")).parts
    inside = Path(*parts[parts.index(IMAGES) + 1:] if IMAGES in parts else parts)
    return [text, inside.as_posix(), inside.with_suffix("").as_posix(), inside.stem]
