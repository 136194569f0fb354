"""The classes of an image as polygons, in LabelMe's JSON, in which they can be corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from segdata.overlay import has_background

Point = tuple[int, int]     # x, y of a corner of a pixel; (0, 0) is that of the image


def labelme(labels: np.ndarray, names: Sequence[str], image: str) -> dict[str, Any]:
    """The content of a LabelMe file: a polygon for each connected part of a class, along the edges
    of its pixels.

    The larger come first: drawn in this order, later over earlier, they give `labels` again. What
    lies in a hole of a part comes after it, so that no polygon needs holes. A background that
    reaches the border of the image is what nothing covers.

    labels : uint8 (height, width)
    image : the path of the image, as the file shall say it
    """
    shapes: list[dict[str, Any]] = [
        {"label": names[number], "points": [list(point) for point in ring], "group_id": None,
         "shape_type": "polygon", "flags": {}}
        for _, number, ring in sorted(_parts(labels, has_background(names)),
                                      key=lambda part: -part[0])]
    return {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image,
            "imageData": None, "imageHeight": labels.shape[0], "imageWidth": labels.shape[1]}


def _parts(labels: np.ndarray, leaves_background: bool) -> Iterator[tuple[int, int, list[Point]]]:
    """(area with its holes, class, ring) of each connected part."""
    height, width = labels.shape
    for number in np.unique(labels):
        numbered, _ = ndimage.label(labels == number)
        for i, (rows, columns) in enumerate(ndimage.find_objects(numbered), 1):
            at_border = (rows.start == 0 or columns.start == 0 or rows.stop == height
                         or columns.stop == width)
            if number == 0 and leaves_background and at_border:
                continue
            mask = ndimage.binary_fill_holes(numbered[rows, columns] == i)
            ring = [(x + columns.start, y + rows.start) for x, y in outline(mask)]
            yield int(mask.sum()), int(number), ring


def outline(mask: np.ndarray) -> list[Point]:
    """The corners of a connected mask without holes, bool (height, width), clockwise.

    Pixels that only touch at a corner are not joined there.
    """
    inside = np.pad(mask, 1)
    ways: dict[Point, dict[Point, Point]] = {}      # {from: {direction: to}}
    # the direction in which an edge is walked, with the mask on its right; the neighbour beyond it,
    # rows and columns; and where it starts, from the upper left corner of its pixel
    for direction, (down, right), (dx, dy) in (
            ((1, 0), (-1, 0), (0, 0)), ((0, 1), (0, 1), (1, 0)),
            ((-1, 0), (1, 0), (1, 1)), ((0, -1), (0, -1), (0, 1))):
        beyond = np.roll(inside, (-down, -right), (0, 1))
        for y, x in np.argwhere(inside & ~beyond).tolist():
            start = x - 1 + dx, y - 1 + dy
            ways.setdefault(start, {})[direction] = start[0] + direction[0], start[1] + direction[1]
    start = min(ways, key=lambda point: (point[1], point[0]))       # the mask is below and right
    ring, point, before = [start], start, (1, 0)
    while True:
        out = ways[point]
        turned = -before[1], before[0]      # to the right: it stays with its pixel
        direction = turned if turned in out else next(iter(out))
        if direction != before and point != start:
            ring.append(point)
        point, before = out[direction], direction
        if point == start:
            return ring
