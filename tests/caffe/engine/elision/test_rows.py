"""Numbers of rows and windows, and rows that are replicated."""

import numpy as np
import pytest
import torch

from caffe.engine.elision.rows import Slide, numbered
from caffe.engine.elision.spread import Spread, gather, spread

SLIDES = [Slide(3, 1, 1), Slide(11, 4, 30), Slide(2, 2, up=True),
          Slide(3, 2, 1, up=True, inside=True),
          Slide(3, 1, 6, 3), Slide(5, 3, 2, 2)]


def test_numbers_are_equal_for_equal_windows_alone():
    windows = np.random.default_rng(0).integers(-2, 1, (200, 4))
    numbers = numbered(windows)
    same = (windows[:, None] == windows).all(2)
    assert ((numbers[:, None] == numbers) == same).all()


@pytest.mark.parametrize("slide", SLIDES)
@pytest.mark.parametrize("n", [20, 31, 44])
def test_windows_within_a_run_are_those_that_are_all_alike(slide, n):
    numbers = np.arange(n)
    numbers[3:19] = 3
    windows = slide.windows(numbers)
    start, stop = slide.within((3, 19), n)
    inside = np.arange(len(windows))
    assert ((windows == 3).all(1) == ((start <= inside) & (inside < stop))).all()
    first, _ = slide.pad_runs(n)
    _, stop = slide.within(first, n)
    assert (windows[:stop] == -1).all() and not (windows[stop] == -1).all()


@pytest.mark.parametrize("there, wanted", [([0, 1, 2, 3], [0, 1, 1, 1, 1, 2, 3, 3]), ([5], [5, 5]),
                                           ([0, 7, 7, 2, 9], [0, 7, 2, 7, 7, 9]), ([4, 5], [5])])
def test_gradients_of_replicas_add_up(there, wanted):
    rows = Spread.between(np.array(there), np.array(wanted))
    columns = Spread.between(np.array([0, 1]), np.array([0, 1, 1]))
    x = torch.randn(2, 3, len(there), 2, dtype=torch.float64)
    y = spread(x, rows, columns)
    source = [there.index(number) for number in wanted]
    assert torch.equal(y, x[:, :, source][..., [0, 1, 1]])
    g = torch.randn_like(y)
    assert torch.allclose((y * g).sum(), (x * gather(g, rows, columns)).sum())
