"""Coordinate maps and the crops that they give."""

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import (
    AxisMismatchException,
    UndefinedMapException,
    compose,
    conv_params,
    coord_map,
    coord_map_from_to,
    crop,
    crop_params,
    inverse,
)


def conv(bottom, kernel, stride=1, pad=0, **more):
    return L.Convolution(bottom, num_output=2, kernel_size=kernel, stride=stride, pad=pad, **more)


def deconv(bottom, kernel, stride):
    return L.Deconvolution(bottom, convolution_param=dict(num_output=2, kernel_size=kernel,
                                                          stride=stride))


def pool(bottom, kernel=2, stride=2):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=kernel, stride=stride)


def offset(top_from, top_to):
    """The offset of the crop between two tops."""
    return list(crop(top_from, top_to).to_proto().layer[-1].crop_param.offset)


def vgg(data):
    """pool3, pool4 and the scores of a fully convolutional VGG-16."""
    top, pools = data, []
    for stage, depth in enumerate((2, 2, 3, 3, 3)):
        for i in range(depth):
            top = L.ReLU(conv(top, 3, pad=100 if stage == i == 0 else 1), in_place=True)
        top = pool(top)
        pools.append(top)
    fc6 = L.Dropout(L.ReLU(conv(top, 7), in_place=True), in_place=True)
    return pools[2], pools[3], conv(conv(fc6, 1), 1)


def test_fcn32s():
    data = L.Input()
    assert offset(deconv(vgg(data)[2], 64, 32), data) == [19]


def test_fcn16s():
    data = L.Input()
    _, pool4, score = vgg(data)
    up2, score4 = deconv(score, 4, 2), conv(pool4, 1)
    cut = crop(score4, up2)
    assert offset(score4, up2) == [5]
    assert offset(deconv(L.Eltwise(up2, cut), 32, 16), data) == [27]


def test_fcn8s():
    data = L.Input()
    pool3, pool4, score = vgg(data)
    up2 = deconv(score, 4, 2)
    fuse4 = L.Eltwise(up2, crop(conv(pool4, 1), up2))
    up4 = deconv(fuse4, 4, 2)
    score3 = conv(pool3, 1)
    assert offset(conv(pool4, 1), up2) == [5]
    assert offset(score3, up4) == [9]
    fuse3 = L.Eltwise(up4, crop(score3, up4))
    assert offset(deconv(fuse3, 16, 8), data) == [31]


def test_alexnet():
    data = L.Input()
    top = pool(conv(data, 11, 4, 100), 3)
    top = pool(L.LRN(conv(top, 5, pad=2, group=2)), 3)
    for _ in range(3):
        top = conv(top, 3, pad=1)
    top = conv(conv(pool(top, 3), 6), 1)
    assert offset(deconv(top, 63, 32), data) == [18]


@pytest.mark.parametrize("layer, expected", [
    (lambda x: conv(x, 3, 2, pad=2, dilation=2), (1, 1 / 2, 0)),
    (lambda x: pool(x, 3, 2), (1, 1 / 2, -1 / 2)),
    (lambda x: deconv(x, 4, 2), (1, 2, 3 / 2)),
    (lambda x: L.Crop(x, x, axis=3, offset=5), (2, 1, -5)),
    (L.ReLU, (None, 1, 0))])
def test_the_maps_of_layers_lead_from_bottom_to_top(layer, expected):
    mapping = coord_map(layer(L.Input()).fn)
    assert mapping == expected
    assert compose(mapping, inverse(mapping)) == (expected[0], 1, 0)


def test_maps_are_plain_numbers():
    """Scripts round and cast them as arrays of floats."""
    data = L.Input()
    _, scale, shift = coord_map_from_to(conv(data, [3, 5], [2, 3]), data)
    np.testing.assert_array_equal(np.round(shift).astype(int), [1, 2])
    assert scale.dtype == shift.dtype == float


