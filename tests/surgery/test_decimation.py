"""Taking taps and filters out of layers."""

import numpy as np
import pytest

import caffe
from fcn import surgery

DATA = """layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: {channels} dim: {side} dim: {side} }} }} }}
"""


def convolution(name, bottom, filters, kernel, hole=1, pad=0):
    return (f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
            f'convolution_param {{ num_output: {filters} kernel_size: {kernel} dilation: {hole} '
            f'pad: {pad} weight_filler {{ type: "gaussian" std: 1 }} '
            'bias_filler { type: "gaussian" std: 1 } } }\n')


def product(name, bottom, filters):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            f'inner_product_param {{ num_output: {filters} weight_filler {{ type: "gaussian" '
            'std: 1 } bias_filler { type: "gaussian" std: 1 } } }\n')


def build(tmp_path, *parts, channels=5, side=29):
    path = tmp_path / "net.prototxt"
    path.write_text(DATA.format(channels=channels, side=side) + "".join(parts))
    return caffe.Net(str(path), caffe.TEST)


@pytest.mark.parametrize("taps, hole", [((0, 3, 6), 12), ((0, 2, 4, 6), 8)])
def test_a_kernel_that_is_zero_elsewhere_is_that_of_its_taps_at_larger_holes(tmp_path, taps, hole):
    many = build(tmp_path, convolution("fc6", "data", 8, 7, hole=4, pad=12))
    few = build(tmp_path, convolution("fc6", "data", 8, len(taps), hole=hole, pad=12))
    kept = np.zeros((7, 7), bool)
    kept[np.ix_(taps, taps)] = True
    many.params["fc6"][0].data[:, :, ~kept] = 0
    surgery.decimate(few, "fc6", many, "fc6")
    image = np.random.default_rng(1).normal(size=(1, 5, 29, 29)).astype(np.float32)
    np.testing.assert_allclose(few.forward(data=image)["fc6"], many.forward(data=image)["fc6"],
                               rtol=1e-4, atol=1e-3)


def test_every_fourth_filter_is_kept_and_what_it_gives_is_the_same(tmp_path):
    """fc7 reads the filters of fc6 that stay; if the others count nothing, nothing changes."""
    old = build(tmp_path, product("fc6", "data", 16), product("fc7", "fc6", 16), side=7)
    new = build(tmp_path, convolution("fc6", "data", 4, 3, hole=3), convolution("fc7", "fc6", 4, 1),
                side=7)
    weights = old.params["fc6"][0].data.reshape(16, 5, 7, 7)
    zero = np.ones((7, 7), bool)
    zero[::3, ::3] = False
    weights[:, :, zero] = 0
    old.params["fc7"][0].data[:, np.arange(16) % 4 > 0] = 0
    steps = [surgery.decimate(new, "fc6", old, "fc6", side=7),
             surgery.decimate(new, "fc7", old, "fc7")]
    assert list(map(str, steps)) == ["decimated fc6 (16, 5, 7, 7) -> fc6 (4, 5, 3, 3)",
                                     "decimated fc7 (16, 16, 1, 1) -> fc7 (4, 4, 1, 1)"]
    image = np.random.default_rng(1).normal(size=(1, 5, 7, 7)).astype(np.float32)
    np.testing.assert_allclose(new.forward(data=image)["fc7"].reshape(4),
                               old.forward(data=image)["fc7"][0, ::4], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("part, side", [
    (convolution("fc6", "data", 20, 3), 7), (convolution("fc6", "data", 4, 3), 4),
    (product("fc6", "data", 4), 7)])
def test_what_does_not_decimate_is_refused_and_nothing_is_copied(tmp_path, part, side):
    old, new = (build(tmp_path, some, side=7) for some in (product("fc6", "data", 16), part))
    before = new.params["fc6"][0].data.copy()
    with pytest.raises(surgery.SurgeryError, match=rf"fc6 of shape \(16, 245\), seen at {side}×"
                                                   rf"{side}, does not decimate to fc6 of shape"):
        surgery.decimate(new, "fc6", old, "fc6", side=side)
    with pytest.raises(surgery.SurgeryError, match="no layer fc8"):
        surgery.decimate(new, "fc6", old, "fc8")
    np.testing.assert_array_equal(new.params["fc6"][0].data, before)


def test_a_classifier_fills_every_branch(tmp_path):
    old = build(tmp_path, convolution("conv", "data", 6, 1), product("fc6", "conv", 8),
                product("fc7", "fc6", 8), product("fc8", "fc7", 3), side=7)
    new = build(tmp_path, convolution("conv", "data", 6, 1),
                *(convolution("fc6" + name, "conv", 4, 3, hole) + convolution(
                    "fc7" + name, "fc6" + name, 4, 1) for name, hole in (("_1", 1), ("_2", 2))),
                side=9)
    report = surgery.decimate_classifier(new, old, ("_1", "_2"), 7)
    kinds = {}
    for step in report:
        kinds.setdefault(step.kind, []).append(step.name)
    assert kinds == {"copied": ["conv[0]", "conv[1]"], "dropped": ["fc8"],
                     "decimated": ["fc6", "fc6", "fc7", "fc7"]}
    for name in ("fc6", "fc7"):
        np.testing.assert_array_equal(new.params[name + "_1"][0].data,
                                      new.params[name + "_2"][0].data)
    np.testing.assert_array_equal(new.params["fc6_1"][1].data, old.params["fc6"][1].data[::2])
