"""Images under the colours of their classes."""

import numpy as np
import pytest
from PIL import Image

from segdata.overlay import beside_truth, error_map, overlay, percent, shares
from segdata.palette import colour_map, label_image


def pixels(picture):
    return set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))


def test_shares_and_overlay_show_the_classes_present():
    label = np.array([[0, 0, 2], [0, 2, 1]], np.uint8).repeat(30, 0).repeat(30, 1)
    assert shares(label) == [(0, 0.5), (2, pytest.approx(1 / 3)), (1, pytest.approx(1 / 6))]
    assert repr(shares(label)[0]) == "(0, 0.5)"     # plain numbers, as they are printed
    picture = overlay(Image.new("RGB", (90, 60)), label, ["background", "road", "car"])
    assert picture.size[0] > 90 and picture.size[1] > 60 + 3 * 20
    legend = picture.crop((0, 60, *picture.size))
    assert {(0, 128, 0), (128, 0, 0), (255, 255, 255)} <= pixels(legend)
    assert (176, 176, 176) in pixels(legend.crop((8, 8, 20, 20)))   # as it is, whatever colour
    road = overlay(Image.new("RGB", (90, 60)), label, ["sky", "road", "car"])
    assert (176, 176, 176) not in pixels(road.crop((8, 68, 20, 80)))
    assert picture.getpixel((80, 10))[1] > 60


def test_the_background_stays_clear_and_any_other_class_0_has_a_colour_of_its_own():
    label = np.zeros((40, 40), np.uint8)
    grey = Image.new("RGB", (40, 40), (9, 90, 200))
    for name in ("background", "Background", "_background_"):
        assert pixels(overlay(grey, label, [name, "road"], legend=False)) == {(9, 90, 200)}
    colour, = pixels(overlay(grey, label, ["sky", "road"], opacity=1, legend=False))
    assert colour not in set(map(tuple, colour_map().tolist()))     # nor black, nor the void's
    assert pixels(overlay(grey, label, ["sky", "road"], opacity=0, legend=False)) == {(9, 90, 200)}


@pytest.mark.parametrize("names", [("background", "road", "car"), ("sky", "road", "car")])
def test_overlay_legend_and_label_image_have_the_same_colours(names):
    label = np.array([[0, 1, 2]], np.uint8).repeat(60, 0).repeat(40, 1)
    shown = overlay(Image.new("RGB", (120, 60), "black"), label, names, opacity=1)
    colours = label_image(label, names).convert("RGB")
    np.testing.assert_array_equal(np.asarray(shown)[:60, :120], np.asarray(colours))
    boxes = pixels(colours) - {(0, 0, 0)}               # the background stays clear
    assert len(boxes) == 3 - (names[0] == "background")
    assert boxes <= pixels(shown.crop((0, 60, *shown.size)))


def test_contours_lie_on_both_sides_of_each_border_and_nowhere_else():
    label = np.zeros((20, 30), np.uint8)
    label[5:15, 10:20] = 1
    picture = np.asarray(overlay(Image.new("RGB", (30, 20)), label, ["background", "a"],
                                 opacity=0, contours=True, legend=False))
    white = picture.min(2) == 255
    expected = np.zeros_like(white)
    expected[4:16, 9:21] = True
    expected[6:14, 11:19] = False
    np.testing.assert_array_equal(white, expected)
    one = np.asarray(overlay(Image.new("RGB", (30, 20)), label * 0, ["background", "a"],
                             contours=True, legend=False))
    assert one.max() == 0


def test_the_legend_grows_with_the_image():
    heights = []
    for side in (40, 400, 1600):
        picture = overlay(Image.new("RGB", (side, side)), np.ones((side, side), np.uint8),
                          ["background", "road"])
        heights.append(picture.height - side)
    assert heights[0] <= heights[1] and heights[2] > 3 * heights[1]


@pytest.mark.parametrize("size", [(8, 6), (200, 120), (400, 300)])
def test_the_truth_is_beside_the_prediction_with_a_map_of_errors(size):
    width, height = size
    truth = np.zeros((height, width), np.uint8)
    truth[:, width // 2:] = 1
    truth[0] = 255
    label = np.zeros_like(truth)
    picture = beside_truth(Image.new("RGB", size), label, truth, ["background", "road"])
    assert picture.width >= 3 * width
    column = (picture.width + 4) // 3
    errors = error_map(label, truth)
    assert errors.getpixel((0, 0)) == (128, 128, 128)
    assert errors.getpixel((0, 1)) == (40, 160, 70)
    assert errors.getpixel((width - 1, 1)) == (220, 40, 40)
    shown = pixels(picture.crop((2 * column, 0, picture.width, picture.height)))
    assert (154, 28, 28) in shown and (28, 112, 49) in shown       # over a black image
    predicted, true = (pixels(picture.crop((i * column, 0, i * column + width, height + 20)))
                       for i in range(2))
    assert (70, 0, 0) in true and (70, 0, 0) not in predicted
    assert {(128, 0, 0), (224, 224, 192)} <= pixels(picture)        # the legend has the void, too


@pytest.mark.parametrize("share, said", [(1, "100.0%"), (0.1234, "12.3%"), (0.0006, "0.1%"),
                                         (0.0004, "< 0.1%")])
def test_no_share_reads_as_none(share, said):
    assert percent(share) == said
