"""Instances: images of numbers that say to which cell a pixel belongs, 0 for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from segdata.errors import DataError
from segdata.lists import some
from segdata.readers import opened

MOST = 65_535       # cells of an image, as 16 bits hold


def read_instances(path: Path) -> np.ndarray:
    """An image of instances, int32 (height, width): 0 for background, a number for each cell.

    Grey or palette PNG or TIFF of up to 32 bits, as man_seg000.tif of the cell tracking challenge.
    Raises ValueError where its values cannot be the numbers of cells.
    """
    with opened(path) as image:
        if (pages := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"it is a stack of {pages} images, expected is one of them")
        if image.format not in ("PNG", "TIFF"):
            raise ValueError(f"it is a {image.format} file, expected PNG or TIFF, which keep the "
                             "numbers of cells exactly")
        if image.mode not in ("P", "L", "1", "I", "F") and not image.mode.startswith("I;16"):
            raise ValueError(f"its mode is {image.mode}, expected a grey image, of 8 or 16 bits, "
                             "with a number for each cell")
        values = np.asarray(image)
    return checked_instances(values)


def load_instances(path: Path) -> np.ndarray:
    """read_instances(path), of which errors are a DataError that names the file."""
    try:
        return read_instances(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"instances {path} cannot be read: {error}") from error


def checked_instances(values: np.ndarray) -> np.ndarray:
    """The numbers of cells as int32 (height, width).

    Raises ValueError for other numbers, and for masks and classes: one value for many cells that
    lie apart, or 255 alone, says where cells are, not which pixel belongs to which.
    """
    if values.ndim != 2 or values.dtype.kind not in "uifb":
        raise ValueError(f"expected numbers (height, width), got {values.dtype} {values.shape}")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values % 1 == 0).all()):
        raise ValueError("its values are no whole numbers")
    if values.size and not 0 <= values.min() <= values.max() <= MOST:
        raise ValueError(f"its values are {values.min()} to {values.max()}, expected are numbers "
                         f"of cells from 1 to {MOST:,}, and 0 for background")
    instances = values.astype(np.int32)
    parts = {number: ndimage.label(instances[box] == number, EIGHT)[1]
             for number, box in enumerate(ndimage.find_objects(instances), 1) if box}
    total = sum(parts.values())
    if list(parts) == [255] or total > (len(parts) if len(parts) == 1 else 2 * len(parts)):
        raise ValueError(f"the value{'s' * (len(parts) > 1)} {some(list(parts))} mark"
                         f"{'s' * (len(parts) == 1)} {total} part{'s' * (total > 1)}: this is a "
                         "mask, not instances; expected is another number for each cell. If no "
                         "two cells touch, `python -m segdata.weight_map --components` numbers "
                         "the parts")
    return instances


EIGHT = np.ones((3, 3), int)        # the neighbours of a pixel, across corners too


def components(mask: np.ndarray) -> np.ndarray:
    """The parts of a mask (height, width) as instances, int32; pixels belong together where they
    share an edge, so that a line of background that goes around corners parts them."""
    return ndimage.label(mask)[0].astype(np.int32)


def parted(instances: np.ndarray) -> np.ndarray:
    """The instances with background between cells that touch, also at corners: each loses the
    pixels that lie beside another.

    A cell that would lose all of them keeps what does not lie beside another such cell that is
    smaller, or as large and of a lower number.
    """
    beside = _beside(instances)
    whole, left = (np.bincount(cells.ravel(), minlength=instances.max(initial=0) + 1)
                   for cells in (instances, np.where(beside, 0, instances)))
    thin = (left == 0) & (whole > 0)
    if thin[1:].any():
        numbers = np.flatnonzero(thin)
        rank = np.full(len(whole), len(whole))
        rank[numbers[np.lexsort((numbers, whole[numbers]))]] = np.arange(len(numbers))
        ranks = rank[instances]
        beside &= ~thin[instances] | (ndimage.minimum_filter(ranks, 3) < ranks)
    return np.where(beside, 0, instances)


def _beside(instances: np.ndarray) -> np.ndarray:
    """Which pixels of cells have a pixel of another among the eight around them."""
    inside = instances > 0
    largest = ndimage.maximum_filter(instances, 3)
    least = ndimage.minimum_filter(np.where(inside, instances, MOST + 1), 3)
    return inside & ((largest != instances) | (least != instances))
