"""Tiny images and labels, and what a data layer hands over."""

import numpy as np
from PIL import Image

MEAN = (104.00699, 116.66877, 122.67892)


def picture(number, width=9, height=7):
    """An RGB image whose red channel is `number` everywhere."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[..., 0] = number
    return Image.fromarray(pixels)


def labels(number, width=9, height=7):
    return np.full((height, width), number, np.uint8)


def sequence(net, count):
    """The labels of the next `count` samples."""
    found = []
    for _ in range(count):
        net.forward()
        found.append(int(net.blobs["label"].data.flat[0]))
    return found
