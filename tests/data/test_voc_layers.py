"""The SBD and VOC layers find and decode their files."""

import numpy as np
import pytest
import scipy.io
from data_samples import labels, sequence
from seg_data import DataError

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


def test_voc_reads_the_split_of_the_experiments(net, voc):
    (voc / "ImageSets/Segmentation/seg11valid.txt").write_text("c\na\n")
    layer = net("voc_layers", "VOCSegDataLayer", voc_dir=str(voc), split="seg11valid")
    assert sequence(layer, 3) == [2, 0, 2]
