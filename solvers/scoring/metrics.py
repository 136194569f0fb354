"""The metrics of the paper (section 5), from a confusion matrix.

With n_ij pixels of class i predicted as j, t_i = Σ_j n_ij pixels of class i, p_i = Σ_j n_ji pixels
predicted as i, and IU_i = n_ii / (t_i + p_i − n_ii):

    pixel accuracy          Σ_i n_ii / Σ_i t_i
    mean accuracy           mean of n_ii / t_i over the classes with t_i > 0
    mean IU                 mean of IU_i over the classes with t_i > 0 or p_i > 0
    mean IU (in truth)      mean of IU_i over the classes with t_i > 0
    f.w. IU                 (Σ_k t_k)⁻¹ Σ_i t_i IU_i, frequency-weighted

The two means of IU differ where a class is absent from the truth and predicted all the same. "mean
IU" counts it as IU 0, as the evaluation of PASCAL VOC and the authors' score.py do; "mean IU (in
truth)" leaves it out, as the paper does for SIFT Flow, whose test set lacks classes.

Void pixels do not count. Pixels of classes that are unscored do not count either, and those classes
have no part in the means; that another class is predicted as one of them is an error still.
"""

from dataclasses import dataclass

import numpy as np


def confusion(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes, classes): pixels by (true class, predicted class).

    `truth` and `prediction` are integer arrays of one shape; truth outside 0 … classes − 1 is void.
    """
    truth = np.asarray(truth).ravel()
    known = (truth >= 0) & (truth < classes)
    pairs = truth[known].astype(np.int64) * classes + np.asarray(prediction).ravel()[known]
    return np.bincount(pairs, minlength=classes ** 2).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Fractions of 1.

    accuracy, iu : per class, float (classes,); accuracy is NaN where the truth has no pixel, iu
        where the prediction has none either; both are for unscored classes
    matrix : the confusion matrix of all classes that they come from
    unscored : the classes that do not count
    in_truth : whether the data set is scored by "mean IU (in truth)", of which `headline` is then
    """
    pixel_accuracy: float
    mean_accuracy: float
    mean_iu: float
    mean_iu_in_truth: float
    frequency_weighted_iu: float
    accuracy: np.ndarray
    iu: np.ndarray
    matrix: np.ndarray
    unscored: tuple = ()
    in_truth: bool = False

    @classmethod
    def of(cls, matrix: np.ndarray, unscored: tuple = (), in_truth: bool = False) -> "Scores":
        """The scores of a confusion matrix. Raises ValueError if nothing in it is scored."""
        matrix = np.asarray(matrix)
        counted = matrix.copy()
        counted[list(unscored)] = 0
        right, true, predicted = counted.diagonal(), counted.sum(1), counted.sum(0)
        if not true.any():
            raise ValueError("no labelled pixel was scored")
        with np.errstate(divide="ignore", invalid="ignore"):
            accuracy = right / true
            iu = right / (true + predicted - right)
        accuracy[list(unscored)] = iu[list(unscored)] = np.nan
        return cls(right.sum() / true.sum(), np.nanmean(accuracy), np.nanmean(iu),
                   iu[true > 0].mean(), (true * iu)[true > 0].sum() / true.sum(), accuracy, iu,
                   matrix, tuple(unscored), in_truth)

    @property
    def headline(self) -> float:
        """The mean IU by which the data set is scored."""
        return self.mean_iu_in_truth if self.in_truth else self.mean_iu

    def with_all_classes(self) -> "Scores":
        """The scores with the unscored classes counted, too."""
        return Scores.of(self.matrix, in_truth=self.in_truth)

    def summary(self) -> dict[str, float]:
        """{name: percent} of the five metrics."""
        return {"pixel accuracy": 100 * self.pixel_accuracy,
                "mean accuracy": 100 * self.mean_accuracy,
                "mean IU": 100 * self.mean_iu,
                "mean IU (in truth)": 100 * self.mean_iu_in_truth,
                "f.w. IU": 100 * self.frequency_weighted_iu}
