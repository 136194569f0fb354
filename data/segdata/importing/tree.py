"""The files of a folder, looked at once."""

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from segdata.errors import DataError, did_you_mean_path

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
SPLIT_NAMES = {"train": "train", "training": "train", "trn": "train", "trainval": "train",
               "val": "val", "valid": "val", "validation": "val", "dev": "val",
               "test": "test", "testing": "test"}
# words that are joined to a split's name, as in trainannot, instances_train2017, val_images
JOINED = re.compile(r"(?<![a-z])(trainval|training|train|validation|valid|val|testing|test)"
                    r"(?=$|[^a-z]|annot|mask|label|image|img)")


class Tree:
    """The files below a folder, without hidden ones, sorted.

    Where the folder holds nothing but one other folder, as archives do, the tree is that of the
    other one. `also` is a folder elsewhere with further images. Raises DataError where there is no
    folder.
    """

    def __init__(self, folder: str | Path, also: Path | None = None) -> None:
        self.root = Path(folder)
        if not self.root.is_dir():
            raise DataError(f"{folder}: no such folder" + (
                "; give the folder that it lies in" if self.root.is_file() else
                did_you_mean_path(self.root)))
        while len(inside := visible(self.root)) == 1 and inside[0].is_dir():
            self.root = inside[0]
        self.files = list(files_below(self.root))
        self.images = [path for path in self.files if path.suffix.lower() in IMAGE_SUFFIXES]
        if also and not also.resolve().is_relative_to(self.root.resolve()):
            self.images += Tree(also).images

    def relative(self, path: Path) -> PurePosixPath:
        """The path below the root; of a file elsewhere, its name."""
        inside = path.is_relative_to(self.root)
        return PurePosixPath(path.relative_to(self.root).as_posix() if inside else path.name)

    def with_suffix(self, suffix: str) -> list[Path]:
        return [path for path in self.files if path.suffix.lower() == suffix]

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.images:
            found.setdefault(path.stem.lower(), []).append(path)
        return found

    def find_image(self, name: str, near: Path) -> Path:
        """The image that a label file calls `name`, on whatever machine it was written.

        Of several files of that name it is the one whose folders are those of `name`, then the one
        nearest to the file `near`. Raises DataError where there is none, or two are as near.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        same = self._by_stem.get(wanted.stem.lower(), [])
        same = [path for path in same if path.name.lower() == wanted.name.lower()] or same
        if not same:
            raise DataError(f"{near}: no image {name} below {self.root}; put it beside the labels")
        ranked = sorted(((common_end(wanted.parts, path.parts), self._nearness(path, near), path)
                         for path in same), key=lambda rank: rank[:2], reverse=True)
        if len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]:
            raise DataError(f"{near}: image {name} may be {ranked[0][2]} or {ranked[1][2]}; "
                            "remove or rename one of them")
        return ranked[0][2]

    def _nearness(self, path: Path, near: Path) -> tuple[bool, int]:
        return self.split(path) == self.split(near), common_start(path, near)

    def split(self, path: Path) -> str:
        """'train', 'val', 'test' or '': what the folders of a path below the root, the inmost
        first, or the name of an annotation file say."""
        parts = self.relative(path).parts
        named = parts if path.suffix.lower() in (".json", ".xml") else parts[:-1]
        return next((split for part in reversed(named) if (split := split_named(part))), "")

    def unused(self, used: set[Path]) -> list[Path]:
        """The images that are not among `used`."""
        return [path for path in self.images if path not in used]


def split_named(text: str) -> str:
    """The split that a folder or a list of that name has, '' if it names none."""
    text = re.sub(r"[0-9]+|\.[a-z]+$", "", text.lower())
    found = re.search(JOINED, text)
    return SPLIT_NAMES.get(text) or (SPLIT_NAMES[found[1]] if found else "")


def common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many parts two paths have in common at their ends, whatever their suffixes; at least 1
    where their stems are the same."""
    pairs = list(zip(reversed(one[:-1]), reversed(other[:-1])))
    return 1 + next((i for i, (a, b) in enumerate(pairs) if a.lower() != b.lower()), len(pairs))


def common_start(one: Path, other: Path) -> int:
    """How many folders two paths share, from the root on."""
    pairs = list(zip(one.absolute().parts, other.absolute().parts))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))


def files_below(folder: Path) -> Iterator[Path]:
    """All files, those of a folder before those of the folders in it, by name."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:       # links may lead in a circle
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not hidden(name))
        yield from (Path(place, name) for name in sorted(names) if not hidden(name))


def visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not hidden(path.name)]


def hidden(name: str) -> bool:
    """Whether systems keep something of their own under that name."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
