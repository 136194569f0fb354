"""Sequences of actions on small nets, recorded from the original: partial passes, backward without
forward, and values, gradients, weights and shapes that are changed by hand between passes."""

import numpy as np
import pytest

from golden_runs import SEQUENCES, run_sequence


@pytest.mark.parametrize("path", SEQUENCES, ids=lambda path: path.stem)
def test_ends_as_in_the_original(path, tmp_path):
    for key, actual, expected in run_sequence(path, tmp_path):
        np.testing.assert_allclose(actual, expected, rtol=2e-4,
                                   atol=2e-5 + 1e-6 * np.abs(expected).max(initial=0),
                                   err_msg=f"{path.stem}: {key}")
