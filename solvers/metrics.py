"""The four metrics of the paper (section 5), from a confusion matrix.

With n_ij pixels of class i predicted as j, t_i = Σ_j n_ij pixels of class i and n_cl classes:

    pixel accuracy          Σ_i n_ii / Σ_i t_i
    mean accuracy           (1/n_cl) Σ_i n_ii / t_i
    mean IU                 (1/n_cl) Σ_i n_ii / (t_i + Σ_j n_ji − n_ii)
    frequency-weighted IU   (Σ_k t_k)⁻¹ Σ_i t_i n_ii / (t_i + Σ_j n_ji − n_ii)

Void pixels do not count. Classes without pixels in the truth are left out of the means.
"""

from dataclasses import dataclass

import numpy as np


def confusion(truth, prediction, classes):
    """int64 (classes, classes): pixels by (true class, predicted class).

    `truth` and `prediction` are integer arrays of one shape; truth outside 0 … classes − 1 is void.
    """
    truth = np.asarray(truth).ravel()
    known = (truth >= 0) & (truth < classes)
    pairs = truth[known].astype(np.int64) * classes + np.asarray(prediction).ravel()[known]
    return np.bincount(pairs, minlength=classes ** 2).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Fractions of 1. `iu` and `accuracy` are per class, NaN where the truth has no pixel.

    `matrix` is the confusion matrix that they come from.
    """
    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    frequency_weighted_iu: float
    accuracy: np.ndarray
    iu: np.ndarray
    matrix: np.ndarray

    @classmethod
    def of(cls, matrix):
        """The scores of a confusion matrix. Raises ValueError if it is empty."""
        matrix = np.asarray(matrix)
        right, true, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        if not true.any():
            raise ValueError("no labelled pixel was scored")
        with np.errstate(divide="ignore", invalid="ignore"):
            accuracy = right / true
            iu = np.where(true > 0, right / (true + predicted - right), np.nan)
        return cls(right.sum() / true.sum(), np.nanmean(accuracy), np.nanmean(iu),
                   np.nansum(true * iu) / true.sum(), accuracy, iu, matrix)

    def summary(self):
        """{name: percent} of the four metrics."""
        return {"pixel accuracy": 100 * self.pixel_accuracy,
                "mean accuracy": 100 * self.mean_accuracy,
                "mean IU": 100 * self.mean_iu,
                "f.w. IU": 100 * self.frequency_weighted_iu}
