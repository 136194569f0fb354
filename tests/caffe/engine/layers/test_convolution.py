"""Convolution and Deconvolution: sums of products over a sliding window."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from caffe.engine.layers import convolution
from caffe.errors import LayerError
from layer_checks import IMAGE, X, Z, backward, check_gradient, check_refused, normal, output

SMOOTH = {
    "conv": ('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 4 '
             'kernel_size: 3 pad: 2 stride: 2 group: 2 weight_filler { type: "xavier" } }',
             {"x": (2, 4, 5, 6)}),
    "conv dilated": ('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 '
                     'kernel_h: 3 kernel_w: 2 dilation: 2 weight_filler { type: "xavier" } }',
                     {"x": (1, 3, 6, 5)}),
    "conv 1-D": ('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 '
                 'kernel_size: 3 weight_filler { type: "xavier" } }', {"x": (2, 3, 8)}),
    "conv 3-D": ('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 '
                 'kernel_size: [2, 3, 1] axis: -4 weight_filler { type: "xavier" } }',
                 {"x": (2, 2, 3, 3, 2)}),
    "conv axis 0": ('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 '
                    'axis: 0 kernel_size: 2 weight_filler { type: "xavier" } }', {"x": (3, 4, 5)}),
    "conv axis 2": ('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 '
                    'axis: 2 kernel_size: 2 weight_filler { type: "xavier" } }',
                    {"x": (2, 3, 2, 3, 3)}),
    "deconv": ('type: "Deconvolution" bottom: "x" top: "y" convolution_param { num_output: 6 '
               'kernel_size: 4 stride: 2 pad: 1 group: 2 weight_filler { type: "xavier" } }',
               {"x": (2, 4, 3, 4)}),
    "conv 0-D": (f'type: "Convolution" {X} convolution_param {{ num_output: 4 group: 2 axis: -1 '
                 'weight_filler { type: "xavier" } }', {"x": (2, 3, 4)}),
    "im2col": (f'type: "Im2col" {X} convolution_param {{ kernel_h: 3 kernel_w: 2 pad: 1 '
               'stride: 2 dilation: 2 }', {"x": (2, 3, 6, 5)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


FEW_PLACES = ["kernel_size: 3", "kernel_size: 3 pad: 2 stride: 3", "kernel_h: 2 kernel_w: 4",
              "kernel_size: 2 dilation: 2 pad: 1", "kernel_size: 1 stride: 2",
              "kernel_size: 3 bias_term: false"]


@pytest.mark.parametrize("geometry", FEW_PLACES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_kernel_larger_than_its_windows_is_one_matrix_product(build, geometry, batch):
    net = build('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 99 '
                f'{geometry} weight_filler {{ type: "xavier" }} }}', x=normal(batch, 4, 5, 6))
    layer, x = net.layer_dict["layer"], torch.from_numpy(net.blobs["x"].data)
    for blob in layer.blobs:
        blob.data[...] = normal(*blob.shape, seed=3)
    assert layer._few_places(x)
    found = output(net).copy()
    net.blobs["y"].diff[...] = normal(*found.shape, seed=4)
    net.clear_param_diffs()
    net.backward()
    gradient = net.blobs["x"].diff_tensor       # holds no memory of the size of all windows
    assert gradient.untyped_storage().nbytes() == gradient.nbytes
    leaves = [t.clone().requires_grad_() for t in (x, *(blob.data_tensor for blob in layer.blobs))]
    expected = F.conv2d(leaves[0], leaves[1], *leaves[2:], stride=layer.stride, padding=layer.pad,
                        dilation=layer.dilation)
    expected.backward(net.blobs["y"].diff_tensor)
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-4, atol=1e-5)
    for blob, leaf in zip((net.blobs["x"], *layer.blobs), leaves):
        np.testing.assert_allclose(blob.diff, leaf.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("diagonal", [True, False])
def test_fixed_deconvolutions_of_each_channel_for_itself(net, monkeypatch, diagonal):
    groups = []
    deconvolve = F.conv_transpose2d
    monkeypatch.setattr(F, "conv_transpose2d", lambda *given: groups.append(given[6]) or deconvolve(
        *given))
    made = net("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "score" type: "Convolution" bottom: "x" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "up" type: "Deconvolution" bottom: "score" top: "y" param { lr_mult: 0 }
  loss_weight: 1
  param { lr_mult: 0 } convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 } }""")
    weight = made.params["up"][0].data
    weight[np.arange(3), np.arange(3)] = normal(3, 4, 4, seed=1)
    if not diagonal:
        weight[0, 2, 1, 1] = 2
    made.params["up"][1].data[...] = 1, 2, 3
    made.blobs["x"].data[...] = normal(2, 3, 4, 5)
    made.forward()
    assert groups[0] == (3 if diagonal else 1)
    made.blobs["y"].diff[...] = normal(*made.blobs["y"].shape, seed=2)
    made.backward()
    leaf = torch.from_numpy(made.blobs["score"].data).requires_grad_()
    expected = deconvolve(leaf, torch.from_numpy(weight), torch.tensor([1.0, 2, 3]),
                          stride=2, padding=1)
    expected.backward(made.blobs["y"].diff_tensor)
    np.testing.assert_allclose(made.blobs["y"].data, expected.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made.blobs["score"].diff, leaf.grad, rtol=1e-5, atol=1e-6)


