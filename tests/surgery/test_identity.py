"""Layers that begin as the identity, in closed form."""

import numpy as np
import pytest

import caffe
from fcn import surgery

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 9 dim: 7 } } }
"""


def chain(tmp_path, *layers):
    """A net of convolutions (outputs, kernel, dilation), each with a ReLU, that keep the size."""
    text, below = NET, "data"
    for number, (outputs, kernel, dilation) in enumerate(layers):
        text += (f'layer {{ name: "c{number}" type: "Convolution" bottom: "{below}" '
                 f'top: "c{number}" convolution_param {{ num_output: {outputs} '
                 f'kernel_size: {kernel} dilation: {dilation} pad: {dilation * (kernel // 2)} '
                 'weight_filler { type: "msra" } bias_filler { type: "constant" value: 1 } } }\n'
                 f'layer {{ name: "r{number}" type: "ReLU" bottom: "c{number}" '
                 f'top: "c{number}" }}\n')
        below = f"c{number}"
    (tmp_path / "net.prototxt").write_text(text)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


@pytest.mark.parametrize("layers", [
    [(3, 3, 1), (3, 3, 2), (3, 3, 4), (3, 1, 1)],
    [(6, 3, 1), (6, 3, 1), (12, 3, 2), (24, 3, 4), (24, 3, 1), (3, 1, 1)], [(9, 5, 1), (3, 1, 1)]])
def test_what_is_above_0_comes_out_as_it_went_in(tmp_path, layers):
    net = chain(tmp_path, *layers)
    steps = surgery.identity(net, list(net.params), 3)
    assert [step.kind for step in steps] == ["identity"] * len(layers)
    data = np.random.default_rng(0).normal(size=net.blobs["data"].data.shape)
    net.blobs["data"].data[...] = data
    net.forward()
    for name in net.params:
        each = net.blobs[name].data.reshape(2, 3, -1, 9, 7)
        np.testing.assert_allclose(each, np.maximum(data, 0)[:, :, None].repeat(each.shape[2], 2),
                                   atol=1e-6)


def test_all_other_weights_are_noise(tmp_path):
    net = chain(tmp_path, (48, 3, 1), (48, 3, 2))
    surgery.identity(net, ["c1"], 3, std=0.01)
    weights = net.params["c1"][0].data
    same = np.arange(48)[:, None] // 16 == np.arange(48) // 16
    assert np.allclose(weights[same, 1, 1], 1 / 16)
    noise = np.delete(weights.reshape(48, 48, 9), 4, 2)
    assert noise.std() == pytest.approx(0.01, rel=0.05) and abs(noise.mean()) < 1e-3
    assert not net.params["c1"][1].data.any()
    again = weights.copy()
    surgery.identity(net, ["c1"], 3, std=0.01)
    np.testing.assert_array_equal(net.params["c1"][0].data, again)


@pytest.mark.parametrize("layers, name, words", [
    ([(4, 3, 1)], "c0", r"c0 of shape \(4, 3, 3, 3\) cannot begin as the identity of 3 groups"),
    ([(3, 2, 1)], "c0", r"\(3, 3, 2, 2\).*an odd kernel"),
    ([(3, 3, 1)], "c7", "no layer c7 with parameters in the net; there are c0")])
def test_layers_that_cannot(tmp_path, layers, name, words):
    net = chain(tmp_path, *layers)
    before = net.params["c0"][0].data.copy()
    with pytest.raises(surgery.SurgeryError, match=words):
        surgery.identity(net, [name], 3)
    np.testing.assert_array_equal(net.params["c0"][0].data, before)
