"""The SBD and VOC layers find and decode their files."""

import numpy as np
import pytest
import scipy.io

from data_samples import labels, sequence
from segdata.errors import DataError
from segdata.palette import label_image

SBD = ("voc_layers", "SBDDSegDataLayer")


def test_sbd_reads_images_and_mat_labels(net, sbd):
    layer = net(*SBD, sbdd_dir=str(sbd), split="train", randomize=False, mean=(0, 0, 0))
    assert sequence(layer, 3) == [0, 1, 2]
    np.testing.assert_array_equal(layer.blobs["data"].data[0, 2], 2)      # red comes last
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], labels(2))


def test_published_param_str(net, sbd):
    """The notation of the published prototxts: escaped quotes, any order of keys."""
    layer = net.from_text(*SBD, repr({"sbdd_dir": str(sbd), "seed": 1337, "split": "train",
                                      "mean": (104.00699, 116.66877, 122.67892)}))
    assert set(sequence(layer, 12)) == {0, 1, 2}


@pytest.mark.parametrize("content", [b"", b"not a mat file", None])
def test_broken_mat(net, sbd, content):
    path = sbd / "cls" / "a.mat"
    if content is None:
        scipy.io.savemat(path, {"GTinst": 1})
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"label {path} cannot be read.*train.txt:1"):
        net(*SBD, sbdd_dir=str(sbd), split="train", randomize=False)


def test_sbd_reads_the_structure_of_the_release(net, sbd):
    boundaries = np.empty((20, 1), object)
    boundaries[:] = [[np.zeros((7, 9))]] * 20
    scipy.io.savemat(sbd / "cls/a.mat", {"GTcls": {
        "Boundaries": boundaries, "Segmentation": labels(20), "CategoriesPresent": [[20]]}})
    assert sequence(net(*SBD, sbdd_dir=str(sbd), split="train", randomize=False), 1) == [20]


def test_sbd_reads_converted_labels(net, sbd):
    (sbd / "cls/b.mat").unlink()
    label_image(labels(17)).save(sbd / "cls/b.png")
    layer = net(*SBD, sbdd_dir=str(sbd), split="train", randomize=False)
    assert sequence(layer, 3) == [0, 17, 2]


@pytest.mark.parametrize("value, said", [
    (np.nan, "63 values are no integers, the first is nan"), (2.5, "the first is 2.5")])
def test_labels_that_are_no_integers(net, sbd, value, said):
    scipy.io.savemat(sbd / "cls/a.mat", {"GTcls": {"Segmentation": np.full((7, 9), value)}})
    with pytest.raises(DataError, match=f"a.mat cannot be read: ValueError: .*{said}"):
        net(*SBD, sbdd_dir=str(sbd), split="train", randomize=False)


def test_floating_point_labels_with_whole_values(net, sbd):
    whole = np.full((7, 9), 3.0)
    whole[0] = 255
    scipy.io.savemat(sbd / "cls/a.mat", {"GTcls": {"Segmentation": whole}})
    layer = net(*SBD, sbdd_dir=str(sbd), split="train", randomize=False)
    sequence(layer, 1)
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], whole)


def test_voc_reads_the_split_of_the_experiments(net, voc):
    (voc / "ImageSets/Segmentation/seg11valid.txt").write_text("c\na\n")
    layer = net("voc_layers", "VOCSegDataLayer", voc_dir=str(voc), split="seg11valid")
    assert sequence(layer, 3) == [2, 0, 2]


def test_augmented_voc_takes_voc_s_labels_and_sbd_s_where_voc_has_none(net, voc, sbd):
    for name in "ac":
        (voc / "SegmentationClass" / f"{name}.png").unlink()
    scipy.io.savemat(sbd / "cls/c.mat", {"GTcls": {"Segmentation": labels(7, 11)}})
    (sbd / "cls/d.mat").write_bytes(b"")      # VOC has its own
    (voc / "ImageSets/Segmentation/train_aug.txt").write_text("a\nb\nc\nd\n")
    layer = net("voc_layers", "AugmentedVOCSegDataLayer", voc_dir=str(voc), sbdd_dir=str(sbd),
                split="train_aug", randomize=False)
    assert sequence(layer, 4) == [0, 1, 7, 3]
    (sbd / "cls/c.mat").unlink()
    with pytest.raises(DataError, match=f"label {sbd / 'cls/c.mat'} does not exist, .*train_aug"):
        net("voc_layers", "AugmentedVOCSegDataLayer", voc_dir=str(voc), sbdd_dir=str(sbd),
            split="train_aug")