GEOMETRIES = ["kernel_size: 3", "kernel_size: 3 stride: 2 pad: 1", "kernel_h: 1 kernel_w: 3",
              "kernel_size: 2 dilation: 2", "kernel_size: 3 stride: [2, 1] pad: [0, 2] group: 2"]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_deconvolution_is_the_adjoint_of_convolution(build, geometry):
    param = f"convolution_param {{ bias_term: false {geometry} num_output:"
    x = normal(1, 4, 7, 9)
    conv = build(f'type: "Convolution" bottom: "x" top: "y" {param} 6 }}', x=x)
    kernel = conv.params["layer"][0].data
    kernel[...] = normal(*kernel.shape, seed=1)
    conv_y = output(conv)
    y = normal(*conv_y.shape, seed=2)
    deconv = build(f'type: "Deconvolution" bottom: "x" top: "y" {param} 4 }}', x=y)
    assert deconv.params["layer"][0].shape == kernel.shape
    deconv.params["layer"][0].data[...] = kernel
    deconv_x = output(deconv)
    assert deconv_x.shape == x.shape
    assert (conv_y * y).sum() == pytest.approx((x * deconv_x).sum(), rel=1e-4)


@pytest.mark.parametrize("geometry, touches", [
    ("kernel_size: 2 stride: 2", True), ("kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 3", True),
    ("kernel_size: 2 stride: 2 bias_term: false", True), ("kernel_size: 1", True),
    ("kernel_size: 3 stride: 2", False), ("kernel_size: 2 stride: 2 pad: 1", False),
    ("kernel_size: 2 stride: 2 dilation: 2", False), ("kernel_size: 2 stride: 2 group: 2", False)])
