"""Which classes an image shows: their shares, and the image under their colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from segdata.classes import VOID
from segdata.palette import BACKGROUNDS, class_colours

RIGHT, WRONG, UNKNOWN = (40, 160, 70), (220, 40, 40), (128, 128, 128)     # of an error map
GAP = 4             # pixels between pictures side by side
CLEAR = " (not coloured)"   # what a legend says of the background


def shares(label: np.ndarray) -> list[tuple[int, float]]:
    """[(class, share of the pixels)] of the classes present in `label`, the largest first."""
    numbers, counts = np.unique(label, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(numbers[i]), int(counts[i]) / label.size) for i in order]


def percent(share: float) -> str:
    """A share of the pixels that are not none, in words: 12.3%, < 0.1%."""
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"


def overlay(image: Image.Image, label: np.ndarray, names: Sequence[str], opacity: float = 0.55,
            contours: bool = False, legend: bool = True) -> Image.Image:
    """An RGB image under the colours of its classes, with a legend of their `names` below.

    opacity : of the colours, from 0 to 1. The background, class 0 of that name, stays clear
    contours : whether lines go along the borders of the classes
    legend : whether there is one; it grows with the image
    """
    picture = coloured(image, label, names, opacity, contours)
    entries = [(number, f"{names[number]} {percent(share)}") for number, share in shares(label)]
    return with_legend(picture, entries, names) if legend else picture


def coloured(image: Image.Image, label: np.ndarray, names: Sequence[str], opacity: float,
             contours: bool) -> Image.Image:
    """An RGB image under the colours of its classes, of the same size."""
    colours = class_colours(names)
    alphas = np.full(256, round(255 * opacity), np.uint8)
    if has_background(names):
        alphas[0] = 0
    picture = Image.composite(Image.fromarray(colours[label]), image,
                              Image.fromarray(alphas[label]))
    if contours:
        width = max(1, round(min(image.size) / 300))
        picture.paste("white", mask=Image.fromarray(borders(label, width)))
    return picture


def has_background(names: Sequence[str]) -> bool:
    """Whether class 0 is what the others stand before."""
    return names[0].lower() in BACKGROUNDS


def borders(label: np.ndarray, width: int) -> np.ndarray:
    """bool (height, width): pixels less than `width` from the border of their class."""
    low = label
    high = label
    for axis in (0, 1):
        low = minimum_filter1d(low, 2 * width + 1, axis, mode="nearest")
        high = maximum_filter1d(high, 2 * width + 1, axis, mode="nearest")
    return low != high


def with_legend(picture: Image.Image, entries: Sequence[tuple[int, str]], names: Sequence[str]
                ) -> Image.Image:
    """A picture with a legend below: [(class, text)], as many in a row as there is room for. The
    background has a chequered box, for it keeps the colours of the picture."""
    size = text_size(picture.size)
    cleared = [number == 0 and has_background(names) for number, _ in entries]
    entries = [(number, text + CLEAR * clear) for (number, text), clear in zip(entries, cleared)]
    font, row, box = ImageFont.load_default(size), round(1.5 * size), size
    column = 2 * size + box + round(max(font.getlength(text) for _, text in entries))
    columns = max(1, picture.width // column)
    rows = -(-len(entries) // columns)
    canvas = Image.new("RGB", (max(picture.width, column), picture.height + row * rows + size // 2),
                       "white")
    canvas.paste(picture)
    draw, colours = ImageDraw.Draw(canvas), class_colours(names)
    for place, (number, text) in enumerate(entries):
        x = column * (place % columns) + size // 2
        y = picture.height + size // 2 + row * (place // columns)
        draw.rectangle((x, y, x + box, y + box), tuple(map(int, colours[number])), "black",
                       max(1, size // 14))
        if cleared[place]:
            canvas.paste(chequered(box - 1), (x + 1, y + 1))
        draw.text((x + box + size // 2, y + box / 2), text, "black", font, anchor="lm")
    return canvas


def chequered(side: int) -> Image.Image:
    """A square of four times four fields, in turn white and grey."""
    fields = np.add.outer(np.arange(side), np.zeros(side, int)) * 4 // side
    return Image.fromarray(np.where((fields + fields.T) % 2, 176, 255).astype(np.uint8))


def text_size(size: tuple[int, int]) -> int:
    """The height in pixels of text on or below a picture of that size (width, height)."""
    return max(14, round(min(size) / 26))


# beside the truth

def error_map(label: np.ndarray, truth: np.ndarray) -> Image.Image:
    """RGB: green where `label` is the truth, red where it is not, grey where the truth is void."""
    colours = np.where((label == truth)[..., None], RIGHT, WRONG).astype(np.uint8)
    colours[truth == VOID] = UNKNOWN
    return Image.fromarray(colours)


def beside_truth(image: Image.Image, label: np.ndarray, truth: np.ndarray, names: Sequence[str],
                 opacity: float = 0.55, contours: bool = False) -> Image.Image:
    """An RGB picture: the prediction, the truth and where they differ, each under its title, with
    a legend of the classes of both."""
    listed = [*names, *("" for _ in range(VOID - len(names))), "void"]
    labels = {"prediction": label, "truth": truth}
    pictures = {title: coloured(image, each, listed, opacity, contours)
                for title, each in labels.items()}
    known = truth != VOID
    right = (label == truth)[known].mean() if known.any() else 0
    pictures[f"errors: {percent(1 - right) if right < 1 else 'none'}"] = Image.blend(
        image, error_map(label, truth), 0.7)
    size = text_size(image.size)
    title = round(1.6 * size)
    font = ImageFont.load_default(size)
    column = GAP + max(image.width, *(size + round(font.getlength(text)) for text in pictures))
    canvas = Image.new("RGB", (3 * column - GAP, image.height + title), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (text, picture) in enumerate(pictures.items()):
        x = place * column
        draw.text((x + size // 3, title / 2), text, "black", font, anchor="lm")
        canvas.paste(picture, (x, title))
    both = np.union1d(label, truth)
    return with_legend(canvas, [(int(number), listed[number]) for number in both], listed)
