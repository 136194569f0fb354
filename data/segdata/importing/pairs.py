"""Which image a mask belongs to, and which files are masks."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from segdata.errors import DataError, did_you_mean_path
from segdata.importing.tree import Tree, common_start, split_named
from segdata.lists import counted, some

# what people append to the name of an image for that of its mask, or put before its number
ENDING = re.compile(r"(?i)([-_. ](masks?|labels?|labelids|labeltrainids|l|gt|gtfine|seg|segm|"
                    r"segmentation|annotations?|annot|groundtruth|trimap|matte))+$")
PREFIX = re.compile(r"(?i)^(masks?|labels?|gt|seg)(?=[-_ \d])[-_ ]?(?=.)")
IMAGE_PREFIX = re.compile(r"(?i)^(images?|img|photo|rgb)(?=[-_ \d])[-_ ]?(?=.)")
IMAGE_ENDING = re.compile(r"(?i)[-_. ](image|img|rgb|leftimg8bit|sat|photo)$")
MASK_WORD = re.compile(r"(?i)mask|label|annot|segm|ground.?truth|trimap|target|(?<![a-z])(gt|seg)")
IMAGE_WORD = re.compile(r"(?i)image|img|photo|jpe?g|input|rgb|stills|picture|raw|(?<![a-z])sat")
FEW = 64            # colours, of a mask
LOOKED_AT = 4       # files of a group


class Pair(NamedTuple):
    image: Path
    mask: Path


class Pairing(NamedTuple):
    """pairs; images without a mask; what is wrong, in sentences."""
    pairs: list[Pair]
    unlabelled: list[Path]
    problems: list[str]


class Group(NamedTuple):
    """Files of one folder whose names have the same ending, or prefix, of masks, if any."""
    folder: Path
    affix: str
    suffix: str


def key(path: Path) -> str:
    """What an image and its mask have in common in their names."""
    stem = path.stem if not path.stem.lower().endswith((".jpg", ".jpeg", ".png")) else \
        Path(path.stem).stem        # NAME.jpg.png is the mask of NAME.jpg
    for pattern in (ENDING, IMAGE_ENDING, PREFIX, IMAGE_PREFIX):
        stem = pattern.sub("", stem)
    return stem.lower()


def group_of(path: Path) -> Group:
    found = ENDING.search(path.stem) or PREFIX.search(path.stem)
    return Group(path.parent, found[0].lower() if found else "", path.suffix.lower())


@lru_cache(maxsize=4)
def find_pairs(tree: Tree) -> Pairing:
    """Every mask with its image, of all folders of a tree. No pairs where there are none to see."""
    groups: dict[Group, list[Path]] = {}
    for path in tree.images:
        groups.setdefault(group_of(path), []).append(path)
    scores = {group: maskness(tree, group, paths) for group, paths in groups.items()}
    partners: dict[str, set[Group]] = {}
    for group, paths in groups.items():
        for path in paths:
            partners.setdefault(key(path), set()).add(group)
    masks = [path for group, paths in groups.items() for path in paths
             if is_mask(group, partners[key(path)], scores)]
    images = [path for path in tree.images if path not in set(masks)]
    return match(images, masks)


def is_mask(group: Group, partners: set[Group], scores: dict[Group, float]) -> bool:
    """Whether a group holds masks: it looks like them, or, where all that share its names do or
    none does, more so than others."""
    if len(partners) == 1:
        return scores[group] > 4
    low, high = (of(scores[each] for each in partners) for of in (min, max))
    return scores[group] > (0 if low <= 0 < high else (low + high) / 2)


def maskness(tree: Tree, group: Group, paths: list[Path]) -> float:
    """How much the files of a group look like masks, by names, suffix and content: above 0 if they
    do, below if they look like images."""
    score = 8.0 if group.affix else 0.0
    if not group.affix:
        words = reversed(tree.relative(group.folder).parts)
        score += next((8 if MASK_WORD.search(word) else -8 for word in words
                       if MASK_WORD.search(word) or IMAGE_WORD.search(word)), 0)
    if group.suffix in (".jpg", ".jpeg"):
        return score - 4
    return score + content_score(paths[:LOOKED_AT])


def content_score(paths: list[Path]) -> float:
    """From -2, photographs, to 3, images of one channel and few values; all files together, for
    masks share their colours."""
    found: set[object] = set()
    single = True
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode.startswith("I"):
                    continue
                single = single and image.mode in ("P", "1", "L")
                colours = image.convert("RGB").getcolors(FEW)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        if colours is None:
            return 0 if image.mode == "P" else -2
        found |= {colour for _, colour in colours}
    return 2 + single - len(found) / FEW


def match(images: Iterable[Path], masks: Iterable[Path]) -> Pairing:
    """Each mask with the image of its name; of several, the one in the nearest folder."""
    by_key: dict[str, list[Path]] = {}
    for image in images:
        by_key.setdefault(key(image), []).append(image)
    pairs: dict[Path, Path] = {}
    problems: list[str] = []
    claimed: set[Path] = set()
    lonely: list[str] = []
    for mask in masks:
        near = nearest(mask, by_key.get(key(mask), []))
        claimed.update(near)
        if not near:
            lonely.append(str(mask))
        elif len(near) > 1:
            problems.append(f"{mask} may be of {' or of '.join(map(str, near))}; it is left out: "
                            "give them different names")
        elif near[0] in pairs:
            problems.append(f"{near[0]} has two masks, {pairs[near[0]]} and {mask}; the second is "
                            "left out")
        else:
            pairs[near[0]] = mask
    if lonely:
        problems.append(f"{counted(len(lonely), 'mask')} without an image: {some(lonely)}")
    unlabelled = [path for paths in by_key.values() for path in paths if path not in claimed]
    return Pairing([Pair(*pair) for pair in sorted(pairs.items())], unlabelled, problems)


def nearest(mask: Path, images: list[Path]) -> list[Path]:
    """The images that fit best: of the mask's very name, in the folder with most in common."""
    def fit(image: Path) -> tuple[bool, bool, bool, int, int]:
        return (mask.stem.lower() == image.name.lower(), mask.stem.lower() == image.stem.lower(),
                split_in(mask) == split_in(image), same_names(mask, image),
                common_start(mask, image))
    best = max(map(fit, images), default=None)
    return [image for image in images if fit(image) == best]


def split_in(path: Path) -> str:
    """The split that the inmost folder with one in its name has."""
    return next((split for part in reversed(path.parts[:-1]) if (split := split_named(part))), "")


def same_names(mask: Path, image: Path) -> int:
    """How many names of folders two paths share, in any place."""
    return len({*mask.parent.parts} & {*image.parent.parts})


def in_folders(images: Path, masks: Path) -> Pairing:
    """The pairs of two given folders. DataError where there are none."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder{did_you_mean_path(folder)}")
    if images.resolve() == masks.resolve():
        return find_pairs(Tree(images))
    mask_files = Tree(masks).images
    inside = {path.resolve() for path in mask_files}
    found = match([path for path in Tree(images).images if path.resolve() not in inside],
                  mask_files)
    if not found.pairs:
        raise DataError(f"no image in {images} has a mask in {masks}: a mask is named as its "
                        "image, or with an ending such as _mask. There are "
                        f"{some([path.name for path in found.unlabelled])} and "
                        f"{some([path.name for path in mask_files])}")
    return found
