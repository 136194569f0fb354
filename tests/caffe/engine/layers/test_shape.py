"""The layers that move values."""

import numpy as np
import pytest

from caffe.errors import LayerError
from layer_checks import IMAGE, X, Z, backward, check_gradient, check_refused, normal, output

SMOOTH = {
    "crop": ('type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param { axis: -2 offset: 1 '
             'offset: 2 }', {"x": (2, 3, 4, 5), "r": (1, 1, 2, 3)}),
    "concat": ('type: "Concat" bottom: "x" bottom: "z" top: "y" concat_param { axis: -1 }',
               {"x": (2, 3), "z": (2, 4)}),
    "reshape": ('type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: [-1, 2] } }',
                {"x": (3, 4)}),
    "flatten": ('type: "Flatten" bottom: "x" top: "y"', {"x": (2, 3, 4)}),
    "tile": (f'type: "Tile" {X} tile_param {{ axis: -2 tiles: 3 }}', {"x": (2, 3, 2)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


@pytest.mark.parametrize("param, window", [
    ("", np.s_[:, :, :2, :3]),
    ("offset: 1", np.s_[:, :, 1:3, 1:4]),
    ("offset: [2, 0]", np.s_[:, :, 2:4, :3]),
    ("axis: 3 offset: 2", np.s_[:, :, :, 2:5]),
    ("axis: 1 offset: [2, 1, 0]", np.s_[:, 2:3, 1:3, :3]),
])
def test_crop(build, param, window):
    x = normal(2, 3, 4, 5)
    net = build(f'type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param {{ {param} }}',
                x=x, r=normal(1, 1, 2, 3))
    y = output(net)
    np.testing.assert_array_equal(y, x[window])
    diffs = backward(net, y=1 + y)
    inside = np.zeros_like(x)
    inside[window] = 1 + y
    np.testing.assert_array_equal(diffs["x"], inside)
    assert not diffs["r"].any()


def test_what_crop_is_cut_to_may_have_further_axes(build):
    x = normal(2, 3)
    net = build('type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param { axis: 1 offset: 1 }',
                x=x, r=normal(2, 2, 5))
    np.testing.assert_array_equal(output(net), x[:, 1:])
    assert backward(net, y=1)["r"].shape == (2, 2, 5)


@pytest.mark.parametrize("param, axis", [("", 1), ("axis: 2", 2), ("concat_dim: 0", 0)])
def test_slice_undoes_concat(build, param, axis):
    parts = np.split(normal(4, 6, 8), 2, axis)
    whole = output(build(f'type: "Concat" bottom: "x" bottom: "z" top: "y" concat_param {{ {param} '
                         '}', x=parts[0], z=parts[1]))
    np.testing.assert_array_equal(whole, normal(4, 6, 8))
    net = build('type: "Slice" bottom: "x" top: "y" top: "z" slice_param { '
                f'{param.replace("concat", "slice")} }}', x=whole)
    net.forward()
    for name, part in zip("yz", parts):
        np.testing.assert_array_equal(net.blobs[name].data, part)
    diffs = backward(net, y=parts[0], z=parts[1])
    np.testing.assert_array_equal(diffs["x"], whole)


def test_slice_points(build):
    net = build('type: "Slice" bottom: "x" top: "y" top: "z" top: "w" slice_param { '
                'slice_point: [1, 4] }', x=normal(2, 6))
    net.forward()
    for name, part in zip("yzw", np.split(normal(2, 6), [1, 4], 1)):
        np.testing.assert_array_equal(net.blobs[name].data, part)


@pytest.mark.parametrize("param, shape", [
    ("shape { dim: [0, -1] }", (2, 60)),
    ("shape { dim: [0, 5, 3, -1] }", (2, 5, 3, 4)),
    ("shape { dim: [-1] }", (120,)),
    ("shape { dim: [-1, 2] } axis: 1 num_axes: 2", (2, 6, 2, 5)),
    ("shape { dim: [-1, 0] } axis: 1 num_axes: 2", (2, 3, 4, 5)),
    ("shape { dim: [0, -1] } axis: -2", (2, 3, 4, 5, 1)),
    ("shape { dim: 1 } axis: 1 num_axes: 0", (2, 1, 3, 4, 5)),
    ("shape { dim: 1 } axis: -1", (2, 3, 4, 5, 1)),
])
def test_reshape(build, param, shape):
    x = normal(2, 3, 4, 5)
    y = output(build(f'type: "Reshape" bottom: "x" top: "y" reshape_param {{ {param} }}', x=x))
    np.testing.assert_array_equal(y, x.reshape(shape))


@pytest.mark.parametrize("param, shape", [("", (2, 60)), ("axis: 2", (2, 3, 20)),
                                          ("axis: 0 end_axis: -2", (24, 5)),
                                          ("axis: 1 end_axis: 1", (2, 3, 4, 5))])
def test_flatten(build, param, shape):
    y = output(build(f'type: "Flatten" bottom: "x" top: "y" flatten_param {{ {param} }}',
                     x=normal(2, 3, 4, 5)))
    np.testing.assert_array_equal(y, normal(2, 3, 4, 5).reshape(shape))


def test_split_adds_up_the_gradients(build):
    net = build('type: "Split" bottom: "x" top: "y" top: "z"', x=normal(2, 3))
    net.forward()
    np.testing.assert_array_equal(net.blobs["y"].data, normal(2, 3))
    np.testing.assert_array_equal(net.blobs["z"].data, normal(2, 3))
    diff = backward(net, y=normal(2, 3, seed=1), z=normal(2, 3, seed=2))["x"]
    np.testing.assert_allclose(diff, normal(2, 3, seed=1) + normal(2, 3, seed=2), rtol=1e-6)


def test_silence_leaves_no_output_and_no_gradient(build):
    net = build('type: "Silence" bottom: "x" bottom: "z"', x=normal(2, 3), z=normal(4))
    assert net.forward() == {}
    diffs = backward(net)
    assert not diffs["x"].any() and not diffs["z"].any()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_tile_repeats_the_whole_axis(build, axis):
    y = output(build(f'type: "Tile" {X} tile_param {{ axis: {axis} tiles: 3 }}',
                     x=normal(2, 3, 4)))
    np.testing.assert_array_equal(y, np.concatenate([normal(2, 3, 4)] * 3, axis))


FILTER = 'type: "Filter" bottom: "x" bottom: "z" bottom: "s" top: "y" top: "w"'


def test_filter_has_all_items_until_it_has_seen_its_selector(build):
    net = build(FILTER, x=normal(4, 2), z=normal(4), s=[[0], [1], [-2], [0]])
    assert (net.blobs["y"].shape, net.blobs["w"].shape) == ((4, 2), (4,))
    np.testing.assert_array_equal(output(net), normal(4, 2)[1:3])
    np.testing.assert_array_equal(net.blobs["w"].data, normal(4)[1:3])
    diffs = backward(net, y=[[1, 2], [3, 4]], w=[5, 6])
    np.testing.assert_array_equal(diffs["x"], [[0, 0], [1, 2], [3, 4], [0, 0]])
    np.testing.assert_array_equal(diffs["z"], [0, 5, 6, 0])


def test_filter_follows_its_selector_down_to_nothing(build):
    net = build(FILTER, x=normal(3, 2), z=normal(3, 1), s=[1, 1, 1])
    for selector in ([1, 1, 1], [0, 0, 0], [0, 1, 0]):
        net.blobs["s"].data[...] = selector
        np.testing.assert_array_equal(output(net), normal(3, 2)[np.array(selector) == 1])
        diff = backward(net, y=1, w=1)["x"]
        np.testing.assert_array_equal(diff, np.repeat(np.array(selector)[:, None], 2, 1))


def test_batch_reindex_adds_up_the_gradients_of_repeated_items(build):
    net = build('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', x=normal(3, 2),
                i=[2, 0, 2, 2])
    np.testing.assert_array_equal(output(net), normal(3, 2)[[2, 0, 2, 2]])
    diff = backward(net, y=[[1, 1], [2, 3], [10, 20], [100, 200]])["x"]
    np.testing.assert_array_equal(diff, [[2, 3], [0, 0], [111, 221]])


def test_batch_reindex_of_nothing(build):
    net = build('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', x=normal(3, 2), i=[])
    assert output(net).shape == (0, 2)
    assert not backward(net)["x"].any()


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_that_is_no_item(build, index):
    net = build('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"', x=normal(3, 2),
                i=[0, index])
    with pytest.raises(LayerError, match=rf"'layer'.*index {index} .*3 items"):
        net.forward()


@pytest.mark.parametrize("layer", ['type: "Concat" bottom: "x" top: "y"',
                                   'type: "Slice" bottom: "x" top: "y"'])
def test_of_one_blob_there_is_nothing_to_join_or_cut(build, layer):
    net = build(layer, x=normal(2, 3))
    np.testing.assert_array_equal(output(net), normal(2, 3))
    np.testing.assert_array_equal(backward(net, y=normal(2, 3))["x"], normal(2, 3))


REFUSED = {
    "crop": (f'type: "Crop" {Z} crop_param {{ offset: 3 }}', {**IMAGE, "z": (1, 3, 2, 4)},
             ["(2, 4)", "(3, 3)", "(5, 6)"]),
    "crop offsets": (f'type: "Crop" {Z} crop_param {{ offset: [1, 1, 1] }}',
                     {**IMAGE, "z": (1, 3, 2, 2)}, ["1 or 2 offsets", "got 3"]),
    "crop axes": (f'type: "Crop" {Z}', {**IMAGE, "z": (3, 5, 6)}, ["(1, 3, 5, 6)", "(3, 5, 6)"]),
    "concat": (f'type: "Concat" {Z}', {"x": (2, 3, 4), "z": (2, 3, 5)}, ["(2, 3, 4)", "(2, 3, 5)"]),
    "concat twice": (f'type: "Concat" {Z} concat_param {{ axis: 1 concat_dim: 1 }}',
                     {"x": (2, 3), "z": (2, 3)}, ["concat_dim", "axis"]),
    "slice": ('type: "Slice" bottom: "x" top: "y" top: "z"', {"x": (2, 3)}, ["size 3", "2 equal"]),
    "slice points": ('type: "Slice" bottom: "x" top: "y" top: "z" slice_param { slice_point: 3 }',
                     {"x": (2, 3)}, ["slice_point", "[3]"]),
    "slice count": ('type: "Slice" bottom: "x" top: "y" top: "z" slice_param { '
                    'slice_point: [1, 2] }', {"x": (2, 3)}, ["1 slice_point", "got 2"]),
    "reshape": (f'type: "Reshape" {X} reshape_param {{ shape {{ dim: [4, -1] }} }}',
                {"x": (3, 5)}, ["15", "[4, -1]"]),
    "reshape copies": (f'type: "Reshape" {X} reshape_param {{ shape {{ dim: [3, 5, 0] }} }}',
                       {"x": (3, 5)}, ["[3, 5, 0]"]),
    "flatten": (f'type: "Flatten" {X} flatten_param {{ axis: 1 end_axis: 0 }}', {"x": (3, 5)},
                ["end_axis"]),
    "no tiles": (f'type: "Tile" {X}', {"x": (3, 5)}, ["tiles", "0"]),
    "selector": ('type: "Filter" bottom: "x" bottom: "s" top: "y"', {"x": (3, 5), "s": (3, 2)},
                 ["(3, 2)", "(3, 5)"]),
    "items": ('type: "Filter" bottom: "x" bottom: "s" top: "y"', {"x": (3, 5), "s": (4,)},
              ["(4,)", "(3, 5)"]),
    "filtered": ('type: "Filter" bottom: "x" bottom: "s" top: "y" top: "z"',
                 {"x": (3, 5), "s": (3,)}, ["1", "got 2"]),
    "reindex": ('type: "BatchReindex" bottom: "x" bottom: "i" top: "y"',
                {"x": (3, 5), "i": (3, 1)}, ["1 axis", "(3, 1)"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)
