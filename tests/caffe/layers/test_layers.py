"""What each layer computes, its gradients, and what it refuses."""

import itertools
import math

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError
from layer_checks import backward, check_gradient, check_refused, normal, output, spread_out

FLT_MAX = np.finfo(np.float32).max
FLT_MIN = np.finfo(np.float32).tiny

X, Z = 'bottom: "x" top: "y"', 'bottom: "x" bottom: "z" top: "y"'


# Gradients against central differences in random directions. ------------------------------------

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
    "ave pool": ('type: "Pooling" bottom: "x" top: "y" pooling_param { pool: AVE kernel_size: 3 '
                 'stride: 2 pad: 1 }', {"x": (2, 2, 6, 7)}),
    "ave pool, wide pad": ('type: "Pooling" bottom: "x" top: "y" pooling_param { pool: AVE '
                           'kernel_size: 3 stride: 2 pad: 2 }', {"x": (2, 2, 6, 7)}),
    "max pool": ('type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 stride: 2 '
                 'pad: 1 }', {"x": (2, 2, 6, 7)}),
    "max pool, wide pad": ('type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 3 '
                           'stride: 2 pad: 2 }', {"x": (2, 2, 6, 7)}),
    "relu": ('type: "ReLU" bottom: "x" top: "y"', {"x": (2, 3, 4)}),
    "leaky relu": ('type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0.3 }',
                   {"x": (2, 3, 4)}),
    "inner product": ('type: "InnerProduct" bottom: "x" top: "y" inner_product_param { '
                      'num_output: 3 weight_filler { type: "xavier" } }', {"x": (3, 2, 4)}),
    "inner product axis": ('type: "InnerProduct" bottom: "x" top: "y" inner_product_param { '
                           'num_output: 3 axis: -1 transpose: true bias_term: false '
                           'weight_filler { type: "xavier" } }', {"x": (3, 2, 4)}),
    "lrn": ('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 0.5 k: 2 }',
            {"x": (2, 5, 3, 3)}),
    "lrn within": ('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 0.5 '
                   'norm_region: WITHIN_CHANNEL }', {"x": (2, 2, 4, 5)}),
    "softmax": ('type: "Softmax" bottom: "x" top: "y" softmax_param { axis: -2 }',
                {"x": (2, 4, 3)}),
    "product": ('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                'operation: PROD }', {"x": (2, 3), "z": (2, 3), "w": (2, 3)}),
    "sum": ('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
            'coeff: [2, -0.5, 1] }', {"x": (2, 3), "z": (2, 3), "w": (2, 3)}),
    "maximum": ('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                'operation: MAX }', {"x": (2, 3), "z": (2, 3), "w": (2, 3)}),
    "scale": ('type: "Scale" bottom: "x" top: "y" scale_param { bias_term: true filler { '
              'type: "gaussian" } }', {"x": (2, 3, 4)}),
    "scale given": ('type: "Scale" bottom: "x" bottom: "s" top: "y" scale_param { axis: 0 '
                    'bias_term: true }', {"x": (2, 3, 4), "s": (2, 3)}),
    "scale all axes": ('type: "Scale" bottom: "x" top: "y" scale_param { axis: 1 num_axes: -1 }',
                       {"x": (2, 3, 4)}),
    "scale scalar": ('type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 0 }',
                     {"x": (2, 3, 4)}),
    "bias": ('type: "Bias" bottom: "x" top: "y" bias_param { axis: -1 }', {"x": (2, 3, 4)}),
    "bias given": ('type: "Bias" bottom: "x" bottom: "b" top: "y" bias_param { axis: 1 }',
                   {"x": (2, 3, 4), "b": (3, 4)}),
    "power": ('type: "Power" bottom: "x" top: "y" power_param { power: 3 scale: 0.2 shift: 0.1 }',
              {"x": (2, 3)}),
    "power 1": ('type: "Power" bottom: "x" top: "y" power_param { scale: -2 shift: 5 }',
                {"x": (2, 3)}),
    "crop": ('type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param { axis: -2 offset: 1 '
             'offset: 2 }', {"x": (2, 3, 4, 5), "r": (1, 1, 2, 3)}),
    "concat": ('type: "Concat" bottom: "x" bottom: "z" top: "y" concat_param { axis: -1 }',
               {"x": (2, 3), "z": (2, 4)}),
    "reshape": ('type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: [-1, 2] } }',
                {"x": (3, 4)}),
    "flatten": ('type: "Flatten" bottom: "x" top: "y"', {"x": (2, 3, 4)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


# Convolution and Deconvolution -------------------------------------------------------------------

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


# Pooling -----------------------------------------------------------------------------------------

POOLINGS = [(size, kernel, stride, pad)
            for size, kernel, stride, pad in itertools.product(
                ((7, 8), (4, 5), (9, 9)), (1, 2, 3, 4), (1, 2, 3), (0, 1, 2)) if pad < kernel]


def windows(n, kernel, stride, pad):
    """Caffe's windows along one axis: begin and end in the image, and length in the padding."""
    count = math.ceil((n + 2 * pad - kernel) / stride) + 1
    if pad and (count - 1) * stride >= n + pad:
        count -= 1
    for start in range(-pad, count * stride - pad, stride):
        end = min(start + kernel, n + pad)
        yield max(start, 0), min(end, n), end - start


@pytest.mark.parametrize("size, kernel, stride, pad", POOLINGS)
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_pooling_window_by_window(build, pool, size, kernel, stride, pad):
    x = normal(1, 1, *size)
    net = build(f'type: "Pooling" bottom: "x" top: "y" pooling_param {{ pool: {pool} '
                f'kernel_size: {kernel} stride: {stride} pad: {pad} }}', x=x)
    rows, columns = (list(windows(n, kernel, stride, pad)) for n in size)
    expected = np.empty((1, 1, len(rows), len(columns)), np.float32)
    for (i, (top, bottom, height)), (j, (left, right, width)) in itertools.product(
            enumerate(rows), enumerate(columns)):
        window = x[0, 0, top:bottom, left:right]
        expected[0, 0, i, j] = (window.max(initial=-FLT_MAX) if pool == "MAX" else
                                np.float32(window.sum()) / np.float32(height * width))
    np.testing.assert_allclose(output(net), expected, rtol=1e-5, atol=1e-6)


def test_floor_rounding_leaves_out_the_last_window(build):
    param = "pooling_param { kernel_size: 2 stride: 2"
    x = normal(1, 1, 5, 7)
    up = output(build(f'type: "Pooling" bottom: "x" top: "y" {param} }}', x=x))
    down = output(build(f'type: "Pooling" bottom: "x" top: "y" {param} round_mode: FLOOR }}', x=x))
    assert (up.shape, down.shape) == ((1, 1, 3, 4), (1, 1, 2, 3))
    np.testing.assert_array_equal(up[:, :, :2, :3], down)


def test_global_pooling_takes_any_image(build):
    net = build('type: "Pooling" bottom: "x" top: "y" pooling_param { pool: AVE '
                'global_pooling: true }', x=normal(2, 3, 4, 5))
    for shape in ((2, 3, 4, 5), (1, 3, 7, 6)):
        x = normal(*shape)
        net.blobs["x"].reshape(*shape)
        net.blobs["x"].data[...] = x
        np.testing.assert_allclose(output(net), x.mean((2, 3), keepdims=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel, pad", [(2, 0), (3, 1), (3, 2)])
def test_the_first_of_equal_maxima_is_the_maximum(build, kernel, pad):
    net = build('type: "Pooling" bottom: "x" top: "y" top: "index" pooling_param { '
                f'kernel_size: {kernel} stride: {kernel} pad: {pad} }}', x=np.ones((1, 2, 6, 7)))
    index = output(net, "index")
    firsts = [[start for start, _, _ in windows(n, kernel, kernel, pad)] for n in (6, 7)]
    expected = np.add.outer(np.multiply(firsts[0], 7), firsts[1])
    np.testing.assert_array_equal(index, np.broadcast_to(expected, index.shape))
    diff = backward(net, y=1)["x"]
    at_first = np.zeros(6 * 7)
    at_first[expected.ravel()] = 1
    np.testing.assert_array_equal(diff.reshape(2, -1), [at_first] * 2)


# Activations -------------------------------------------------------------------------------------

def test_the_gradient_of_relu_at_zero_is_that_of_the_negative_side(build):
    for slope_, expected in ((0, [0, 0, 1]), (0.25, [0.25, 0.25, 1])):
        net = build('type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: '
                    f'{slope_} }}', x=[-1, 0, 1])
        net.forward()
        np.testing.assert_array_equal(backward(net, y=1)["x"], expected)


def test_dropout_keeps_the_mean_and_drops_the_same_values_backward(build):
    ones = np.ones((100, 100))
    net = build('type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.3 }',
                caffe.TRAIN, x=ones)
    first = output(net)
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-6)
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(backward(net, y=1)["x"], first)
    assert (output(net) != first).any()


def test_dropout_does_nothing_in_testing(build):
    net = build('type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.9 }',
                x=normal(3, 4))
    np.testing.assert_array_equal(output(net), normal(3, 4))
    np.testing.assert_array_equal(backward(net, y=normal(3, 4, seed=1))["x"], normal(3, 4, seed=1))


# Arithmetic --------------------------------------------------------------------------------------

def test_the_gradient_of_a_maximum_goes_to_one_of_the_equals(build):
    net = build('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                'operation: MAX }', x=[1, 1, 0, 2], z=[1, 0, 0, 2], w=[0, 1, 1, 2])
    np.testing.assert_array_equal(output(net), [1, 1, 1, 2])
    diffs = backward(net, y=[1, 2, 3, 4])
    np.testing.assert_array_equal(diffs["x"], [0, 2, 0, 0])
    np.testing.assert_array_equal(diffs["z"], [1, 0, 0, 4])
    np.testing.assert_array_equal(diffs["w"], [0, 0, 3, 0])


@pytest.mark.parametrize("param, expected", [
    ("", [-4, -1]), ("coeff: [2, -0.5, 1]", [1.5, 12]), ("operation: PROD", [6, -24]),
    ("operation: MAX", [1, 4])])
def test_eltwise(build, param, expected):
    net = build('type: "Eltwise" bottom: "x" bottom: "z" bottom: "w" top: "y" eltwise_param { '
                f'{param} }}', x=[1, 4], z=[-3, -6], w=[-2, 1])
    np.testing.assert_allclose(output(net), expected)


def test_the_gradients_of_a_sum_are_separate_arrays(build):
    net = build(f'type: "Eltwise" {Z}', x=[1], z=[2])
    net.forward()
    backward(net, y=1)
    net.blobs["x"].diff[...] = 5
    assert net.blobs["z"].diff == net.blobs["y"].diff == 1


def test_a_learned_scale_starts_as_identity(build):
    net = build('type: "Scale" bottom: "x" top: "y" scale_param { bias_term: true }',
                x=normal(2, 3, 4))
    assert [blob.shape for blob in net.params["layer"]] == [(3,), (3,)]
    np.testing.assert_array_equal(output(net), normal(2, 3, 4))


@pytest.mark.parametrize("watched", [False, True])
def test_a_scale_in_place_remembers_what_it_scaled(build, watched):
    x, diff = normal(2, 3), normal(2, 3, seed=1)
    net = build('type: "Scale" bottom: "x" top: "x" scale_param { filler { value: 5 } }', x=x)
    view = net.blobs["x"].data if watched else None
    np.testing.assert_allclose(output(net, "x"), 5 * x, rtol=1e-6)
    if watched:
        np.testing.assert_allclose(view, 5 * x, rtol=1e-6)
    np.testing.assert_allclose(backward(net, x=diff)["x"], 5 * diff, rtol=1e-6)
    np.testing.assert_allclose(net.params["layer"][0].diff, (x * diff).sum(0), rtol=1e-5)


def test_a_given_scale_may_be_a_scalar(build):
    net = build('type: "Scale" bottom: "x" bottom: "s" top: "y"', x=normal(3), s=2.5)
    np.testing.assert_allclose(output(net), 2.5 * normal(3), rtol=1e-6)


@pytest.mark.parametrize("param, value", [("power: 0", 1), ("power: 0 shift: 0 scale: 0", 1),
                                          ("scale: 0 shift: 3 power: 2", 9), ("scale: 0", 0)])
def test_power_that_ignores_its_bottom(build, param, value):
    net = build(f'type: "Power" bottom: "x" top: "y" power_param {{ {param} }}', x=[0, -1, np.nan])
    np.testing.assert_array_equal(output(net), [value] * 3)
    np.testing.assert_array_equal(backward(net, y=1)["x"], [0] * 3)


def test_power_of_zero_has_the_mathematical_slope(build):
    net = build('type: "Power" bottom: "x" top: "y" power_param { power: 2 scale: 3 }', x=[0, 1])
    np.testing.assert_array_equal(output(net), [0, 9])
    np.testing.assert_array_equal(backward(net, y=1)["x"], [0, 18])


# Normalisation -----------------------------------------------------------------------------------

def test_lrn_divides_by_the_mean_of_squares(build):
    x = normal(1, 5, 4, 4)
    net = build('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 2 beta: 0.5 '
                'k: 4 }', x=x)
    squares = np.pad(x ** 2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    mean = (squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]) / 3
    np.testing.assert_allclose(output(net), x / np.sqrt(4 + 2 * mean), rtol=1e-5)


def test_lrn_within_a_channel_takes_a_square_and_no_k(build):
    x = normal(1, 2, 4, 5)
    net = build('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 2 beta: 0.5 '
                'k: 4 norm_region: WITHIN_CHANNEL }', x=x)
    squares = np.pad(x ** 2, ((0, 0), (0, 0), (1, 1), (1, 1)))
    mean = sum(squares[:, :, i:i + 4, j:j + 5] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(output(net), x / np.sqrt(1 + 2 * mean), rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_sums_to_one_along_its_axis(build, axis):
    y = output(build(f'type: "Softmax" {X} softmax_param {{ axis: {axis} }}', x=normal(2, 3, 4)))
    np.testing.assert_allclose(y, softmax(normal(2, 3, 4), axis), rtol=1e-5)


# Shapes ------------------------------------------------------------------------------------------

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


# Losses ------------------------------------------------------------------------------------------

def softmax(x, axis=1):
    e = np.exp(x.astype(float) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def labels(*shape, classes=4, seed=7):
    """Labels of which about a quarter are 255."""
    values = np.random.default_rng(seed).integers(0, classes + 1, shape)
    return np.where(values == classes, 255, values)


LOSS = 'type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "loss" propagate_down: [true, false]'


@pytest.mark.parametrize("param, divisor", [
    ("", "VALID"), ("normalization: VALID", "VALID"), ("normalization: FULL", "FULL"),
    ("normalization: BATCH_SIZE", "BATCH_SIZE"), ("normalization: NONE", "NONE"),
    ("normalize: true", "VALID"), ("normalize: false", "BATCH_SIZE"),
    ("normalize: false normalization: FULL", "FULL"),
])
@pytest.mark.parametrize("weight", [1, 0.3])
def test_softmax_loss(build, param, divisor, weight):
    x, t = normal(2, 4, 5, 6), labels(2, 1, 5, 6)
    divisor = {"VALID": (t != 255).sum(), "FULL": 60, "BATCH_SIZE": 2, "NONE": 1}[divisor]
    net = build(f'{LOSS} loss_weight: {weight} loss_param {{ ignore_label: 255 {param} }}',
                x=x, t=t)
    target = (t == np.arange(4).reshape(1, 4, 1, 1)).astype(float)
    loss = -(target * np.log(softmax(x))).sum() / divisor
    assert output(net, "loss").shape == ()
    assert output(net, "loss") == pytest.approx(loss, rel=1e-5)
    expected = weight * (softmax(x) - target) * (t != 255) / divisor
    np.testing.assert_allclose(backward(net)["x"], expected, rtol=1e-4, atol=1e-7)


def test_softmax_loss_along_another_axis(build):
    x, t = normal(3, 5, 4), labels(3, 5)
    t = np.where(t == 255, 0, t)
    net = build(f'{LOSS} softmax_param {{ axis: -1 }} loss_param {{ normalization: NONE }}',
                x=x, t=t)
    expected = -np.log(np.take_along_axis(softmax(x, 2), t[..., None], 2)).sum()
    assert output(net, "loss") == pytest.approx(expected, rel=1e-5)


def test_softmax_loss_with_nothing_to_learn_is_zero(build):
    net = build(f'{LOSS} loss_param {{ ignore_label: 255 }}', x=normal(1, 3, 2, 2),
                t=np.full((1, 1, 2, 2), 255))
    assert output(net, "loss") == 0
    assert not backward(net)["x"].any()


def test_ignored_positions_may_hold_anything(build):
    x = normal(1, 2, 1, 2)
    x[..., 0] = np.nan
    net = build(f'{LOSS} loss_param {{ ignore_label: 255 }}', x=x, t=[[[[255, 1]]]])
    assert np.isfinite(output(net, "loss"))
    assert np.isfinite(backward(net)["x"]).all()


def test_softmax_loss_is_bounded_but_its_gradient_is_not(build):
    net = build(LOSS, x=[[1000, 0]], t=[[1]])
    assert output(net, "loss") == pytest.approx(-math.log(FLT_MIN), rel=1e-6)
    np.testing.assert_array_equal(backward(net)["x"], [[1, -1]])


def test_softmax_loss_shows_its_probabilities(build):
    x = normal(2, 4, 3)
    net = build(LOSS.replace('top: "loss"', 'top: "loss" top: "y"'), x=x, t=np.zeros((2, 1, 3)))
    np.testing.assert_allclose(output(net), softmax(x), rtol=1e-5)
    diff = backward(net, y=0)["x"]
    net.forward()
    np.testing.assert_array_equal(backward(net, y=9)["x"], diff)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_accuracy(build, top_k):
    x, t = normal(3, 4, 5), labels(3, 5)
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "each" accuracy_param { '
                f'ignore_label: 255 top_k: {top_k} }}', x=x, t=t)
    best = np.argsort(-x, axis=1)[:, :top_k]
    right = (best == t[:, None]).any(1)
    assert output(net, "a").shape == ()
    assert output(net, "a") == pytest.approx(right[t != 255].mean(), rel=1e-6)
    expected = [right[t == label].mean() for label in range(4)]
    np.testing.assert_allclose(output(net, "each"), expected, rtol=1e-6)


def test_a_tie_is_no_success(build):
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a"', x=[[1, 1], [2, 1]], t=[0, 0])
    assert output(net, "a") == 0.5


def test_accuracy_of_nothing_is_zero(build):
    net = build('type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "each" accuracy_param { '
                'ignore_label: 0 }', x=[[1, 2]], t=[0])
    assert output(net, "a") == 0
    np.testing.assert_array_equal(output(net, "each"), [0, 0])


# Sources -----------------------------------------------------------------------------------------

def test_input_has_one_shape_for_all_or_one_for_each(build):
    net = build('type: "Input" top: "a" top: "b" input_param { shape { dim: [2, 3] } }')
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == ((2, 3), (2, 3))
    net = build('type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { dim: 3 } }')
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == ((2,), (3,))


def test_dummy_data_refills_all_but_constants(build):
    net = build('type: "DummyData" top: "a" top: "b" dummy_data_param { shape { dim: [3, 4] } '
                'data_filler { type: "constant" value: 2 } data_filler { type: "gaussian" } }')
    assert (net.blobs["a"].data == 2).all()
    first = output(net, "b")
    net.blobs["a"].data[...] = 7
    assert (output(net, "b") != first).all()
    assert (net.blobs["a"].data == 7).all()


def test_dummy_data_in_its_older_form(build):
    net = build('type: "DummyData" top: "a" top: "b" dummy_data_param { num: 2 num: 5 channels: 1 '
                'height: 3 width: 4 }')
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == ((2, 1, 3, 4), (5, 1, 3, 4))
    assert not net.blobs["a"].data.any()


# Errors ------------------------------------------------------------------------------------------

IMAGE = {"x": (1, 3, 5, 6)}

REFUSED = {
    "axis": (f'type: "Softmax" {X} softmax_param {{ axis: 4 }}', IMAGE,
             ["axis 4", "(1, 3, 5, 6)"]),
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
    "no spatial axes": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 '
                        'kernel_size: 1 }', {"x": (2, 3)}, ["spatial axes", "got 0"]),
    "pool pad": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 2 pad: 2 }}', IMAGE,
                 ["pad", "(2, 2)"]),
    "pool kernel": (f'type: "Pooling" {X} pooling_param {{ }}', IMAGE, ["kernel", "(0, 0)"]),
    "half a pool": (f'type: "Pooling" {X} pooling_param {{ kernel_h: 2 }}', IMAGE, ["kernel_w"]),
    "pool too large": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 8 }}', IMAGE,
                       ["(8, 8)", "(1, 3, 5, 6)"]),
    "pool axes": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 1 }}', {"x": (2, 3, 4)},
                  ["4 axes", "(2, 3, 4)"]),
    "global kernel": (f'type: "Pooling" {X} pooling_param {{ global_pooling: true kernel_size: 2 '
                      '}', IMAGE, ["global_pooling", "(2, 2)"]),
    "index of averages": ('type: "Pooling" bottom: "x" top: "y" top: "z" pooling_param { pool: AVE '
                          'kernel_size: 2 }', IMAGE, ["index"]),
    "stochastic": (f'type: "Pooling" {X} pooling_param {{ pool: STOCHASTIC kernel_size: 2 }}',
                   IMAGE, ["stochastic"]),
    "dropout": (f'type: "Dropout" {X} dropout_param {{ dropout_ratio: 1 }}', IMAGE,
                ["dropout_ratio", "1.0"]),
    "inner product": (f'type: "InnerProduct" {X}', IMAGE, ["num_output"]),
    "even lrn": (f'type: "LRN" {X} lrn_param {{ local_size: 4 }}', IMAGE, ["local_size", "4"]),
    "eltwise": (f'type: "Eltwise" {Z}', {"x": (2, 3), "z": (2, 4)}, ["(2, 3)", "(2, 4)"]),
    "coeff": (f'type: "Eltwise" {Z} eltwise_param {{ coeff: 1 }}', {"x": (2,), "z": (2,)},
              ["coeff", "2 bottoms", "got 1"]),
    "coeff of product": (f'type: "Eltwise" {Z} eltwise_param {{ operation: PROD coeff: [1, 1] }}',
                         {"x": (2,), "z": (2,)}, ["coeff", "PROD"]),
    "scale": (f'type: "Scale" {Z}', {"x": (2, 3, 4), "z": (4,)}, ["(4,)", "(2, 3, 4)"]),
    "bias axes": (f'type: "Bias" {X} bias_param {{ axis: 2 num_axes: 2 }}', {"x": (2, 3, 4)},
                  ["num_axes 2", "(2, 3, 4)"]),
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
    "labels": (LOSS, {**IMAGE, "t": (1, 1, 5, 5)}, ["30 labels", "(1, 3, 5, 6)", "(1, 1, 5, 5)"]),
    "label batch": (LOSS, {"x": (2, 3, 5), "t": (5, 2)}, ["(2, 3, 5)", "(5, 2)"]),
    "top_k": ('type: "Accuracy" bottom: "x" bottom: "t" top: "y" accuracy_param { top_k: 4 }',
              {"x": (2, 3), "t": (2,)}, ["top_k 4", "3 classes"]),
    "dummy shapes": ('type: "DummyData" top: "x" top: "y" top: "z" dummy_data_param { shape { '
                     'dim: 1 } shape { dim: 2 } }', {}, ["3 tops", "got 2"]),
    "dummy twice": ('type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } num: 2 }', {},
                    ["num", "shape"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


@pytest.mark.parametrize("kind, top", [("SoftmaxWithLoss", "loss"), ("Accuracy", "accuracy")])
@pytest.mark.parametrize("label", [-1, 3, 254])
def test_a_label_that_is_no_class(build, kind, top, label):
    param = "loss_param" if kind == "SoftmaxWithLoss" else "accuracy_param"
    t = np.zeros((1, 1, 2, 2))
    net = build(f'type: "{kind}" bottom: "x" bottom: "t" top: "{top}" {param} {{ '
                'ignore_label: 255 } propagate_down: [true, false]', x=normal(1, 3, 2, 2), t=t)
    net.forward()
    net.blobs["t"].data[0, 0, 1, 1] = label
    with pytest.raises(LayerError, match=rf"'layer'.*label {label}.*\[0, 2\].*255"):
        net.forward()


def test_a_bottom_that_no_longer_fits_the_weights(build):
    for layer, facts in (('type: "Convolution" convolution_param { num_output: 2 kernel_size: 1 }',
                          ["3 channels", "(1, 4, 5, 6)"]),
                         ('type: "InnerProduct" inner_product_param { num_output: 2 }',
                          ["90 values", "(2, 90)", "120"]),
                         ('type: "Scale"', ["(3,)", "(1, 4, 5, 6)"])):
        net = build(f'{layer} {X}', x=normal(1, 3, 5, 6))
        net.blobs["x"].reshape(1, 4, 5, 6)
        with pytest.raises(LayerError) as caught:
            net.forward()
        for fact in facts:
            assert fact in str(caught.value)
