"""Shift-and-stitch and filter rarefaction give the same numbers (paper, section 3.2)."""

import ast

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from fcn import nets
from fcn.analysis.geometry import places
from fcn.analysis.rarefaction import RarefactionError, fitting_side, rarefy, shift_and_stitch

CONV = dict(num_output=3, weight_filler=dict(type="gaussian", std=0.5),
            bias_filler=dict(type="gaussian", std=0.5))


def spec(*kinds, pad=0):
    """A chain of layers; a kind is ('conv' | 'max' | 'ave', kernel, stride), 'relu' or 'lrn'."""
    n = caffe.NetSpec()
    n.data = top = L.Input(shape=dict(dim=[1, 2, 64, 64]))
    for i, kind in enumerate(kinds):
        if kind in ("relu", "lrn"):
            top = L.ReLU(top, in_place=True) if kind == "relu" else L.LRN(top, local_size=3)
        elif kind[0] == "conv":
            top = L.Convolution(top, kernel_size=kind[1], stride=kind[2], pad=pad, **CONV)
        else:
            pool = P.Pooling.MAX if kind[0] == "max" else P.Pooling.AVE
            top = L.Pooling(top, pool=pool, kernel_size=kind[1], stride=kind[2])
        n[f"{i}"] = top
    return n.to_proto()


VGG = (("conv", 3, 1), "relu", ("max", 2, 2), ("conv", 3, 1), "relu", ("max", 2, 2),
       ("conv", 3, 1), "relu", ("max", 2, 2), ("conv", 2, 1))
ALEX = (("conv", 5, 3), "relu", ("max", 3, 2), "lrn", ("conv", 3, 1), "relu", ("max", 3, 2),
        ("conv", 2, 1))
NETS = [(VGG, 1), (VGG, 2), (VGG, 4), (VGG, 8), (ALEX, 1), (ALEX, 3), (ALEX, 6)]


def both(tmp_path, message, step, strides=2):
    """(stitched, rarefied) outputs of a random image that makes `strides` coarse samples a side,
    one more across."""
    _, stride, field = list(places(message).values())[-1]
    sides = (fitting_side(field, stride, step, (strides + i) * stride // step) for i in (0, 1))
    image = np.random.default_rng(1).normal(size=(2, *sides)).astype(np.float32)
    net, rare = (caffe.Net(str(nets.write_prototxt(tmp_path / f"{name}.prototxt", each)),
                           caffe.TEST)
                 for name, each in (("coarse", message), ("rare", rarefy(message, step))))
    rare.share_with(net)
    stitched = shift_and_stitch(net, image, stride, step)
    rare.blobs["data"].reshape(1, *image.shape)
    rare.blobs["data"].data[...] = image
    return stitched, next(iter(rare.forward().values()))[0]


@pytest.mark.parametrize("kinds, step", NETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_stitched_and_rarefied_outputs_agree(tmp_path, kinds, step, seed):
    caffe.set_random_seed(seed)
    stitched, dense = both(tmp_path, spec(*kinds), step)
    assert np.abs(dense).max() > 0.1
    np.testing.assert_allclose(stitched, dense, atol=1e-5)


def test_padding_within_the_net_makes_them_differ_at_the_border(tmp_path):
    caffe.set_random_seed(0)
    stitched, dense = both(tmp_path, spec(*VGG, pad=1), 1, strides=10)
    rows, columns = np.minimum(stitched.shape[1:], dense.shape[1:])
    stitched, dense = stitched[:, :rows, :columns], dense[:, :rows, :columns]
    assert np.abs(stitched - dense).max() > 0.01
    inside = np.s_[:, 36:52, 36:52]
    np.testing.assert_allclose(stitched[inside], dense[inside], atol=1e-5)


def test_the_rarefied_net_has_the_stride_asked_for_and_the_same_receptive_field():
    net = nets.fcn("fcn32s", "deploy", width=1 / 32)
    del net.layer[[layer.name for layer in net.layer].index("upscore"):]
    before = places(net)["score_fr"]
    for stride in (1, 8, 32):
        rare = rarefy(net, stride)
        for layer in rare.layer:        # so that places() sees its window
            if layer.type == "Python":
                kernel, dilation, _ = ast.literal_eval(layer.python_param.param_str).values()
                layer.type = "Convolution"
                layer.convolution_param.num_output = 1
                layer.convolution_param.kernel_size[:] = [kernel]
                layer.convolution_param.dilation[:] = [dilation]
        after = places(rare)["score_fr"]
        assert (after.stride, after.field) == (stride, before.field)
    assert rarefy(net, 32) == net


def test_images_that_do_not_fit_are_refused():
    assert fitting_side(404, 32, 8, 8) == 460
    with pytest.raises(ValueError, match="9 samples 8 px apart"):
        fitting_side(404, 32, 8, 9)


def test_what_has_no_rarefied_form_is_refused():
    with pytest.raises(RarefactionError, match="'upscore': Deconvolution"):
        rarefy(nets.fcn("fcn32s", "deploy"))
    with pytest.raises(RarefactionError, match="only max pooling"):
        rarefy(spec(("max", 2, 2), ("ave", 2, 2)))
    with pytest.raises(RarefactionError, match="'0': its stride of 3 .* a stride of 2"):
        rarefy(spec(*ALEX), 2)
    fork = caffe_pb2.NetParameter()
    fork.CopyFrom(spec(("conv", 1, 2)))
    fork.layer.add(name="sum", type="Eltwise", bottom=["data", "0"], top=["sum"])
    with pytest.raises(RarefactionError, match="'sum': its bottoms"):
        rarefy(fork)


@pytest.mark.parametrize("pad", [0, 1])
def test_padded_pooling_is_rarefied_as_caffe_pads(tmp_path, pad):
    """At dilation 1 the Python layer is Caffe's own max pooling."""
    image = np.random.default_rng(0).normal(size=(1, 2, 9, 7)).astype(np.float32) - 3
    tops = []
    for kind in ("Pooling", "Python"):
        n = caffe.NetSpec()
        n.data = L.Input(shape=dict(dim=list(image.shape)))
        n.top = (L.Pooling(n.data, kernel_size=3, stride=1, pad=pad) if kind == "Pooling" else
                 L.Python(n.data, module="fcn.analysis.layers", layer="DilatedMaxPooling",
                          param_str=str(dict(kernel=3, dilation=1, pad=pad))))
        path = nets.write_prototxt(tmp_path / f"{kind}.prototxt", n.to_proto())
        tops.append(caffe.Net(str(path), caffe.TEST).forward(data=image)["top"])
    np.testing.assert_array_equal(*tops)
