"""Dense prediction by shift-and-stitch and by filter rarefaction (CVPR, section 3.2).

The trunks with random weights, narrow, at the width below: from stride 32 to stride 8, by 16
passes and by one; and a small net from stride 8 to 1, by 64 passes. No layer pads, so that the
outputs are the same but for rounding.
"""

import time

import numpy as np

import caffe
from caffe import layers as L
from caffe import params as P
from fcn import nets
from fcn.analysis.geometry import places
from fcn.analysis.rarefaction import fitting_side, rarefy, shift_and_stitch
from fcn.solvers.console.text import columns

WIDTH = 0.125
CELLS = 4       # coarse samples along a side


def run(options):
    trunks = {f"{name}, width {WIDTH:g}": (trunk(name), 8) for name in ("vgg16", "caffenet")}
    rows = [("", "stride", "passes", "stitched, s", "rarefied, s", "largest output", "difference")]
    for name, (message, step) in {"three blocks": (small(), 1), **trunks}.items():
        stride = list(places(message).values())[-1].stride
        stitched, rarefied, seconds = compare(message, step, options.directory / "stitch")
        rows.append((name, f"{stride} to {step}", (stride // step) ** 2,
                     *(f"{each:.2f}" for each in seconds), f"{np.abs(rarefied).max():.4g}",
                     f"{np.abs(stitched - rarefied).max():.1e}"))
    print(columns(rows))


def compare(message, step, directory):
    """(stitched output, rarefied output, seconds of each) of a random net and a random image."""
    paths = [nets.write_prototxt(directory / f"{name}.prototxt", each)
             for name, each in (("coarse", message), ("rare", rarefy(message, step)))]
    caffe.set_random_seed(0)
    net, rare = (caffe.Net(str(path), caffe.TEST) for path in paths)
    rare.share_with(net)
    place = list(places(message).values())[-1]
    side = fitting_side(place.field, place.stride, step, CELLS * place.stride // step)
    channels = net.blobs["data"].data.shape[1]
    image = np.random.default_rng(0).normal(size=(channels, side, side)).astype(np.float32)
    stitched, seconds = timed(shift_and_stitch, net, image, place.stride, step)
    dense, other = timed(shift_and_stitch, rare, image, step, step)
    return stitched, dense, (seconds, other)


def timed(function, *arguments):
    """(result, seconds) of the second of two calls; the first one allocates."""
    function(*arguments)
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def trunk(name, width=WIDTH):
    """The FCN-32s of a trunk up to its scores, from random weights, without any padding."""
    net = nets.fcn("fcn32s", "deploy", trunk=name, width=width, filler="msra")
    del net.layer[[layer.type for layer in net.layer].index("Deconvolution"):]
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.pad[:] = [0]
    net.layer[-1].convolution_param.weight_filler.type = "msra"
    place = list(places(net).values())[-1]
    net.layer[0].input_param.shape[0].dim[2:] = [place.field] * 2
    return net


def small():
    """Three blocks of a convolution and a pooling, then one to scores; of stride 8."""
    n = caffe.NetSpec()
    n.data = top = L.Input(shape=dict(dim=[1, 3, 64, 64]))
    for block in "123":
        n[f"conv{block}"] = top = L.Convolution(top, kernel_size=3, num_output=8,
                                                weight_filler=dict(type="msra"))
        n[f"relu{block}"] = top = L.ReLU(top, in_place=True)
        n[f"pool{block}"] = top = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.score = L.Convolution(top, kernel_size=3, num_output=5, weight_filler=dict(type="msra"))
    return n.to_proto()
