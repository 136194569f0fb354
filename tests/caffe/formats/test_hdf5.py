"""HDF5 caffemodels and solverstates."""

import re

import h5py
import numpy as np
import pytest

from caffe.errors import WeightsError
from caffe.formats import hdf5

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


def layers(*names):
    """The text of a net of InnerProduct layers one above the other."""
    blobs = ["x", *(f"y{i}" for i in range(len(names)))]
    return TEXT.partition('layer { name: "in/a"')[0] + "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }\n'
        for name, bottom, top in zip(names, blobs, blobs[1:]))


@pytest.mark.parametrize("names, blamed", [
    (["."], "'.'"), (["/x/"], "'/x/'"), (["a//b"], "'a//b'"), (["x", "./x"], "'./x'"),
    ([""], "''"), (["a/"], "'a/'"), (["a", "a/0"], "'a' and 'a/0'"),
    (["a/1/b", "a"], "'a' and 'a/1/b'")])
def test_names_that_hdf5_cannot_keep(net, tmp_path, names, blamed):
    path = tmp_path / "some.caffemodel.h5"
    with pytest.raises(WeightsError, match=f"some.caffemodel.h5: .*{re.escape(blamed)}.*binary"):
        net(layers(*names)).save_hdf5(str(path))
    assert not path.exists()


def test_every_other_name_comes_back(net, tmp_path):
    path = str(tmp_path / "some.caffemodel.h5")
    names = ["..", "a.b", "0", "a/b/c", "a/b", " ", "é"]
    first, second = net(layers(*names)), net(layers(*names))
    first.save_hdf5(path)
    second.load_hdf5(path)
    for name in names:
        for mine, theirs in zip(first.params[name], second.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_a_slash_is_warned_of(net, tmp_path, capsys, log_as_it_is):
    path = str(tmp_path / "some.caffemodel.h5")
    net(layers("conv", "in/a", "in/b")).save_hdf5(path)
    line, = (line for line in capsys.readouterr().err.splitlines() if line.startswith("W"))
    assert "original Caffe does not read" in line and "2 of them, such as 'in/a'" in line
    net(layers("conv")).save_hdf5(path)
    assert "original Caffe" not in capsys.readouterr().err


def test_names_of_layers_without_parameters_do_not_matter(net, tmp_path):
    path = str(tmp_path / "some.caffemodel.h5")
    text = layers("fc") + "".join(
        f'layer {{ name: "{name}" type: "ReLU" bottom: "y0" top: "y0" }}\n'
        for name in ("", ".", "/x/", "fc/0", "a/b"))
    net(text).save_hdf5(path)
    assert [name for name, arrays in hdf5.read_caffemodel(path) if arrays] == ["fc"]


def test_a_parameter_shared_with_the_last_place(net, tmp_path):
    """The file has no `b/1`; the original reads it."""
    text = layers("a", "b").replace('top: "y', 'param { } param { name: "bias" } top: "y')
    path, first, second = str(tmp_path / "some.caffemodel.h5"), net(text), net(text)
    first.save_hdf5(path)
    with h5py.File(path) as file:
        assert list(file["data/b"]) == ["0"]
    second.load_hdf5(path)
    np.testing.assert_array_equal(second.params["b"][0].data, first.params["b"][0].data)


def test_missing_and_odd_datasets(net, tmp_path):
    path, made = str(tmp_path / "some.caffemodel.h5"), net(layers("a"))
    for change, complaint in [
            (lambda data: data["a"].pop("1"), "param 1 weights from layer 'a': it has no values"),
            (lambda data: data["a"].pop("0"), "param 0 weights from layer 'a': it has no values"),
            (lambda data: [data["a"].pop(i) for i in "01"], "param 0 .*'a': it has no values"),
            (lambda data: data["a"].create_dataset("2", (3,), "f4"),
             "has 3 parameters, in .* it has 2"),
            (lambda data: data.create_dataset("0", (3,), "f4"), "expected data/LAYER/NUMBER"),
            (lambda data: data["a"].create_dataset("w", (3,), "f4"), "expected data/LAYER/NUMBER"),
            (lambda data: (data["a"].pop("1"), data["a"].__setitem__("1", "text")), "no numbers")]:
        made.save_hdf5(path)
        with h5py.File(path, "r+") as file:
            change(file["data"])
        with pytest.raises(WeightsError, match=f"some.caffemodel.h5.*{complaint}"):
            made.load_hdf5(path)


def test_what_does_not_fit(net, tmp_path):
    path = str(tmp_path / "some.caffemodel.h5")
    net(TEXT).save_hdf5(path)
    unshared = net(TEXT.replace('param { name: "w" }', ""))
    with pytest.raises(WeightsError, match="param 0 weights from layer 'b': it has no values"):
        unshared.copy_from(path)
    narrow = net(TEXT.split("layer { name: \"b\"")[0].replace("num_output: 3", "num_output: 2"))
    with pytest.raises(WeightsError, match=r"'in/a'; .* the shape \(3, 3\), .* has \(2, 3\)"):
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
