"""Pictures as Caffe's data layers hold them: uint8 (channels, height, width), B G R or grey."""

import numpy as np
from PIL import Image

from ..errors import CaffeError

_GREY = "1", "L", "I", "I;16", "I;16B", "F"


def read_planes(path, color=True, size=None):
    """The picture in a file, B G R or grey, resized to `size`, (height, width), if given.

    Raises CaffeError naming the file.
    """
    try:
        with Image.open(path) as image:
            array = planes(image, color)
    except (OSError, ValueError) as error:
        raise CaffeError(f"{path}: cannot be read as an image: {error}") from None
    return array if size is None else resized(array, *size)


def read_list(source, root=""):
    """[(path under `root`, label, 'source:line')] of a list with `path label` on each line.

    A path may hold spaces. Raises CaffeError naming file and line.
    """
    entries = []
    for number, line in enumerate(read_lines(source), 1):
        path, _, label = line.rstrip().rpartition(" ")
        if line.strip():
            if not path or not label.lstrip("-").isdigit():
                raise CaffeError(f"{source}:{number}: expected `path label`, got '{line.rstrip()}'")
            entries.append((root + path, int(label), f"{source}:{number}"))
    if not entries:
        raise CaffeError(f"{source}: it lists no images")
    return entries


def read_lines(source):
    """The lines of a text file. Raises CaffeError."""
    try:
        with open(source, encoding="utf-8") as file:
            return file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CaffeError(f"{source}: cannot be read: {error}") from None


def planes(image, color=None):
    """A PIL image as planes; `color` None keeps what it is. Of 16 bits the upper 8 are kept."""
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PNG"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if color is None:
        color = image.mode not in _GREY
    if not color:
        return np.asarray(image.convert("L"))[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1].transpose(2, 0, 1))


def resized(array, height, width):
    """Planes in another size, bilinear from pixel centres, without smoothing, as OpenCV does."""
    if array.shape[1:] == (height, width):
        return array
    place = array.shape[2] / width, 0, 0, 0, array.shape[1] / height, 0
    bands = [Image.fromarray(band.astype(np.float32)).transform(
        (width, height), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR)
        for band in array]
    return np.floor(np.stack(bands) + 0.5).astype(np.uint8)
