"""Which classes an image shows: their shares, and the image under their colours."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segdata.classes import VOID
from segdata.palette import colour_map


def shares(label: np.ndarray) -> list[tuple[int, float]]:
    """[(class, share of the pixels)] of the classes present in `label`, the largest first."""
    numbers, counts = np.unique(label, return_counts=True)
    return [(int(numbers[i]), counts[i] / label.size) for i in np.argsort(-counts)]


def percent(share: float) -> str:
    """A share of the pixels that are not none, in words: 12.3%, < 0.1%."""
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"


def overlay(image: Image.Image, label: np.ndarray, names: Sequence[str]) -> Image.Image:
    """An RGB image under the colours of its classes, with a legend of their `names` below.

    Class 0 is black only where it is the background; elsewhere it takes the void's colour.
    """
    colours = colour_map()
    if names[0] != "background":
        colours[0] = colours[VOID]
    picture = Image.blend(image, Image.fromarray(colours[label]), 0.55)
    font, row = ImageFont.load_default(14), 20
    entries = [(number, f"{names[number]} {percent(share)}") for number, share in shares(label)]
    column = 32 + round(max(font.getlength(text) for _, text in entries))
    columns = max(1, image.width // column)
    height = image.height + row * -(-len(entries) // columns) + 6
    canvas = Image.new("RGB", (max(image.width, column), height), "white")
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    for place, (number, text) in enumerate(entries):
        x, y = column * (place % columns) + 4, image.height + 4 + row * (place // columns)
        draw.rectangle((x, y, x + 14, y + 14), tuple(map(int, colours[number])), "black")
        draw.text((x + 20, y - 1), text, "black", font)
    return canvas
