"""The layers of Caffe's forks against what the forks themselves computed."""

import numpy as np
import pytest

from fork_runs import FORKS, case, run_fork
from golden_runs import GOLDEN

RELATIVE = 5e-6     # of the largest value; sums of mean field inference 1e-5

# What differs on purpose, or by rounding: beginnings of keys, by case
EXCEPT = {
    # the forks take the values that a later layer in place has left
    "segnet_bn_inplace_inference": ("param/c_bn/0/diff",),
    "segnet_caffemodel_segnet": ("param/conv1_bn/0/diff", "param/conv2_bn/0/diff"),
    "deconvnet_caffemodel_deconvnet": ("param/conv1_1_bn/0/diff",),
    # maxima that are equal but for the last bit, in the padding: gradients inside of the trunk
    "torr_crop_auto_fcn8s": tuple(f"blob/{name}" for name in ("pool", "conv3", "conv4")),
}


def test_there_are_recordings():
    assert FORKS, f"no recordings in {GOLDEN}/forks"


@pytest.mark.parametrize("path", FORKS, ids=case)
def test_recording(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    allowed = 1e-5 if "meanfield" in path.stem else RELATIVE
    for key, actual, expected in run_fork(path, tmp_path):
        if path.stem == "pspnet_densecrf_3c_two_images":    # it takes image 0 for both
            actual, expected = actual[:1], expected[:1]
        if key.startswith(tuple(EXCEPT.get(path.stem, ()))):
            continue
        if actual.size != expected.size:
            wrong.append(f"{key}: shape {actual.shape}, expected {expected.shape}")
            continue
        error = np.abs(actual - expected.reshape(actual.shape))
        largest = np.abs(expected).max(initial=0)
        if not error.max(initial=0) <= allowed * max(largest, 1):
            wrong.append(f"{key}: off by up to {error.max():.3g}, values up to {largest:.3g}")
    assert not wrong, "\n".join(wrong)
