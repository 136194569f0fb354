"""Images under the colours of their classes."""

import numpy as np
import pytest
from PIL import Image

from segdata.overlay import overlay, percent, shares


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


@pytest.mark.parametrize("share, said", [(1, "100.0%"), (0.1234, "12.3%"), (0.0006, "0.1%"),
                                         (0.0004, "< 0.1%")])
def test_no_share_reads_as_none(share, said):
    assert percent(share) == said
