"""The colours and names of the PASCAL VOC classes; label images and overlays."""

import numpy as np

VOID = 255      # the label value that neither trains nor scores

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor")


def read_class_names(path, count=None):
    """The names of the classes in their order: UTF-8 text, one a line; blank lines do not count.

    ValueError if it is no such text, or if there are not `count` of them, where that is given.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()       # Windows writes a BOM
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a list of class names: {error}") from None
    names = [line.strip() for line in lines if line.strip()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{path}: two classes have one name: {', '.join(sorted(twice))}")
    if count is not None and len(names) != count:
        raise ValueError(f"{path}: {len(names)} names for {count} classes")
    return names


def colour_map():
    """The VOC colour map: uint8 (256, 3), row = class, columns R, G, B.

    Bit 3j of the class number is bit 7-j of red, bit 3j+1 that of green, bit 3j+2 that of blue.
    """
    classes = np.arange(256)
    bits = np.arange(8)
    shifts = 3 * bits[:, None] + np.arange(3)                      # (8, 3)
    values = (classes[:, None, None] >> shifts & 1) << (7 - bits)[:, None]
    return values.sum(axis=1).astype(np.uint8)


def label_image(label):
    """A palette image (mode P, VOC colours) of `label`, a uint8 array (height, width)."""
    from PIL import Image
    image = Image.fromarray(label)
    image.putpalette(colour_map().tobytes())
    return image


def shares(label):
    """[(class, share of the pixels)] of the classes present in `label`, the largest first."""
    numbers, counts = np.unique(label, return_counts=True)
    return [(int(numbers[i]), counts[i] / label.size) for i in np.argsort(-counts)]


def percent(share):
    """A share of the pixels that are not none, in words: 12.3%, < 0.1%."""
    return f"{share:.1%}" if share >= 0.0005 else "< 0.1%"


def overlay(image, label, names):
    """An RGB image under the colours of its classes, with a legend of their `names` below.

    Class 0 is black only where it is the background; elsewhere it takes the void's colour.
    """
    from PIL import Image, ImageDraw, ImageFont
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
