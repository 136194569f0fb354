"""Images on their way in: their sizes as they stand upright, and files that everything reads."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TiffImageFile

from segdata.errors import DataError, Doubt
from segdata.readers import TURNS, dimness, read_photograph, turn

WIDTH, HEIGHT = ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
RATIO = 0.02                # by which the shapes of an image and its mask may differ


class Geometry(NamedTuple):
    """Of an image file: (height, width) as it stands upright, and EXIF's orientation."""
    size: tuple[int, int]
    orientation: int


def geometry(path: Path) -> Geometry:
    """Raises DataError naming the file if it is no image."""
    try:
        with Image.open(path) as image:
            # Pillow gives the size of a TIFF file as it stands upright
            tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
            width, height = tags.get(WIDTH, image.width), tags.get(HEIGHT, image.height)
            orientation = turn(image)
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    return Geometry((width, height) if orientation >= 5 else (height, width), orientation)


def write_photograph(source: Path, folder: Path, name: str) -> Doubt | None:
    """Write an image as FOLDER/NAME.jpg or .png: its very bytes, or, if it is turned, has more than
    8 bits, alpha or colours that are not RGB, an upright RGB image. Returns the Doubt about one of
    16 bits that is nearly black. DataError if it is broken."""
    try:
        with Image.open(source) as image:
            doubt = dimness(image)
            plain = (image.format in ("JPEG", "PNG") and image.mode in ("RGB", "L")
                     and not image.has_transparency_data
                     and turn(image) == 1)
            suffix = ".jpg" if image.format == "JPEG" and plain else ".png"
            image.load()
        upright = None if plain else read_photograph(source)
    except UNREADABLE as error:
        raise unreadable(source, error) from None
    target = folder / (name + suffix)
    if upright:
        upright.save(target)
    else:
        shutil.copyfile(source, target)
    return doubt


def unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable image: {error}; save it anew as JPEG or PNG")


def fitted(label: np.ndarray, image: Geometry, path: Path, source: Path) -> tuple[np.ndarray, str]:
    """(the label in the size of its upright image, what was done to it).

    A label that was drawn on the image as it is stored is turned with it; one of another size, but
    the same shape, is enlarged or reduced without mixing values. DataError for any other.
    """
    if label.shape == image.size:
        return label, ""
    if image.orientation >= 5 and label.shape == image.size[::-1]:
        turned = Image.fromarray(label.astype(np.int32)).transpose(TURNS[image.orientation])
        return np.asarray(turned), "turned with the image"
    check_shape(label.shape, image, path, source)
    (height, width), (rows, columns) = image.size, label.shape
    y, x = ((np.arange(new) + 0.5) * old / new for new, old in ((height, rows), (width, columns)))
    return label[y.astype(int)[:, None], x.astype(int)], "brought to the size of the image"


def check_shape(size: tuple[int, ...], image: Geometry, path: Path, source: Path) -> None:
    """Raise DataError unless a label of (height, width) has the shape of its image, upright or as
    it is stored."""
    (height, width), (rows, columns) = image.size, size
    if image.orientation >= 5 and size == image.size[::-1]:
        return
    if min(size) < 1 or abs(rows * width - columns * height) > RATIO * height * columns:
        raise DataError(f"{source} is {columns}x{rows}, but {path} is {width}x{height} (width x "
                        "height), of another shape; is it the label of this image?")
