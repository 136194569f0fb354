"""Instances of a real image: the nuclei that come with the package stardist, if it is installed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from segdata.instances import load_instances, parted
from segdata.weight_map import write_weight_maps


@pytest.fixture(scope="module")
def mask():
    spec = importlib.util.find_spec("stardist")     # not imported: that would load TensorFlow
    if spec is None or spec.origin is None:
        pytest.skip("the package stardist, which has an image of nuclei, is not installed")
    path = Path(spec.origin).parent / "data/images/mask2d.tif"
    if not path.is_file():
        pytest.skip(f"this version of stardist has no {path}")
    return path


def test_nuclei_become_weights(mask, tmp_path):
    (tmp_path / "nuclei").mkdir()
    (tmp_path / "nuclei/mask2d.tif").write_bytes(mask.read_bytes())
    instances = load_instances(mask)
    (path,) = write_weight_maps(tmp_path / "nuclei", tmp_path / "weights")
    weights = np.load(path)
    assert weights.shape == instances.shape and weights.dtype == np.float32
    assert np.isfinite(weights).all() and weights.min() > 0
    left = parted(instances)
    numbers = np.unique(instances)
    np.testing.assert_array_equal(np.unique(left), numbers)     # no nucleus is lost
    assert len(numbers) - 1 > 100
    assert weights.max() > 10       # between nuclei that touch
