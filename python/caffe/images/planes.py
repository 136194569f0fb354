"""Pictures as Caffe's data layers hold them: uint8 (channels, height, width), B G R or grey."""

import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from ..errors import CaffeError
from ..formats.reading import check_memory, reading
from ..formats.text import file_name
from ..log import logger

_GREY = "1", "L", "I", "I;16", "I;16B", "F"
_JPEG = "JPEG", "MPO"       # one, and several in a file, of which the first is read
_ONE = 1 << 11      # of OpenCV's weights
MOST_PIXELS = 50_000_000

# Damaged EXIF, which Pillow reads as it reads TIFF files, names no file: the image is good.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


def max_pixels() -> int:
    """The most pixels that an image may have: $FCN_MAX_PIXELS, else MOST_PIXELS."""
    given = os.environ.get("FCN_MAX_PIXELS", "")
    return int(given) if given.isdecimal() else MOST_PIXELS


@contextmanager
def opened(source: str | os.PathLike | BinaryIO) -> Iterator[Image.Image]:
    """An image file, whose pixels are not decoded yet. ValueError if it has more than
    `max_pixels`: a few bytes may stand for many."""
    limit = max_pixels()
    if limit > MOST_PIXELS:         # above Pillow's own limit, too
        Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS or 0)
    with Image.open(source) as image:
        if math.prod(image.size) > limit:
            raise ValueError(f"it has {image.width} x {image.height} pixels, more than "
                             f"{limit:,}; make it smaller, or set FCN_MAX_PIXELS to a number "
                             "that it does not exceed")
        yield image


def read_planes(path: str, color: bool = True, size: tuple[int, int] | None = None) -> np.ndarray:
    """The picture in a file, B G R or grey, resized to `size`, (height, width), if given.

    Raises CaffeError naming the file.
    """
    with reading(path, "image", CaffeError), opened(file_name(path)) as image:
        array = planes(image, color)
    return array if size is None else resized(array, *size)


def read_indices(path: str) -> np.ndarray:
    """The labels in a file as a plane, (1, height, width): of a picture with a palette its
    indices, of any other the grey values. Raises CaffeError naming the file."""
    with reading(path, "image", CaffeError), opened(file_name(path)) as image:
        return np.array(image)[None] if image.mode == "P" else planes(image, False)


def planes(image: Image.Image, color: bool | None = None) -> np.ndarray:
    """A PIL image as planes; `color` None keeps what it is. Of 16 bits the upper 8 are kept."""
    if image.format in _JPEG and _is_turned(image):
        _warn_of_turn(image)
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG"):
        values = np.asarray(image)
        _warn_of_dimness(image, int(values.max()))
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "RGB" and ";16" in str(getattr(image, "tile", "")):  # still to be decoded
        upper = int(np.asarray(image).max())        # of colours Pillow gives the upper 8 bits
        _warn_of_dimness(image, upper and upper << 8 | 255)
    if color is None:
        color = image.mode not in _GREY
    if not color:
        return _grey(image)[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1].transpose(2, 0, 1))


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that an image is to be mirrored or turned; damaged EXIF says nothing."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
    except Exception:       # what Pillow raises on damaged EXIF has no base
        return False


def _warn_of_dimness(image: Image.Image, largest: int) -> None:
    """Have the log say, once, that an image of 16 bits comes out nearly black, for its `largest`
    value is that of fewer bits: of a camera of 12 bits, or of class numbers."""
    if not 0 < largest < 1 << 14:
        return
    bits = next(bits for bits in (8, 10, 12, 14) if largest < 1 << bits)
    _warn_once("dimness", image, "its values have 16 bits, and none is above %d. Caffe takes the "
               "upper 8 bits: here at most %d of 255, nearly black. Multiply the values of such "
               "images by %d first, or, of labels, write them with 8 bits", largest, largest >> 8,
               1 << 16 - bits)


def _warn_of_turn(image: Image.Image) -> None:
    """Have the log say, once, that an image is read as it is stored."""
    _warn_once("turn", image, "EXIF says that it is to be turned. Here it is read as it is stored, "
               "as by Caffe with OpenCV before 3.1; if it lies on its side, save it upright")


warned_of: set[str] = set()     # what was odd of an image in this process
_warning = threading.Lock()     # several threads read images


def _warn_once(what: str, image: Image.Image, text: str, *values: int) -> None:
    """Have the log say something of the first image of which it is true."""
    with _warning:
        is_first = what not in warned_of
        warned_of.add(what)
    if is_first:
        name = str(getattr(image, "filename", "")) or "an encoded image"
        logger.warning(f"%s: {text}. (Further files are not named.)", name, *values)


def _grey(image: Image.Image) -> np.ndarray:
    """One channel, as OpenCV's readers make it of colours: libjpeg gives the luminance that the
    file holds, libpng drops fractions, and for other formats they are rounded."""
    if image.format in _JPEG:
        image.draft("L", image.size)
    if image.mode in (*_GREY, "LA", "La"):
        return np.asarray(image.convert("L"))
    red, green, blue = np.asarray(image.convert("RGB")).astype(np.int32).transpose(2, 0, 1)
    if image.format == "PNG":
        return (9797 * red + 19234 * green + 3737 * blue >> 15).astype(np.uint8)
    return (4899 * red + 9617 * green + 1868 * blue + 8192 >> 14).astype(np.uint8)


def resized(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Planes in another size, bilinear from pixel centres, without smoothing.

    The values are those of OpenCV's resize, whose weights are multiples of 1/2048: of the rows'
    sums it drops 4 bits, of the columns' 16, and rounds what is left of them. Halves of both
    sides at once are averages of four values, halves of them going up.

    Raises CaffeError for a size below 1.
    """
    if min(height, width) < 1:
        raise CaffeError(f"an image cannot be resized to {height} x {width}")
    rows, columns = array.shape[1:]
    if (rows, columns) == (height, width):
        return array
    # sums of the columns and of the rows, as int32
    check_memory(4 * len(array) * width * (rows + 2 * height),
                 f"an image resized to {height} x {width}")
    if (rows, columns) == (2 * height, 2 * width):
        sums = array.astype(np.uint16)
        sums = sums[:, ::2] + sums[:, 1::2]
        return (sums[:, :, ::2] + sums[:, :, 1::2] + 2 >> 2).astype(np.uint8)
    (above, below), (of_above, of_below) = _neighbours(rows, height)
    (left, right), (of_left, of_right) = _neighbours(columns, width, at_edges=True)
    used, places = np.unique(np.stack([above, below]), return_inverse=True)
    above, below = places.reshape(2, height)
    part = array[:, used]
    sums = part[:, :, left] * of_left + part[:, :, right] * of_right >> 4
    result = (sums[:, above] * of_above[:, None] >> 16) + (sums[:, below] * of_below[:, None] >> 16)
    return (result + 2 >> 2).astype(np.uint8)


def _neighbours(old: int, new: int, at_edges: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """For each of `new` places on an axis of `old` values the two values beside it, and their
    weights (int32, in parts of _ONE); with `at_edges`, a value at an edge counts in whole."""
    place = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(place).astype(int)
    share = place - first.astype(np.float32)
    if at_edges:
        share[(first < 0) | (first >= old - 1)] = 0
    weights = np.rint(np.stack([1 - share, share]) * np.float32(_ONE)).astype(np.int32)
    return np.clip([first, first + 1], 0, old - 1), weights