def test_the_geometry_of_layers():
    axis, stride, kernel, pad = conv_params(conv(L.Input(), [3, 5], 2, pad=1, dilation=2).fn)
    assert (axis, list(stride), list(kernel), list(pad)) == (1, [2], [5, 9], [1])
    assert crop_params(L.Crop(L.Input(), L.Input(), offset=3).fn) == (2, 3)


@pytest.mark.parametrize("stride", range(2, 60))
def test_rounding_does_not_spoil_a_crop(stride):
    """1/49 · 49 is not 1 in floating point."""
    data = L.Input()
    assert offset(deconv(conv(data, stride, stride), stride, stride), data) == [0]


def test_a_map_through_a_padded_convolution():
    data = L.Input()
    axis, scale, shift = coord_map_from_to(conv(data, 4, 2, pad=1), data)
    assert (axis, scale, shift) == (1, 2, 0.5)


def test_dilation_widens_the_kernel():
    data = L.Input()
    assert offset(data, conv(data, 3, dilation=4)) == [4]


def test_each_axis_has_its_own_offset():
    data = L.Input()
    small = conv(data, [3, 5])
    assert offset(data, small) == [1, 2]
    assert offset(data, L.Convolution(data, kernel_h=3, kernel_w=5)) == [1, 2]
    assert offset(data, conv(data, [3, 3])) == [1, 1]


def test_a_crop_shifts():
    data = L.Input()
    cut = L.Crop(data, L.Input(), offset=[3, 7])
    assert offset(data, cut) == [3, 7]


def test_the_axis_follows_the_convolution():
    data = L.Input()
    cut = crop(data, conv(data, 3, axis=2))
    assert cut.fn.params["crop_param"] == dict(axis=3, offset=[1])


def test_no_map():
    data = L.Input()
    with pytest.raises(UndefinedMapException, match="InnerProduct"):
        coord_map_from_to(L.InnerProduct(data, num_output=2), data)
    with pytest.raises(UndefinedMapException, match="global pooling"):
        crop(L.Pooling(data, global_pooling=True), data)
    for top in L.Interp(data, height=3, width=3), L.Interp(data, L.Input(), zoom_factor=2):
        with pytest.raises(UndefinedMapException, match="through an Interp to a given size"):
            crop(top, data)
    with pytest.raises(RuntimeError, match="no common ancestor"):
        crop(L.Input(), data)


def test_axes_that_do_not_match():
    data = L.Input()
    with pytest.raises(AxisMismatchException, match="after 1 and 2"):
        crop(conv(conv(data, 3, axis=2), 3, axis=1), data)
    with pytest.raises(AxisMismatchException, match="3 and 2 axes"):
        crop(conv(conv(data, [3, 3]), [3, 3, 3]), data)


@pytest.mark.parametrize("error", [ValueError, AssertionError])
def test_what_no_crop_can_align(error):
    data = L.Input()
    with pytest.raises(error, match="differ in scale, by 2"):
        crop(pool(data), data)
    with pytest.raises(error, match="negative offset"):
        crop(conv(data, 3), data)
    with pytest.raises(error, match="not whole: 0.5"):
        crop(data, conv(data, 2))


def test_the_offset_aligns_what_the_layers_compute(net):
    """A crop of a deconvolved delta puts it where the delta is."""
    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[1, 1, 16, 16]))
    n.down = L.Convolution(n.x, num_output=1, kernel_size=4, stride=4, bias_term=False, pad=8,
                           weight_filler=dict(type="constant", value=1))
    n.up = L.Deconvolution(n.down, convolution_param=dict(
        num_output=1, kernel_size=8, stride=4, bias_term=False,
        weight_filler=dict(type="bilinear")))
    n.y = crop(n.up, n.x)
    built = net(str(n.to_proto()))
    built.blobs["x"].data[0, 0, 4:8, 8:12] = 1
    built.forward()
    y = built.blobs["y"].data[0, 0]
    rows, columns = np.indices(y.shape)
    assert ((rows * y).sum() / y.sum(), (columns * y).sum() / y.sum()) == pytest.approx((5.5, 9.5))
