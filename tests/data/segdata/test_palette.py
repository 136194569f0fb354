"""The VOC colour map, label images and overlays."""

import numpy as np
import pytest
from PIL import Image

from segdata.classes import VOC, read_class_names
from segdata.overlay import overlay, percent, shares
from segdata.palette import colour_map, label_image


def test_known_colours():
    colours = colour_map()
    assert colours.shape == (256, 3) and colours.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 4: (0, 0, 128), 8: (64, 0, 0),
             15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    for number, colour in known.items():
        assert tuple(colours[number]) == colour
    assert len(np.unique(colours, axis=0)) == 256


def test_voc_has_21_classes():
    assert len(VOC) == len(set(VOC)) == 21
    assert VOC[15] == "person"


def test_label_image_keeps_values_and_shows_colours(tmp_path):
    label = np.arange(256, dtype=np.uint8).reshape(16, 16)
    label_image(label).save(tmp_path / "label.png")
    with Image.open(tmp_path / "label.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), label)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colour_map()[label])


def test_shares_and_overlay_show_the_classes_present():
    label = np.array([[0, 0, 2], [0, 2, 1]], np.uint8).repeat(30, 0).repeat(30, 1)
    assert shares(label) == [(0, 0.5), (2, pytest.approx(1 / 3)), (1, pytest.approx(1 / 6))]
    picture = overlay(Image.new("RGB", (90, 60)), label, ["background", "road", "car"])
    assert picture.size[0] > 90 and picture.size[1] > 60 + 3 * 20
    colours = set(map(tuple, np.asarray(picture)[60:].reshape(-1, 3).tolist()))
    assert {(0, 0, 0), (0, 128, 0), (128, 0, 0)} <= colours       # the legend's boxes
    assert picture.getpixel((0, 0)) == (0, 0, 0) and picture.getpixel((80, 10))[1] > 60


def test_class_0_is_visible_unless_it_is_the_background():
    label = np.zeros((40, 40), np.uint8)
    picture = overlay(Image.new("RGB", (40, 40)), label, ["sky", "road"])
    assert min(picture.getpixel((0, 0))) > 90


def test_class_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffsky\r\nzebra crossing \r\n\r\ncafé\r\n".encode())
    assert read_class_names(path) == read_class_names(path, 3) == ["sky", "zebra crossing", "café"]
    with pytest.raises(ValueError, match="classes.txt: 3 names for 4 classes"):
        read_class_names(path, 4)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="classes.txt: not a list of class names"):
        read_class_names(path)


@pytest.mark.parametrize("share, said", [(1, "100.0%"), (0.1234, "12.3%"), (0.0006, "0.1%"),
                                         (0.0004, "< 0.1%")])
def test_no_share_reads_as_none(share, said):
    assert percent(share) == said
