"""Samples are mirrored, moved, resized, cropped and put together."""

import numpy as np
import pytest

from segdata.augment import (
    Move,
    apply_move,
    draw_move,
    draw_scale,
    draw_window,
    pad,
    resize_bilinear,
    resize_nearest,
    stacked,
)

ARRAY = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize("down, right", [(0, 0), (1, 0), (-2, 0), (0, 3), (2, -1)])
@pytest.mark.parametrize("mirror", [False, True])
def test_what_stays_inside_is_rolled_and_the_rest_filled(mirror, down, right):
    rows, columns = np.mgrid[:3, :4]
    inside = ((0 <= rows - down) & (rows - down < 3) & (0 <= columns - right)
              & (columns - right < 4))
    turned = ARRAY[..., ::-1] if mirror else ARRAY
    expected = np.where(inside, np.roll(turned, (down, right), axis=(1, 2)), -7)
    np.testing.assert_array_equal(apply_move(ARRAY, Move(mirror, down, right), -7), expected)


@pytest.mark.parametrize("down, right", [(3, 0), (0, -4), (-32, 32)])
def test_nothing_stays_after_a_move_out_of_the_image(down, right):
    assert (apply_move(ARRAY, Move(False, down, right), -7) == -7).all()


def test_draws_are_fair_and_independent_of_each_other():
    moves = np.array([draw_move(1337, position, True, 2) for position in range(2000)])
    assert abs(moves[:, 0].mean() - 0.5) < 0.05
    for steps in moves[:, 1:].T:
        assert abs(np.bincount(steps + 2, minlength=5) / 2000 - 0.2).max() < 0.04
    assert abs(np.corrcoef(moves.T) - np.eye(3)).max() < 0.08
    assert [draw_move(1337, position, True, 0).mirror for position in range(99)] == [
        *map(bool, moves[:99, 0])]


def test_no_mirroring_and_no_jitter_leave_everything():
    assert {draw_move(3, position, False, 0) for position in range(50)} == {(False, 0, 0)}


def test_scales_are_uniform_and_windows_lie_anywhere_inside():
    scales = [draw_scale(7, position, 0.5, 2) for position in range(2000)]
    assert 0.5 <= min(scales) < 0.51 and 1.99 < max(scales) <= 2
    assert abs(np.mean(scales) - 1.25) < 0.05
    corners = [draw_window(7, position, (5, 9), (4, 9)) for position in range(200)]
    assert set(corners) == {(0, 0), (1, 0)} and 70 < corners.count((1, 0)) < 130
    assert abs(np.corrcoef(scales[:200], [row for row, _ in corners])[0, 1]) < 0.2


@pytest.mark.parametrize("size", [(3, 4), (6, 8), (7, 3), (1, 1), (2, 11)])
def test_a_plane_stays_a_plane_when_it_is_resized(size):
    """Between the outermost centres; values at the centres of the new pixels."""
    rows, columns = np.mgrid[:3, :4].astype(np.float32)
    planes = np.stack([2 + 5 * rows - 3 * columns, rows])
    down, right = (np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
                   for new, old in zip(size, (3, 4)))
    found = resize_bilinear(planes, *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], 2 + 5 * down[:, None] - 3 * right, atol=1e-5)
    np.testing.assert_allclose(found[1], np.broadcast_to(down[:, None], size), atol=1e-6)


def test_resizing_agrees_with_opencv_s():
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).normal(size=(1, 23, 17)).astype(np.float32)
    for size in ((40, 29), (11, 9)):
        expected = cv2.resize(image[0], size[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(resize_bilinear(image, *size)[0], expected, atol=1e-5)


def test_labels_take_the_nearest_pixel_and_mix_nothing():
    np.testing.assert_array_equal(resize_nearest(ARRAY, 6, 8), ARRAY.repeat(2, 1).repeat(2, 2))
    np.testing.assert_array_equal(resize_nearest(ARRAY, 1, 2), ARRAY[:, 1:2, 1::2])


def test_padding_is_below_and_right():
    found = pad(ARRAY, 5, 3, -7)
    np.testing.assert_array_equal(found[:, :3], ARRAY)
    assert found.shape == (2, 5, 4) and (found[:, 3:] == -7).all()
    batch = stacked([ARRAY, ARRAY[:, :1, :2], np.ones((2, 1, 5), int)], -7)
    assert batch.shape == (3, 2, 3, 5)
    np.testing.assert_array_equal(batch[0, :, :, :4], ARRAY)
    assert (batch[0, :, :, 4] == -7).all() and (batch[2, :, 0] == 1).all()
    assert (batch[1] == -7).sum() == 2 * (15 - 2)
