"""Which images a command line names, and reading them."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fcn.solvers.inference.errors import InferError, no_such_file
from fcn.solvers.inference.marks import is_own
from segdata.readers import read_photograph, upright

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}


def find(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """(images and videos, messages on arguments that name none), each file once, in order.

    arguments : files, folders, patterns such as 'photos/*.jpg', and @FILE, which lists such lines

    What this tool wrote itself, as its marks show, is left out.
    """
    found: dict[Path, Path] = {}
    messages = []
    for argument in arguments:
        try:
            for path in _named(argument):
                if path.suffix.lower() != ".png" or not is_own(path):
                    found.setdefault(path.resolve(), path)
        except InferError as error:
            messages.append(str(error))
    return list(found.values()), messages


def _named(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if argument.startswith("@") and not path.exists():
        yield from _listed(Path(argument[1:]))
    elif path.is_dir():
        yield from _inside(path)
    elif path.exists():
        yield path
    elif glob.has_magic(argument):
        matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
        images = [match for match in matches
                  if match.suffix.lower() in SUFFIXES | VIDEOS and match.is_file()]
        if not images:
            where = "" if path.is_absolute() else f" in {Path.cwd()}"
            raise InferError(f"{argument}: no file has such a name{where}" if not matches else
                             f"{argument}: none of the {len(matches)} names that it stands for"
                             f"{where} is an image or video, the first is {matches[0]}")
        yield from images
    else:
        raise InferError(no_such_file(path))


def _inside(folder: Path) -> Iterator[Path]:
    """The images and videos in a folder; of one in VOC layout, those in JPEGImages."""
    if (folder / "JPEGImages").is_dir():
        folder = folder / "JPEGImages"
    files = sorted(file for file in folder.iterdir()
                   if file.suffix.lower() in SUFFIXES | VIDEOS and file.is_file())
    if not files:
        raise InferError(f"{folder}: a folder without images")
    yield from files


def _listed(path: Path) -> Iterator[Path]:
    """What the lines of a list name, in the current folder or else in that of the list."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InferError(no_such_file(path)) from None
    except (OSError, ValueError) as error:
        raise InferError(f"{path}: no list of images: {error}") from None
    named = [line.strip() for line in lines if line.strip()]
    if not named:
        raise InferError(f"{path}: an empty list; expected the path of an image a line")
    missing = []
    for line in named:
        beside = str(path.parent / line)
        try:
            yield from _named(line if Path(line).exists() else beside)
        except InferError:
            missing.append(line)
    if missing:
        raise InferError(f"{path}: {len(missing)} of its {len(named)} lines name no image, the "
                         f"first is '{missing[0]}'; looked for in {Path.cwd()} and "
                         f"{path.resolve().parent}")


def read_image(path: Path) -> Image.Image:
    """Any image that Pillow reads, upright, as RGB. Raises InferError naming the file."""
    try:
        return read_photograph(path)
    except FileNotFoundError:
        raise InferError(no_such_file(path)) from None
    except IsADirectoryError:
        raise InferError(f"{path}: a folder, expected an image") from None
    except Exception as error:      # what Pillow raises on damaged files has no base
        raise InferError(f"{path}: not a readable image: {error}") from None


def to_image(image: Image.Image | np.ndarray) -> Image.Image:
    """An upright RGB image of a PIL image or an array. Raises InferError for any other array than
    uint8 (height, width), (height, width, 3) or (height, width, 4)."""
    if isinstance(image, Image.Image):
        return upright(image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0 \
            or array.ndim == 3 and array.shape[2] not in (3, 4):
        remedy = ("; of values from 0 to 1: (255 * array).round().astype('uint8')"
                  if array.dtype.kind == "f" else "")
        raise InferError(f"the image is an array {array.dtype} {array.shape}, expected uint8 "
                         f"(height, width, 3), RGB, or (height, width), grey{remedy}")
    return upright(Image.fromarray(np.ascontiguousarray(array)))
