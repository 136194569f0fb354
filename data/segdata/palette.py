"""The colours of the PASCAL VOC classes, and label images in them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

BACKGROUNDS = "background", "_background_"      # the latter is LabelMe's
FOREGROUND_0 = 70, 130, 180     # of class 0 where it is no background; VOC's map has no such colour


def colour_map() -> np.ndarray:
    """The VOC colour map: uint8 (256, 3), row = class, columns R, G, B.

    Bit 3j of the class number is bit 7-j of red, bit 3j+1 that of green, bit 3j+2 that of blue.
    """
    classes = np.arange(256)
    bits = np.arange(8)
    shifts = 3 * bits[:, None] + np.arange(3)                      # (8, 3)
    values = (classes[:, None, None] >> shifts & 1) << (7 - bits)[:, None]
    return values.sum(axis=1).astype(np.uint8)


def class_colours(names: Sequence[str]) -> np.ndarray:
    """The colours of overlays: VOC's map, in which class 0 gets a colour of its own, not black,
    unless the `names` of the classes say that it is the background."""
    colours = colour_map()
    if names[0].lower() not in BACKGROUNDS:
        colours[0] = FOREGROUND_0
    return colours


def label_image(label: np.ndarray, names: Sequence[str] = ("background",)) -> Image.Image:
    """A palette image (mode P) of `label`, a uint8 array (height, width), in the `class_colours` of
    the classes of these `names`, by default VOC's map."""
    image = Image.fromarray(label)
    image.putpalette(class_colours(names).tobytes())
    return image
