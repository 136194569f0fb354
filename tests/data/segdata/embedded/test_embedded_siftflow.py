"""The embedded dataset with two label sets, in SIFT Flow's layout."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from segdata.embedded import siftflow as embedded_siftflow
from segdata.embedded.siftflow import CATEGORIES, HORIZONTAL, SEMANTIC, SKY, VERTICAL


@pytest.fixture(scope="module")
def scenes():
    return [embedded_siftflow.scene(np.random.default_rng((0, 0, index))) for index in range(20)]


def test_a_seed_gives_the_same_pixels_another_seed_others():
    first, again, other = (embedded_siftflow.scene(np.random.default_rng(seed))
                           for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other):
        np.testing.assert_array_equal(one, two)
        assert (one != three).any()


def test_every_class_of_both_sets_occurs_and_both_are_void_together(scenes):
    semantic, geometric = (np.stack([scene[kind] for scene in scenes]) for kind in (1, 2))
    assert list(np.unique(semantic)) == list(range(len(SEMANTIC) + 1))
    assert list(np.unique(geometric)) == [-1, SKY, HORIZONTAL, VERTICAL]
    np.testing.assert_array_equal(semantic == 0, geometric == -1)
    assert 0.05 < (semantic == 0).mean() < 0.25


def test_regions_have_their_geometry_and_shapes_have_any(scenes):
    semantic, geometric = (np.stack([scene[kind] for scene in scenes]) for kind in (1, 2))
    for name, value in (("sky", SKY), ("house", VERTICAL), ("ground", HORIZONTAL)):
        assert set(geometric[semantic == SEMANTIC.index(name) + 1]) == {value}
    for number in range(4, len(SEMANTIC) + 1):
        assert set(geometric[semantic == number]) >= {HORIZONTAL, VERTICAL}


def test_a_border_is_two_pixels_wide():
    region = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    np.testing.assert_array_equal(embedded_siftflow.border(region)[1], [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(embedded_siftflow.border(region.T)[:, 1], [0, 0, 1, 1, 0, 0])


def test_what_lies_is_brighter_than_what_stands(scenes):
    image, semantic, geometric = (np.stack([scene[kind] for scene in scenes]) for kind in range(3))
    shape = semantic > 3
    bright = {value: image[shape & (geometric == value)].mean()
              for value in (HORIZONTAL, VERTICAL)}
    assert bright[HORIZONTAL] > 1.2 * bright[VERTICAL]


def test_the_layout_and_the_classes_absent_from_the_test_set(tmp_path):
    embedded_siftflow.generate(tmp_path / "made", seed=1, train=3, test=12)
    root = tmp_path / "made" / "sift-flow"
    assert len((root / "trainval.txt").read_text().split()) == 3
    names = (root / "test.txt").read_text().split()
    labels = [[scipy.io.loadmat(root / folder / CATEGORIES / f"{name}.mat")["S"] for name in names]
              for folder in ("SemanticLabels", "GeoLabels")]
    present = [number for number, name in enumerate(SEMANTIC, 1)
               if name not in embedded_siftflow.ABSENT]
    assert list(np.unique(labels[0])) == [0, *present]
    assert np.min(labels[1]) == -1
    with Image.open(root / "Images" / CATEGORIES / f"{names[0]}.jpg") as image:
        assert image.format == "JPEG" and image.size == labels[0][0].shape


def test_the_data_layer_reads_it_unchanged(net, tmp_path):
    embedded_siftflow.generate(tmp_path / "made", seed=1, train=1, test=1)
    layer = net("siftflow_layers", "SIFTFlowSegDataLayer", ("data", "sem", "geo"),
                siftflow_dir=str(tmp_path / "made" / "sift-flow"), split="trainval")
    layer.forward()
    _, semantic, geometric = embedded_siftflow.scene(np.random.default_rng((1, 0, 0)))
    for top, label in (("sem", semantic), ("geo", np.maximum(geometric, 0))):
        np.testing.assert_array_equal(layer.blobs[top].data[0, 0], np.where(label, label - 1., 255))


def test_on_the_ground_discs_stand_round_or_lie_flat():
    """Both happen; what lies is FLATTENED times as high as wide."""
    seen = {}
    for seed in range(40):
        image, region = np.zeros((128, 128, 3)), np.full((128, 128), 3)
        semantic, geometric = np.zeros((128, 128)), np.zeros((128, 128))
        embedded_siftflow.put(np.random.default_rng(seed), image, semantic, geometric, region, 1)
        y, x = np.nonzero(semantic == SEMANTIC.index("disc") + 1)
        if 0 < x.min() and x.max() < 127 and 0 < y.min() and y.max() < 127:     # seen as a whole
            seen.setdefault(geometric[y[0], x[0]], []).append(np.ptp(y) / np.ptp(x))
    np.testing.assert_allclose(seen[VERTICAL], 1, atol=0.1)
    np.testing.assert_allclose(seen[HORIZONTAL], embedded_siftflow.FLATTENED, atol=0.1)
