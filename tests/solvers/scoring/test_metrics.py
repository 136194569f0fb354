"""The metrics against a slow, obvious implementation."""

import numpy as np
import pytest

from fcn.solvers.scoring.counting import one_class
from fcn.solvers.scoring.metrics import Scores, confusion


def obvious(truth, prediction, classes):
    """(pixel accuracy, mean accuracy, mean IU by VOC's rule, over classes in the truth, f.w. IU)"""
    known = truth != 255
    accuracy, iu, voc_iu, weights = [], [], [], []
    for c in range(classes):
        true, said = (truth == c) & known, (prediction == c) & known
        if (true | said).any():
            voc_iu.append((true & said).sum() / (true | said).sum())
        if not true.any():
            continue
        accuracy.append((true & said).sum() / true.sum())
        iu.append((true & said).sum() / (true | said).sum())
        weights.append(true.sum())
    return ((truth == prediction)[known].mean(), np.mean(accuracy), np.mean(voc_iu), np.mean(iu),
            np.average(iu, weights=weights))


@pytest.mark.parametrize("absent", ["", "in truth", "in both"])
def test_metrics_equal_the_obvious_ones(absent):
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, (2, 30, 40)).astype(np.uint8)
    prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 5, truth.shape))
    if absent:
        truth[truth == 2] = 3
    if absent == "in both":
        prediction[prediction == 2] = 3
    truth[:, :3] = 255
    scores = Scores.of(confusion(truth, prediction, 5))
    found = (scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iu, scores.mean_iu_in_truth,
             scores.frequency_weighted_iu)
    np.testing.assert_allclose(found, obvious(truth, prediction, 5), rtol=1e-12)
    assert np.isnan(scores.accuracy[2]) == bool(absent)
    assert np.isnan(scores.iu[2]) == (absent == "in both")
    assert (scores.mean_iu < scores.mean_iu_in_truth) == (absent == "in truth")


def test_a_class_that_is_absent_but_predicted_halves_the_mean_iu_of_one_that_is_right():
    """The authors' score.py and VOC's evaluation give (2/3 + 0) / 2."""
    scores = Scores.of(confusion(np.array([0, 0, 0]), np.array([0, 0, 1]), 3))
    assert scores.mean_iu == pytest.approx(1 / 3)
    assert scores.mean_iu_in_truth == pytest.approx(2 / 3)
    assert scores.headline == scores.mean_iu
    siftflow = Scores.of(scores.matrix, in_truth=True)
    assert siftflow.headline == siftflow.mean_iu_in_truth == scores.mean_iu_in_truth
    assert scores.summary() == siftflow.summary() == pytest.approx({
        "pixel accuracy": 200 / 3, "mean accuracy": 200 / 3, "mean IU": 100 / 3,
        "mean IU (in truth)": 200 / 3, "f.w. IU": 200 / 3})


def test_unscored_classes_have_no_part_in_the_means_unless_all_are_counted():
    """Two classes and background: of 4 + 4 pixels of classes 3 + 2 are right, 1 is called
    background; 2 pixels of background are called class 1."""
    matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 2, 2]])
    task = Scores.of(matrix, unscored=(0,))
    assert task.pixel_accuracy == 5 / 8
    assert task.mean_iu == task.mean_iu_in_truth == pytest.approx((3 / 6 + 2 / 4) / 2)
    assert np.isnan(task.iu[0]) and np.isnan(task.accuracy[0])
    every = task.with_all_classes()
    assert every.pixel_accuracy == 11 / 16
    assert every.mean_iu == pytest.approx((6 / 9 + 3 / 8 + 2 / 4) / 3)
    np.testing.assert_array_equal(task.matrix, matrix)


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


def test_a_net_that_says_one_class_is_told():
    scores, names = Scores.of(np.array([[9, 0, 0], [3, 0, 0], [1, 0, 0]])), ["sky", "a", "b"]
    assert "predicts class 0 (sky) for every pixel" in one_class(scores, names)
    assert one_class(Scores.of(np.eye(3, dtype=int)), names) is None
