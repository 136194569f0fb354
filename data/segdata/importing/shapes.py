"""Labels that are drawn as shapes, one over the other, on the background."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segdata.errors import DataError
from segdata.importing.labelled import NOTHING, VOID_NAME, reason
from segdata.importing.photographs import check_shape, geometry
from segdata.importing.polygons import Size

BACKGROUND = 0
MOST_PIXELS = 1 << 26   # pixels of a label that is larger than its image


class Shape(NamedTuple):
    """What of a class (its stored value), the mask of a size, and where it stands, for messages."""
    value: int
    mask: Callable[[Size], np.ndarray]
    place: str


def values_of(names: Iterable[str]) -> dict[int, str]:
    """{stored value: name}: the background, void, then the names."""
    return {BACKGROUND: "background", NOTHING: VOID_NAME, **dict(enumerate(names, 1))}


def drawn(shapes: Sequence[Shape], stated: Sequence[Any], image: Path, source: Path) -> np.ndarray:
    """int32 (height, width): shapes over the background, later ones over earlier ones.

    stated : height and width of the image as the file of the labels has them
    Raises DataError naming the file where the image is of another shape, and the place of the shape
    that cannot be drawn.
    """
    size = checked_size(stated, image, source)
    label = np.full(size, BACKGROUND, np.int32)
    for shape in shapes:
        try:
            label[shape.mask(size)] = shape.value
        except Exception as error:      # whatever damaged numbers, texts and images lead to
            raise DataError(f"{source}: {shape.place} cannot be drawn: {reason(error)}; mend it in "
                            "the tool that made it, or remove it") from None
    return label


def checked_size(stated: Sequence[Any], image: Path, source: Path) -> Size:
    """(height, width) as stated, before anything of that size is made. Raises DataError unless it
    is that of the image, or of its shape."""
    try:
        height, width = map(int, stated)
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"{source}: the height and width of {image} are {stated[0]!r} and "
                        f"{stated[1]!r}, expected whole numbers; export it again") from None
    actual = geometry(image)
    check_shape((height, width), actual, image, source)
    if height * width > max(MOST_PIXELS, math.prod(actual.size)):
        raise DataError(f"{source} is {width}x{height}, but {image} is {actual.size[1]}x"
                        f"{actual.size[0]} (width x height); export it again")
    return height, width

