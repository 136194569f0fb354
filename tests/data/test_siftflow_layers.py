"""The SIFT Flow layer reads images and both labels."""

import numpy as np
import pytest
import scipy.io

from data_samples import picture
from segdata.errors import DataError

SIFTFLOW = ("siftflow_layers", "SIFTFlowSegDataLayer")
TOPS = ("data", "sem", "geo")
SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
NAME = "coast_arnat59"


@pytest.fixture
def siftflow(tmp_path):
    """One scene, 11x8: semantic labels 0 to 33, geometric labels -1 to 3, in MATLAB's types."""
    root = tmp_path / "siftflow"
    for folder in ("Images", "SemanticLabels", "GeoLabels"):
        (root / folder / SCENES).mkdir(parents=True)
    picture(3, 11, 8).save(root / "Images" / SCENES / f"{NAME}.jpg", "PNG")
    save(root, "SemanticLabels", (np.arange(88) % 34).reshape(8, 11).astype(np.uint8))
    save(root, "GeoLabels", (np.arange(88.) % 5 - 1).reshape(8, 11))
    for split in ("trainval", "test"):
        (root / f"{split}.txt").write_text(f"{NAME}\n")
    return root


def save(root, folder, values):
    names = np.array([["sky"], ["sea"]], object)
    scipy.io.savemat(root / folder / SCENES / f"{NAME}.mat", {"S": values, "names": names})


def test_classes_start_at_0_and_what_has_none_is_void(net, siftflow):
    layer = net(*SIFTFLOW, TOPS, siftflow_dir=str(siftflow), split="test")
    layer.forward()
    stored = np.arange(88).reshape(8, 11)
    sem, geo = stored % 34 - 1, stored % 5 - 2
    np.testing.assert_array_equal(layer.blobs["sem"].data, np.where(sem < 0, 255, sem)[None, None])
    np.testing.assert_array_equal(layer.blobs["geo"].data, np.where(geo < 0, 255, geo)[None, None])


def test_images_are_bgr_minus_the_mean_of_the_data_set(net, siftflow):
    layer = net(*SIFTFLOW, TOPS, siftflow_dir=str(siftflow), split="trainval", seed=1337)
    layer.forward()
    bgr = np.float32(picture(3, 11, 8))[..., ::-1] - np.float32([114.578, 115.294, 108.353])
    np.testing.assert_array_equal(layer.blobs["data"].data[0], bgr.transpose(2, 0, 1))


def test_jitter_moves_both_labels(net, siftflow):
    save(siftflow, "GeoLabels", np.full((8, 11), 2.))
    save(siftflow, "SemanticLabels", np.full((8, 11), 5.))
    layer = net(*SIFTFLOW, TOPS, siftflow_dir=str(siftflow), split="trainval", seed=2, jitter=4)
    for _ in range(4):
        layer.forward()
        outside = layer.blobs["geo"].data == 255
        assert outside.any()
        np.testing.assert_array_equal(outside, layer.blobs["sem"].data == 255)
        assert not layer.blobs["data"].data[np.repeat(outside, 3, axis=1)].any()


@pytest.mark.parametrize("folder, wrong, largest", [("SemanticLabels", 33, 32),
                                                    ("GeoLabels", 3, 2)])
def test_every_label_has_its_own_bound(net, siftflow, folder, wrong, largest):
    save(siftflow, folder, np.full((8, 11), wrong + 1.))
    with pytest.raises(DataError, match=rf"{folder}/.*{NAME}.mat has values {wrong}, allowed are 0 "
                                        rf"to {largest} and 255, .*test.txt:1"):
        net(*SIFTFLOW, TOPS, siftflow_dir=str(siftflow), split="test")


def test_missing_variable_is_named(net, siftflow):
    scipy.io.savemat(siftflow / "GeoLabels" / SCENES / f"{NAME}.mat", {"labels": np.zeros((8, 11))})
    with pytest.raises(DataError, match="GeoLabels.*it has no variable 'S', only labels"):
        net(*SIFTFLOW, TOPS, siftflow_dir=str(siftflow), split="test")


def test_mean_is_no_key(net, siftflow):
    with pytest.raises(DataError, match="unknown key 'mean'; allowed are siftflow_dir, split, "):
        net(*SIFTFLOW, TOPS, siftflow_dir=str(siftflow), split="test", mean=(1, 2, 3))
