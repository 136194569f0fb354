"""Labels that are drawn as shapes, one over the other, on the background."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segdata.errors import DataError
from segdata.importing.labelled import NOTHING, VOID_NAME
from segdata.importing.polygons import Size

BACKGROUND = 0


class Shape(NamedTuple):
    """What of a class (its stored value), the mask of a size, and where it stands, for messages."""
    value: int
    mask: Callable[[Size], np.ndarray]
    place: str


def values_of(names: Iterable[str]) -> dict[int, str]:
    """{stored value: name}: the background, void, then the names."""
    return {BACKGROUND: "background", NOTHING: VOID_NAME, **dict(enumerate(names, 1))}


def drawn(shapes: Sequence[Shape], size: Size, source: Path) -> np.ndarray:
    """int32 (height, width): shapes over the background, later ones over earlier ones.

    Raises DataError naming the file and the place of the shape that cannot be drawn.
    """
    label = np.full(size, BACKGROUND, np.int32)
    for shape in shapes:
        try:
            label[shape.mask(size)] = shape.value
        except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
            raise DataError(f"{source}: {shape.place} cannot be drawn: {error}; mend it in the "
                            "tool that made it, or remove it") from None
    return label

