"""Shapes as masks, as the COCO tools draw them, of which the other tools export the same."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Size = tuple[int, int]      # (height, width)

FAR = 4             # times the size of its image that a shape may reach beyond it
LONGEST = 1 << 24   # pixels of all sides of a polygon: the COCO tools keep some 100 bytes of each


def polygons(rings: Sequence[Sequence[float]], size: Size) -> np.ndarray:
    """bool (height, width): the union of polygons, each [x, y, x, y, ...] in pixels, of which
    (0, 0) is the corner of the image. Raises ValueError where one has fewer than three points, or
    lies too far outside: the COCO tools would write beyond their memory."""
    from pycocotools import mask
    checked = [checked_ring(ring, size) for ring in rings]
    return mask.decode(mask.merge(mask.frPyObjects(checked, *size))).astype(bool)


def checked_ring(ring: Sequence[float], size: Size) -> list[float]:
    """The numbers of a polygon. Raises ValueError where they are none that can be drawn."""
    if len(ring) < 6 or len(ring) % 2:
        raise ValueError(f"a polygon of {len(ring)} numbers, expected x and y of three points "
                         "or more")
    points = np.array([float(number) for number in ring]).reshape(-1, 2)
    check_near(points, size)
    sides = np.abs(points - np.roll(points, 1, 0)).max(1).sum()
    if sides > LONGEST:
        raise ValueError(f"the sides of its polygon are {sides:,.0f} pixels, at most {LONGEST:,} "
                         "are drawn")
    return points.ravel().tolist()


def check_near(points: np.ndarray, size: Size) -> None:
    """Raise ValueError unless points (n, 2) of x and y lie in an image of that size, or not far
    outside."""
    reach = np.array(size[::-1]) * FAR
    wrong = points[~((points >= -reach) & (points <= reach + size[::-1])).all(1)]
    if len(wrong):
        raise ValueError(f"it has a point at x {wrong[0, 0]:g}, y {wrong[0, 1]:g}, far outside the "
                         f"image of {size[1]}x{size[0]} (width x height)")


def run_lengths(coded: dict[str, Any], size: Size) -> np.ndarray:
    """bool (height, width) of COCO's run lengths: compressed text, or a list of counts."""
    if tuple(coded["size"]) != size:
        raise ValueError(f"its run lengths are of size {coded['size']}, those of the image are "
                         f"{list(size)} (height, width)")
    counts = coded["counts"]
    return filled(counts if isinstance(counts, list) else decompressed(counts), size[::-1]).T


def filled(runs: Sequence[int], size: Size) -> np.ndarray:
    """bool (height, width) of run lengths, row by row, of what is outside and inside in turn.

    Raises ValueError unless they are whole numbers from 0 on whose sum is that of the pixels.
    """
    wrong = [run for run in runs if type(run) is not int or run < 0]
    if wrong:
        raise ValueError(f"its run lengths have {wrong[0]!r}, expected whole numbers from 0 on")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"its run lengths are {sum(runs)} pixels, expected {size[0] * size[1]}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def decompressed(text: str) -> list[int]:
    """The counts in COCO's compressed run lengths.

    A character holds, from '0' on, five bits of a number, the lowest first, and whether more
    follow; the sign is the highest bit. From the fourth on, a number is the difference to the one
    before the last. Raises ValueError where the text is none.
    """
    counts: list[int] = []
    number = bits = 0
    for sign in text:
        digit = ord(sign) - ord("0")
        if not 0 <= digit < 64 or bits > 30:
            raise ValueError("its counts are no compressed run lengths")
        number |= (digit & 31) << bits
        bits += 5
        if digit & 32:
            continue
        if digit & 16:
            number -= 1 << bits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = bits = 0
    if bits:
        raise ValueError("its compressed run lengths end within a number")
    return counts


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
    target = whole[max(top, 0):max(top + part.shape[0], 0),
                   max(left, 0):max(left + part.shape[1], 0)]
    target[...] = part[max(-top, 0):, max(-left, 0):][:target.shape[0], :target.shape[1]]
    return whole


def png_text(text: str) -> np.ndarray:
    """bool (height, width) of an image in base64."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("L")) > 0
