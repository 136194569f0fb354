"""Samples are mirrored and moved."""

import numpy as np
import pytest

from segdata.augment import Move, apply_move, draw_move

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
