"""The VOC colour map and label images."""

import numpy as np
from PIL import Image

from segdata.palette import colour_map, label_image


def test_known_colours():
    colours = colour_map()
    assert colours.shape == (256, 3) and colours.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 4: (0, 0, 128), 8: (64, 0, 0),
             15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    for number, colour in known.items():
        assert tuple(colours[number]) == colour
    assert len(np.unique(colours, axis=0)) == 256


def test_label_image_keeps_values_and_shows_colours(tmp_path):
    label = np.arange(256, dtype=np.uint8).reshape(16, 16)
    label_image(label).save(tmp_path / "label.png")
    with Image.open(tmp_path / "label.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), label)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colour_map()[label])
