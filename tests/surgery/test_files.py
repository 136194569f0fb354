"""HDF5 weights: the round trip, and files that do not fit."""

import h5py
import numpy as np
import pytest

import caffe
import surgery
from surgery.files import WeightsFileError

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "a/conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "msra" } } }
"""


@pytest.fixture
def net(tmp_path):
    return build(tmp_path)


def build(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_round_trip(net, tmp_path):
    net.params["fc"][1].data[...] = [1, 2, 3, 4]
    surgery.save_hdf5(net, tmp_path / "w.h5")
    other = build(tmp_path)
    surgery.load_hdf5(other, tmp_path / "w.h5")
    for name, blobs in net.params.items():
        for mine, theirs in zip(other.params[name], blobs, strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["a/conv/0"].shape == (3, 2, 3, 3)


def test_layers_that_only_the_file_has_are_ignored(net, tmp_path):
    surgery.save_hdf5(net, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["extra/0"] = np.zeros(3)
    surgery.load_hdf5(net, tmp_path / "w.h5")


def _remove(file):
    del file["fc"]


def _misshape(file):
    del file["fc/1"]
    file["fc/1"] = np.zeros(9)


@pytest.mark.parametrize("damage, words", [
    (_remove, "w.h5: no parameter 0 of layer 'fc'"),
    (_misshape, r"w.h5: parameter 1 of layer 'fc'.*\(9,\).*\(4,\)")])
def test_a_file_that_does_not_fit_changes_nothing(net, tmp_path, damage, words):
    surgery.save_hdf5(net, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        damage(file)
    other = build(tmp_path)
    before = other.params["a/conv"][0].data.copy()
    with pytest.raises(WeightsFileError, match=words):
        surgery.load_hdf5(other, tmp_path / "w.h5")
    np.testing.assert_array_equal(other.params["a/conv"][0].data, before)


@pytest.mark.parametrize("content", [None, b"", b"no HDF5 at all"])
def test_a_file_that_cannot_be_read_is_named(net, tmp_path, content):
    if content is not None:
        (tmp_path / "w.h5").write_bytes(content)
    with pytest.raises(WeightsFileError, match="w.h5: not a readable HDF5 file"):
        surgery.load_hdf5(net, tmp_path / "w.h5")


def test_a_failed_write_leaves_the_old_file(net, tmp_path, monkeypatch):
    surgery.save_hdf5(net, tmp_path / "w.h5")
    before = (tmp_path / "w.h5").read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")
    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="disk full"):
        surgery.save_hdf5(net, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
