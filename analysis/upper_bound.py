"""Upper bounds of mean IU for predictions at reduced resolution (CVPR on arXiv, appendix A).

Ground truth is reduced by a factor, to the class at the centre of each cell, and restored by
repetition; the result is scored as if a net had predicted it. Void pixels first take the class of
the nearest pixel that has one, because a net always predicts some class; they are not scored.
"""

from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt
from tqdm import tqdm

from fcn.solvers.console.text import columns
from fcn.solvers.scoring.metrics import Scores, confusion
from folder_layers import sample_paths
from segdata.classes import VOID
from segdata.embedded import voc as embedded_voc
from segdata.lists import KnownFiles, read_list
from segdata.paths import data_root
from segdata.readers import read_label_image

FACTORS = (128, 64, 32, 16, 8, 4)
PAPER = dict(zip(FACTORS, (50.9, 73.3, 86.1, 92.8, 96.4, 98.5)))
VOC = data_root() / "pascal" / "VOC2011"
SPLITS = ("seg11valid", "val")      # the first of them that a folder has


def run(options):
    folder = options.data or (VOC if VOC.exists() else generated(options.directory))
    labels = list(read_labels(folder))
    rows = [(factor, f"{100 * upper_bound(labels, factor).mean_iu:.1f}", PAPER[factor])
            for factor in FACTORS]
    print(f"{folder}: {len(labels)} labels\n")
    print(columns([("reduced by", "mean IU", "paper"), *rows]))
    if folder != VOC:
        print("\nThe paper's figures are for a subset of PASCAL VOC 2011 val.")


def generated(directory):
    """The VOC folder of the embedded dataset, that of the analyses that train on seed 0."""
    data = directory / "seed-0" / "data-voc"
    embedded_voc.generate(data, seed=0)
    return data / "pascal" / "VOC2011"


def read_labels(folder):
    """The labels of a folder in VOC layout, uint8 (height, width), of its validation split."""
    lists = [Path(folder) / "ImageSets" / "Segmentation" / f"{split}.txt" for split in SPLITS]
    names = read_list(next((path for path in lists if path.exists()), lists[-1]))
    known_files = KnownFiles()
    for entry in tqdm(names, desc="labels", unit="label", leave=False, disable=None):
        yield read_label_image(sample_paths(Path(folder), entry.name, known_files)["label"])


def upper_bound(labels, factor):
    """The Scores of labels reduced by a factor and restored, against themselves."""
    classes = 1 + max(int(label.max(where=label != VOID, initial=0)) for label in labels)
    return Scores.of(sum(confusion(label, restored(label, factor), classes) for label in labels))


def restored(label, factor):
    """A label (height, width) as it is after the reduction, in its full size, without void.

    The last cells of a row or column may be cut off; their centres move inside.
    """
    rows, columns = (np.minimum(factor // 2 + factor * (np.arange(side) // factor), side - 1)
                     for side in label.shape)
    return without_void(label)[np.ix_(rows, columns)]


def without_void(label):
    """The label with the nearest class for void; one that is all void becomes class 0."""
    void = label == VOID
    if void.all():
        return np.zeros_like(label)
    nearest = distance_transform_edt(void, return_distances=False, return_indices=True)
    return label[tuple(nearest)]
