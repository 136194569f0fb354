"""Weights as safetensors."""

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import load_file, save_file

from caffe.errors import WeightsError
from caffe.export import load_safetensors, save_safetensors

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "in/a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "slope" type: "PReLU" bottom: "a" top: "a" prelu_param { channel_shared: true
        filler { type: "gaussian" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def test_round_trip(net, tmp_path):
    path = str(tmp_path / "w.safetensors")
    first, second = net(TEXT), net(TEXT)
    save_safetensors(first, path)
    assert set(load_file(path)) == {"in/a.0", "in/a.1", "slope.0", "b.1"}
    load_safetensors(second, path)
    for name, blobs in first.params.items():
        for mine, theirs in zip(blobs, second.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_layers_of_one_side_alone_are_left(net, tmp_path):
    path, made = str(tmp_path / "w.safetensors"), net(TEXT)
    save_file({"other.0": np.ones(2, np.float32), "b.1": np.arange(3, dtype=np.float32)}, path)
    before = made.params["in/a"][0].data.copy()
    load_safetensors(made, path)
    np.testing.assert_array_equal(made.params["b"][1].data, [0, 1, 2])
    np.testing.assert_array_equal(made.params["in/a"][0].data, before)


def test_files_with_nothing_for_the_net(net, tmp_path):
    path = str(tmp_path / "w.safetensors")
    for arrays in ({"b.weight": np.ones((3, 3), np.float32)}, {"other.0": np.ones(3, np.float32)}):
        save_file(arrays, path)
        with pytest.raises(WeightsError, match="w.safetensors: it has no parameter of a layer of"):
            load_safetensors(net(TEXT), path)


@pytest.mark.parametrize("kind", ["F16", "BF16", "F64", "I32"])
def test_other_types_of_numbers(net, tmp_path, kind):
    torch_kind = {"F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
                  "I32": torch.int32}[kind]
    path, made = str(tmp_path / "w.safetensors"), net(TEXT)
    safetensors.torch.save_file({"b.1": torch.tensor([1, -2, 3]).to(torch_kind)}, path)
    load_safetensors(made, path)
    assert made.params["b"][1].data.tolist() == [1, -2, 3]


def test_what_does_not_fit_changes_nothing(net, tmp_path):
    path = str(tmp_path / "w.safetensors")
    save_safetensors(net(TEXT), path)
    other = net(TEXT.replace('param { name: "w" }', ""))
    before = other.params["in/a"][0].data.copy()
    with pytest.raises(WeightsError, match=r"parameter 0 of layer 'b' is missing.*\(3, 3\)"):
        load_safetensors(other, path)
    np.testing.assert_array_equal(other.params["in/a"][0].data, before)
    save_file({"b.0": np.ones((3, 3), np.float32), "b.1": np.ones(3, np.float32),
               "b.2": np.ones(3, np.float32)}, path)
    with pytest.raises(WeightsError, match=r"parameter 2 of layer 'b' has.*\(3,\).*is missing"):
        load_safetensors(other, path)
    assert not other.params["b"][1].data.any()
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    for name in (path, path + "x"):
        with pytest.raises(WeightsError, match="cannot be read as safetensors"):
            load_safetensors(other, name)
