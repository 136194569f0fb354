"""HED, holistically-nested edge detection (Xie & Tu): VGG-16's convolutions, each block of which
says by itself where the edges are, and the five answers fused.

Layers and blobs have the names of the published net, so that its weights load as well.
"""

from __future__ import annotations

import caffe
from caffe import layers as L
from caffe.coord_map import crop
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2

from .layers import LEARN, conv_relu, max_pool, scaled, upsample
from .vgg16 import BLOCKS

# around the image, before the first convolution, as published: the interpolation from stride 16
# fades out within half a kernel of a blob's border, and that must not reach the image
PAD = 35


def hed(width: float = 1.0) -> caffe_pb2.NetParameter:
    """The NetParameter of HED for an image `data` of any size; `sigmoid-fuse` is the probability
    of an edge at each of its pixels, `sigmoid-dsn1` … `sigmoid-dsn5` what each block says of it.

    `width` is the fraction of the trunk's channels. The interpolation is fixed, to be filled by
    surgery.interp.
    """
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 500, 500]))
    bottom, pad = n.data, PAD
    for block, (channels, depth) in enumerate(BLOCKS, 1):
        if block > 1:
            n[f"pool{block - 1}"] = bottom = max_pool(bottom)
        for i in range(1, depth + 1):
            n[f"conv{block}_{i}"], n[f"relu{block}_{i}"] = conv_relu(
                bottom, scaled(channels, width), pad=pad, param=LEARN)
            bottom, pad = n[f"relu{block}_{i}"], 1
        _side_output(n, block, bottom)
    n["concat-upscore"] = L.Concat(*(n[f"upscore-dsn{block}"] for block in SIDES))
    n["new-score-weighting"] = L.Convolution(n["concat-upscore"], num_output=1, kernel_size=1)
    n["sigmoid-fuse"] = L.Sigmoid(n["new-score-weighting"])
    return n.to_proto()


SIDES = range(1, len(BLOCKS) + 1)


def _side_output(n: NetSpec, block: int, features: Top) -> None:
    """The logit of an edge by the features of a block, at the size of the image."""
    n[f"score-dsn{block}"] = score = L.Convolution(features, num_output=1, kernel_size=1)
    if block > 1:
        stride = 2 ** (block - 1)
        n[f"upsample_{stride}"] = score = upsample(score, 1, stride)
    n[f"upscore-dsn{block}"] = crop(score, n.data)
    n[f"sigmoid-dsn{block}"] = L.Sigmoid(n[f"upscore-dsn{block}"])
