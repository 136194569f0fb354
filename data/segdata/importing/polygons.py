"""Shapes as masks, as the COCO tools draw them, of which the other tools export the same."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Size = tuple[int, int]      # (height, width)


def polygons(rings: Sequence[Sequence[float]], size: Size) -> np.ndarray:
    """bool (height, width): the union of polygons, each [x, y, x, y, ...] in pixels, of which
    (0, 0) is the corner of the image. Raises ValueError where one has fewer than three points."""
    from pycocotools import mask
    for ring in rings:
        if len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all():
            raise ValueError(f"a polygon of {len(ring)} numbers, expected x and y of three points "
                             "or more")
    coded = mask.frPyObjects([list(map(float, ring)) for ring in rings], *size)
    return mask.decode(mask.merge(coded)).astype(bool)


def run_lengths(coded: dict[str, Any], size: Size) -> np.ndarray:
    """bool (height, width) of COCO's run lengths: compressed text, or a list of counts."""
    from pycocotools import mask
    if tuple(coded["size"]) != size:
        raise ValueError(f"its run lengths are of size {coded['size']}, those of the image are "
                         f"{list(size)} (height, width)")
    counts = coded["counts"]
    if isinstance(counts, list):
        if sum(counts) != size[0] * size[1] or min(counts) < 0:
            raise ValueError(f"its run lengths are {sum(counts)} pixels, the image has "
                             f"{size[0] * size[1]}")
        coded = mask.frPyObjects(coded, *size)
    return mask.decode({"size": list(size), "counts": coded["counts"]}).astype(bool)


def ellipse(centre: Sequence[float], radii: Sequence[float], degrees: float,
            size: Size) -> np.ndarray:
    """bool (height, width): an ellipse, turned clockwise by `degrees`."""
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    turn = np.deg2rad(degrees)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    points = np.stack([centre[0] + x * np.cos(turn) - y * np.sin(turn),
                       centre[1] + x * np.sin(turn) + y * np.cos(turn)], 1)
    return polygons([points.ravel().tolist()], size)


def box(sides: Sequence[float], size: Size, degrees: float = 0) -> np.ndarray:
    """bool (height, width): a rectangle (left, top, right, bottom), turned clockwise by `degrees`
    around its centre."""
    left, top, right, bottom = sides
    centre = np.array([left + right, top + bottom]) / 2
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    return polygons([((corners - centre) @ rotation + centre).ravel().tolist()], size)


def pasted(part: np.ndarray, left: int, top: int, size: Size) -> np.ndarray:
    """bool (height, width): a mask of a part of the image, at its place."""
    whole = np.zeros(size, bool)
    target = whole[max(top, 0):top + part.shape[0], max(left, 0):left + part.shape[1]]
    target[...] = part[max(-top, 0):, max(-left, 0):][:target.shape[0], :target.shape[1]]
    return whole


def png_text(text: str) -> np.ndarray:
    """bool (height, width) of an image in base64."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("L")) > 0
