"""Class balancing (CVPR, section 4.3), which the paper found unnecessary: the loss of a pixel
counts with a probability in inverse proportion to the frequency of its class.

The miniature of voc-fcn8s, from the classifier in one stage; the rate is higher as fewer pixels
count.
"""

import numpy as np

from fcn.analysis.filtered import filtered
from fcn.analysis.variants import Variant, compare, one_stage, ordered, trained
from segdata.classes import VOID
from segdata.readers import read_mat

SEED = 1


def run(options):
    variants = {"as it is": Variant(trained("voc-fcn8s", "one-stage", one_stage)),
                "balanced": Variant(trained("voc-fcn8s", "balanced", balanced))}
    compare(variants, [ordered("as it is", "balanced")], options)


def balanced(experiment):
    """The change to an experiment that makes its classes count alike."""
    shares = class_shares(experiment.build / "data-voc" / "sbdd" / "dataset" / "cls",
                          len(experiment.class_names["label"]))
    keep, rate = weights(shares)
    source = filtered(experiment.source, "Balanced", ("train",), keep=keep.tolist(), seed=SEED)
    return dict(one_stage(experiment), source=source, lr=experiment.lr * rate)


def weights(shares):
    """The probabilities of the classes, 1 for the rarest, and the factor on the rate."""
    keep = np.ones(len(shares))
    present = shares > 0
    keep[present] = shares[present].min() / shares[present]
    return keep, 1 / float(keep @ shares)


def class_shares(folder, classes):
    """Of the pixels in all SBD labels of a folder, the share that each class has."""
    counts = np.zeros(VOID + 1)
    for path in folder.glob("*.mat"):
        label = read_mat(path, "GTcls")["Segmentation"][0, 0]
        counts += np.bincount(label.ravel(), minlength=VOID + 1)
    return counts[:classes] / counts[:classes].sum()
