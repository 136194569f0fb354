"""HDF5 caffemodels and solverstates."""

import h5py
import numpy as np
import pytest

from caffe.formats import hdf5
from caffe.errors import WeightsError

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "in/a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def test_round_trip(net, tmp_path):
    """A slash in a name makes nested groups; a shared parameter stands with its owner alone."""
    path = str(tmp_path / "some.caffemodel.h5")
    first, second = net(TEXT), net(TEXT)
    first.save_hdf5(path)
    with h5py.File(path) as file:
        assert set(file["data/in/a"]) == {"0", "1"} and set(file["data/b"]) == {"1"}
    for read in (second.load_hdf5, second.copy_from):
        second.params["in/a"][0].data[...] = 0
        read(path)
        for name, blobs in first.params.items():
            for mine, theirs in zip(blobs, second.params[name]):
                np.testing.assert_array_equal(mine.data, theirs.data)


def test_what_does_not_fit(net, tmp_path):
    path = str(tmp_path / "some.caffemodel.h5")
    net(TEXT).save_hdf5(path)
    unshared = net(TEXT.replace('param { name: "w" }', ""))
    with pytest.raises(WeightsError, match="parameter 0 of layer 'b' has no values"):
        unshared.copy_from(path)
    narrow = net(TEXT.split("layer { name: \"b\"")[0].replace("num_output: 3", "num_output: 2"))
    with pytest.raises(WeightsError, match=r"'in/a' has the shape \(3, 3\), .* has \(2, 3\)"):
        narrow.copy_from(path)


def test_damaged_files(tmp_path):
    path = tmp_path / "some.h5"
    with pytest.raises(WeightsError, match="some.h5: no such file"):
        hdf5.read_caffemodel(str(path))
    path.write_bytes(b"nonsense")
    for read in (hdf5.read_caffemodel, hdf5.read_solverstate):
        with pytest.raises(WeightsError, match="some.h5: not a "):
            read(str(path))
    with h5py.File(path, "w") as file:
        file["other"] = 1
    for read in (hdf5.read_caffemodel, hdf5.read_solverstate):
        with pytest.raises(WeightsError, match="some.h5: not a "):
            read(str(path))