@pytest.mark.parametrize("batch, channels", [(1, 2), (3, 4)])
def test_deconvolution_of_windows_that_touch(monkeypatch, build, batch, channels, geometry,
                                             touches):
    monkeypatch.setattr(convolution, "LEAST", 0)
    net = build(f'type: "Deconvolution" {X} convolution_param {{ num_output: 6 {geometry} }}',
                x=normal(batch, channels, 3, 5))
    layer, x = net.layer_dict["layer"], torch.from_numpy(net.blobs["x"].data)
    for blob in layer.blobs:
        blob.data[...] = normal(*blob.shape, seed=3)
    found = output(net)
    assert layer._touches(x) == touches
    net.blobs["y"].diff[...] = normal(*found.shape, seed=4)
    net.backward()
    given = [torch.from_numpy(blob.data).requires_grad_()
             for blob in (net.blobs["x"], *layer.blobs)]
    expected = F.conv_transpose2d(*given, stride=layer.stride, padding=layer.pad,
                                  dilation=layer.dilation, groups=layer.group)
    expected.backward(torch.from_numpy(net.blobs["y"].diff))
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-5, atol=1e-5)
    for blob, value in zip((net.blobs["x"], *layer.blobs), given):
        np.testing.assert_allclose(blob.diff, value.grad, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(convolution, "LEAST", x.numel() * layer.blobs[0].count // channels + 1)
    assert not layer._touches(x)


@pytest.mark.parametrize("n, kernel, stride, pad", [(16, 64, 32, 0), (5, 4, 2, 0), (5, 4, 2, 1)])
def test_deconvolution_size(build, n, kernel, stride, pad):
    net = build('type: "Deconvolution" bottom: "x" top: "y" convolution_param { num_output: 1 '
                f'kernel_size: {kernel} stride: {stride} pad: {pad} }}', x=normal(1, 1, n, n + 1))
    assert net.blobs["y"].shape == (1, 1, stride * (n - 1) + kernel - 2 * pad,
                                    stride * n + kernel - 2 * pad)


def test_convolution_is_a_sum_of_products(build):
    net = build('type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 2 '
                'kernel_size: 2 bias_filler { value: 3 } weight_filler { value: 1 } }',
                x=np.arange(12).reshape(1, 1, 3, 4))
    np.testing.assert_array_equal(output(net), [[[[13, 17, 21], [29, 33, 37]]] * 2])


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_several_bottoms_share_the_weights(build, kind):
    param = ('convolution_param { num_output: 2 kernel_size: 3 weight_filler { '
             'type: "gaussian" std: 1 } }')
    x, z = normal(1, 3, 5, 5), normal(1, 3, 5, 5, seed=1)
    both = build(f'type: "{kind}" bottom: "x" bottom: "z" top: "y" top: "v" {param}', x=x, z=z)
    assert len(both.params["layer"]) == 2
    tops = output(both), output(both, "v")
    diffs = normal(*tops[0].shape, seed=2), normal(*tops[0].shape, seed=3)
    backward(both, y=diffs[0], v=diffs[1])
    alone = build(f'type: "{kind}" bottom: "x" top: "y" {param}', x=np.concatenate([x, z]))
    alone.params["layer"][0].data[...] = both.params["layer"][0].data
    np.testing.assert_allclose(output(alone), np.concatenate(tops), rtol=1e-5, atol=1e-5)
    backward(alone, y=np.concatenate(diffs))
    for one, other in zip(alone.params["layer"], both.params["layer"]):
        np.testing.assert_allclose(one.diff, other.diff, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_groups_are_separate_convolutions(build, kind):
    x = normal(2, 4, 5, 6)
    param = "convolution_param { kernel_size: 3 bias_term: false"
    net = build(f'type: "{kind}" bottom: "x" top: "y" {param} num_output: 6 group: 2 }}', x=x)
    kernel = net.params["layer"][0].data
    kernel[...] = normal(*kernel.shape, seed=1)
    parts = []
    for channels, planes in zip(np.split(x, 2, 1), np.split(kernel, 2)):
        part = build(f'type: "{kind}" bottom: "x" top: "y" {param} num_output: 3 }}', x=channels)
        part.params["layer"][0].data[...] = planes
        parts.append(output(part))
    np.testing.assert_allclose(output(net), np.concatenate(parts, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_without_spatial_axes_it_is_a_matrix(build, kind):
    net = build(f'type: "{kind}" {X} convolution_param {{ num_output: 2 axis: 2 bias_filler {{ '
                'value: 1 } weight_filler { type: "xavier" } }', x=normal(2, 3, 4))
    weight = net.params["layer"][0].data
    assert weight.shape == ((2, 4) if kind == "Convolution" else (4, 2))
    matrix = weight if kind == "Convolution" else weight.T
    np.testing.assert_allclose(output(net), normal(2, 3, 4) @ matrix.T + 1, rtol=1e-5, atol=1e-6)


def test_im2col_lists_each_window_by_channel_row_and_column(build):
    net = build(f'type: "Im2col" {X} convolution_param {{ kernel_size: 2 }}',
                x=np.arange(12).reshape(1, 2, 2, 3))
    expected = [[0, 1], [1, 2], [3, 4], [4, 5], [6, 7], [7, 8], [9, 10], [10, 11]]
    np.testing.assert_array_equal(output(net), np.reshape(expected, (1, 8, 1, 2)))
    np.testing.assert_array_equal(backward(net, y=1)["x"][0], [[[1, 2, 1]] * 2] * 2)


@pytest.mark.parametrize("geometry, shape", [
    *((geometry, (2, 4, 7, 9)) for geometry in GEOMETRIES if "group" not in geometry),
    ("kernel_size: [2, 1, 3] stride: [1, 2, 1] pad: 1", (2, 2, 4, 3, 5)),
    ("kernel_size: 3 pad: 2 stride: 2", (2, 3, 6)), ("axis: 0 kernel_size: 2", (3, 4, 5))])
def test_convolution_is_a_product_with_im2col(build, geometry, shape):
    x = normal(*shape)
    columns = output(build(f'type: "Im2col" {X} convolution_param {{ {geometry} }}', x=x))
    net = build(f'type: "Convolution" {X} convolution_param {{ {geometry} num_output: 3 '
                'bias_term: false weight_filler { type: "gaussian" } }', x=x)
    rows = net.params["layer"][0].data.reshape(3, -1)
    axis = 0 if "axis: 0" in geometry else 1
    expected = np.moveaxis(np.tensordot(columns, rows, (axis, 1)), -1, axis)
    np.testing.assert_allclose(output(net), expected, rtol=1e-4, atol=1e-5)


REFUSED = {
    "kernel too large": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 '
                         'kernel_size: 7 }', IMAGE, ["(7, 7)", "(1, 3, 5, 6)"]),
    "no kernel": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 }}', IMAGE,
                  ["kernel_size", "[]"]),
    "kernel twice": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 kernel_size: 3 '
                     'kernel_h: 3 kernel_w: 3 }', IMAGE, ["kernel_h", "kernel_size"]),
    "half a kernel": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 kernel_h: 3 }}',
                      IMAGE, ["[3, 0]"]),
    "strides": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 kernel_size: 3 '
                'stride: [1, 1, 1] }', IMAGE, ["stride", "[1, 1, 1]"]),
    "no num_output": (f'type: "Convolution" {X} convolution_param {{ kernel_size: 1 }}', IMAGE,
                      ["num_output 0"]),
    "group": (f'type: "Deconvolution" {X} convolution_param {{ num_output: 4 kernel_size: 1 '
              'group: 2 }', IMAGE, ["group 2", "3 channels"]),
    "bottoms differ": ('type: "Convolution" bottom: "x" bottom: "z" top: "y" top: "w" '
                       'convolution_param { num_output: 2 kernel_size: 1 }',
                       {**IMAGE, "z": (1, 3, 5, 7)}, ["(1, 3, 5, 6)", "(1, 3, 5, 7)"]),
    "too few tops": (f'type: "Convolution" {Z} convolution_param {{ num_output: 2 kernel_size: 1 '
                     '}', {**IMAGE, "z": (1, 3, 5, 6)}, ["1 tops"]),
    "spatial axes": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 '
                     'kernel_size: 1 }', {"x": (2, 3, 4, 4, 4, 4)}, ["3 spatial axes", "got 4"]),
    "im2col": (f'type: "Im2col" {X} convolution_param {{ kernel_size: 1 }}', {"x": (2, 3)},
               ["spatial axes", "(2, 3)"]),
    "im2col kernel": (f'type: "Im2col" {X} convolution_param {{ kernel_size: 7 }}', IMAGE,
                      ["(7, 7)", "(1, 3, 5, 6)"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


@pytest.mark.parametrize("kind", ["Im2col", "Convolution"])
def test_a_window_too_large_by_less_than_its_stride_has_one_place(build, kind):
    """As in the original, whose division rounds to zero; it finds zeros beyond the image."""
    x = normal(1, 2, 3, 3)
    param = "num_output: 1 weight_filler { value: 1 }" if kind == "Convolution" else ""
    net = build(f'type: "{kind}" {X} convolution_param {{ kernel_size: 4 stride: 2 {param} }}', x=x)
    padded = np.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)])
    expected = padded.sum() if kind == "Convolution" else padded.ravel()
    np.testing.assert_allclose(output(net).ravel(), expected, rtol=1e-5)
    np.testing.assert_array_equal(backward(net, y=1)["x"], np.ones(x.shape))


def test_im2col_may_have_no_places(build):
    net = build(f'type: "Im2col" {X} convolution_param {{ kernel_size: 4 }}', x=normal(1, 2, 3, 5))
    assert output(net).shape == (1, 32, 0, 2)
    assert not backward(net)["x"].any()
    net.blobs["x"].reshape(1, 2, 4, 5)
    assert output(net).shape == (1, 32, 1, 2)


def test_a_bottom_that_no_longer_fits_the_weights(build):
    net = build(f'type: "Convolution" {X} convolution_param {{ num_output: 2 kernel_size: 1 }}',
                x=normal(1, 3, 5, 6))
    net.blobs["x"].reshape(1, 4, 5, 6)
    with pytest.raises(LayerError) as caught:
        net.forward()
    for fact in ["3 channels", "(1, 4, 5, 6)"]:
        assert fact in str(caught.value)
