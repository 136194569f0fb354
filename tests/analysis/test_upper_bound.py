"""Upper bounds against closed forms."""

import numpy as np
import pytest

from fcn.analysis.upper_bound import FACTORS, read_labels, restored, upper_bound, without_void
from segdata.embedded import voc as embedded_voc


def checkerboard(side, square, size=64):
    y, x = np.mgrid[:size, :side] // square
    return ((x + y) % 2).astype(np.uint8)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_constant_label_loses_nothing(factor):
    assert upper_bound([np.full((50, 70), 3, np.uint8)], factor).mean_iu == 1


@pytest.mark.parametrize("square, factor", [(8, 8), (8, 4), (8, 2), (1, 1)])
def test_squares_of_whole_cells_lose_nothing(square, factor):
    label = checkerboard(72, square)
    np.testing.assert_array_equal(restored(label, factor), label)
    assert upper_bound([label], factor).mean_iu == 1


def test_where_all_centres_see_one_class_the_other_is_lost():
    """Half the pixels are right: IU 1/2 for the one class, 0 for the other."""
    assert upper_bound([checkerboard(64, 1)], 2).mean_iu == pytest.approx(0.25)


def test_an_edge_within_a_cell_moves_to_its_border():
    label = np.zeros((16, 16), np.uint8)
    label[:, 11:] = 1       # centres of the cells of 8: 4 and 12
    expected = np.zeros_like(label)
    expected[:, 8:] = 1
    np.testing.assert_array_equal(restored(label, 8), expected)
    assert upper_bound([label], 8).mean_iu == pytest.approx((8 / 11 + 5 / 8) / 2)


def test_cells_that_are_cut_off_still_have_a_class():
    label = np.arange(10, dtype=np.uint8)[None].repeat(3, 0)
    np.testing.assert_array_equal(restored(label, 8)[0], [4] * 8 + [9] * 2)


def test_void_is_not_scored_and_takes_the_nearest_class():
    label = np.array([[1, 255, 255, 255, 2]], np.uint8)
    assert without_void(label).tolist() in ([[1, 1, 1, 2, 2]], [[1, 1, 2, 2, 2]])
    assert upper_bound([label], 1).pixel_accuracy == 1
    assert upper_bound([label], 1).matrix.sum() == 2
    assert not without_void(np.full((2, 2), 255, np.uint8)).any()


def test_finer_predictions_are_better_on_scenes(tmp_path):
    embedded_voc.generate(tmp_path / "data", train=1, val=4)
    labels = list(read_labels(tmp_path / "data" / "pascal" / "VOC2011"))
    assert len(labels) == 4
    bounds = [upper_bound(labels, factor).mean_iu for factor in FACTORS]
    assert bounds == sorted(bounds) and bounds[-1] < 1
