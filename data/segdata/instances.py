"""Instances: images of numbers that say to which cell a pixel belongs, 0 for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from segdata.classes import VOID
from segdata.errors import DataError, Doubt
from segdata.lists import some
from segdata.readers import opened

MOST_CELLS = 65_535     # cells of an image, as 16 bits hold
SPECK = 0.1         # of the largest part of a cell; a smaller part says nothing of the others
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)   # of a file


def read_instances(path: Path) -> np.ndarray:
    """An image of instances, int32 (height, width): 0 for background, a number for each cell.

    Raises ValueError for what `read_numbers` refuses, and where its values cannot be the numbers of
    cells.
    """
    return checked_instances(read_numbers(path))


def read_numbers(path: Path) -> np.ndarray:
    """The values (height, width) of a grey or palette PNG or TIFF of up to 32 bits, as
    man_seg000.tif of the cell tracking challenge; uint8 and uint16 where the file has so many bits.

    Raises ValueError for other images.
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
        wide = image.format == "PNG" and image.mode == "I"      # as older Pillow has 16 bits
        return values.astype(np.uint16) if wide else values


def load_instances(path: Path) -> np.ndarray:
    """read_instances(path), of which errors are a DataError that names the file."""
    try:
        return read_instances(path)
    except UNREADABLE as error:
        raise DataError(f"instances {path} cannot be read: {error}") from error


def checked_instances(values: np.ndarray) -> np.ndarray:
    """The numbers of cells as int32 (height, width).

    Raises ValueError for other numbers; for masks and classes, of which a value has many parts
    that lie apart, or three of four values several each that are no specks: they say where cells
    are, not which pixel belongs to which; for 8 bits that hold more than 255 cells, where all
    numbers are taken and some have several parts that are no specks; and for void: the highest
    number of uint8 or uint16 that lies more than twice as far above the next as others lie apart.
    """
    if values.ndim != 2 or values.dtype.kind not in "uifb":
        raise ValueError(f"expected numbers (height, width), got {values.dtype} {values.shape}")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values % 1 == 0).all()):
        raise ValueError("its values are no whole numbers")
    if values.size and not 0 <= values.min() <= values.max() <= MOST_CELLS:
        raise ValueError(f"its values are {values.min()} to {values.max()}, expected are numbers "
                         f"of cells from 1 to {MOST_CELLS:,}, and 0 for background")
    instances = values.astype(np.int32)
    parts = {number: _parts(instances[box] == number)
             for number, box in enumerate(ndimage.find_objects(instances), 1) if box}
    highest = np.iinfo(values.dtype).max if values.dtype.kind == "u" else None
    if highest == VOID:
        _refuse_too_many(parts)
    _refuse_masks(parts, highest)
    _refuse_void(list(parts), highest)
    return instances


def _parts(cell: np.ndarray) -> int:
    """How many parts a cell has that are no specks."""
    pixels = np.bincount(ndimage.label(cell, EIGHT)[0].ravel())[1:]
    return int((pixels >= SPECK * pixels.max()).sum())


def _refuse_too_many(parts: dict[int, int]) -> None:
    """ValueError where {number: its parts} of 8 bits are of more cells than these can number."""
    several = [number for number, count in parts.items() if count > 1]
    if len(parts) == VOID and several:
        raise ValueError(f"it has 8 bits, all numbers from 1 to {VOID} are taken, and the "
                         f"value{'s' * (len(several) > 1)} {some(several)} "
                         f"mark{'s' * (len(several) == 1)} several parts: 8 bits hold {VOID} "
                         "cells; write 16-bit PNG or TIFF")


def _refuse_masks(parts: dict[int, int], highest: int | None) -> None:
    """ValueError where {value: its parts} are those of a mask or of classes; a mask of one part has
    the highest value."""
    count, total = len(parts), sum(parts.values())
    several = sum(each > 1 for each in parts.values())
    if (list(parts) == [highest] or total > (count if count == 1 else 2 * count)
            or count and several >= 0.75 * count):
        raise ValueError(f"the value{'s' * (count > 1)} {some(list(parts))} mark"
                         f"{'s' * (count == 1)} {total} part{'s' * (total > 1)}: this is a "
                         "mask, not instances; expected is another number for each cell. If no "
                         "two cells touch, `python -m segdata.weight_map --components` numbers "
                         "the parts")


def _refuse_void(numbers: list[int], highest: int | None) -> None:
    """ValueError where the highest value stands for void, as in labels."""
    steps = np.diff([0, *numbers])
    if len(numbers) > 1 and numbers[-1] == highest and steps[-1] > 2 * steps[:-1].max():
        raise ValueError(f"the value {numbers[-1]} lies far above its other numbers, up to "
                         f"{numbers[-2]}, and looks like void, pixels of which nobody says what "
                         "they are; instances have none: make it 0, background, or if it is a "
                         "cell, give it another number")


def doubts(values: np.ndarray) -> list[Doubt]:
    """What is odd of the numbers of cells in an image, as `read_numbers` gives them: 8 bits of
    which the numbers may have begun again, and cells that `parted` loses."""
    instances, found = checked_instances(values), []
    if values.dtype == np.uint8 and (again := _begun_again(instances)):
        found.append(Doubt(
            f"it has 8 bits, its numbers go up to {instances.max()}, and {some(again)} mark"
            f"{'s' * (len(again) == 1)} several parts that lie apart, as where there are more than "
            f"{VOID} cells and their numbers begin again",
            f"of more than {VOID} cells write 16-bit PNG or TIFF, from where the numbers come"))
    if gone := np.setdiff1d(instances, parted(instances)).tolist():
        found.append(Doubt(
            f"the cell{'s' * (len(gone) > 1)} {some(gone)} vanish{'es' * (len(gone) == 1)} where "
            "cells that touch are parted: no pixel of a cell stays that is so thin between others",
            "correct such cells, or join them with a neighbour: as they are, they are taught as "
            "background, and scored as cells that are not found"))
    return found


def _begun_again(instances: np.ndarray) -> list[int]:
    """The numbers that several parts have, where most that 8 bits hold are taken, up to the end."""
    boxes = enumerate(ndimage.find_objects(instances), 1)
    parts = {number: _parts(instances[box] == number) for number, box in boxes if box}
    steps = np.diff([0, *parts])
    if len(parts) <= VOID // 2 or max(parts) + steps.max() <= VOID:
        return []
    return [number for number, count in parts.items() if count > 1]


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
    least = ndimage.minimum_filter(np.where(inside, instances, MOST_CELLS + 1), 3)
    return inside & ((largest != instances) | (least != instances))
