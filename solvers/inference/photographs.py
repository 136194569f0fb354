"""Reading images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from fcn.solvers.inference.errors import InferError, no_such_file
from segdata.readers import dimness, opened, upright


def read_image(path: Path) -> Image.Image:
    """Any image that Pillow reads, upright, as RGB. Raises InferError naming the file."""
    return _read(path, path)


def decode(content: BinaryIO, name: str) -> Image.Image:
    """The same of an image's bytes; `name` : for messages."""
    return _read(content, Path(name))


def _read(file: Path | BinaryIO, path: Path) -> Image.Image:
    try:
        with opened(file) as image:
            tell_dimness(image, path)
            return upright(image)
    except FileNotFoundError:
        raise InferError(no_such_file(path)) from None
    except IsADirectoryError:
        raise InferError(f"{path}: a folder, expected an image") from None
    except Exception as error:      # what Pillow raises on damaged files has no base
        raise InferError(f"{path}: not a readable image: {error}") from None


def tell_dimness(image: Image.Image, name: object) -> None:
    """Say on standard error, once of all images, that one of 16 bits is nearly black."""
    if not _told and (doubt := dimness(image)):
        _told.append(name)
        print(f"warning: {name}: {doubt.problem}; {doubt.remedy}. Of other images this is not said "
              "again", file=sys.stderr)


_told: list[object] = []


def to_image(image: Image.Image | np.ndarray) -> Image.Image:
    """An upright RGB image of a PIL image or an array. Raises InferError for any other array than
    uint8 (height, width), (height, width, 3) or (height, width, 4)."""
    if isinstance(image, Image.Image):
        tell_dimness(image, "the image")
        return upright(image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0 \
            or array.ndim == 3 and array.shape[2] not in (3, 4):
        remedy = ("; of values from 0 to 1: (255 * array).round().astype('uint8')"
                  if array.dtype.kind == "f" else
                  "; of 16 bits: (array / 257).round().astype('uint8'), of 12 bits: array / 16.06"
                  if array.dtype.kind in "iu" and array.itemsize > 1 else "")
        raise InferError(f"the image is an array {array.dtype} {array.shape}, expected uint8 "
                         f"(height, width, 3), RGB, or (height, width), grey{remedy}")
    return upright(Image.fromarray(np.ascontiguousarray(array)))
