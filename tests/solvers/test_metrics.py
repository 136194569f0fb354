"""The metrics against a slow, obvious implementation."""

import numpy as np
import pytest

from solvers.metrics import Scores, confusion


def obvious(truth, prediction, classes):
    known = truth != 255
    accuracy, iu, weights = [], [], []
    for c in range(classes):
        true, said = (truth == c) & known, (prediction == c) & known
        if not true.any():
            continue
        accuracy.append((true & said).sum() / true.sum())
        iu.append((true & said).sum() / (true | said).sum())
        weights.append(true.sum())
    return ((truth == prediction)[known].mean(), np.mean(accuracy), np.mean(iu),
            np.average(iu, weights=weights))


@pytest.mark.parametrize("absent", [False, True])
def test_metrics_equal_the_obvious_ones(absent):
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, (2, 30, 40)).astype(np.uint8)
    prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 5, truth.shape))
    if absent:
        truth[truth == 2] = 3
    truth[:, :3] = 255
    scores = Scores.of(confusion(truth, prediction, 5))
    found = (scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iu,
             scores.frequency_weighted_iu)
    np.testing.assert_allclose(found, obvious(truth, prediction, 5), rtol=1e-12)
    assert np.isnan(scores.iu[2]) == absent


def test_confusion_counts_every_known_pixel_once_and_adds_up():
    rng = np.random.default_rng(4)
    truth, prediction = rng.integers(0, 4, (2, 50)), rng.integers(0, 3, (2, 50))
    truth[truth == 3] = 255
    whole = confusion(truth, prediction, 3)
    assert whole.sum() == (truth != 255).sum()
    parts = confusion(truth[0], prediction[0], 3) + confusion(truth[1], prediction[1], 3)
    np.testing.assert_array_equal(whole, parts)


def test_all_void_is_an_error():
    with pytest.raises(ValueError, match="no labelled pixel"):
        Scores.of(confusion(np.full(5, 255), np.zeros(5, int), 3))
