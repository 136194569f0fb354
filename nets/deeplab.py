"""DeepLab (Chen et al., ICLR 2015, arXiv 1412.7062): VGG-16 at stride 8 by holes.

The last two poolings keep the size; conv5 and fc6 skip as many samples as these poolings would
have ("holes"), and so see what they see in the classifier. Windows are odd everywhere, so that
score i lies on pixel 8i of the image, and Interp, whose corners meet, brings scores to the pixels.
The second paper (arXiv 1606.00915) sums several fc6 of different holes: ASPP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2

from .layers import (
    FC,
    FIXED,
    LEARN,
    FitError,
    Sides,
    conv_relu,
    dropout,
    filled,
    max_pool,
    pixel_loss,
    scaled,
)
from .source import Source
from .vgg16 import BLOCKS

SCORE_RATE = 10         # times the trunk's: the scores begin at random
STRIDES = (8, 32)       # of the scores: DeepLab's, and that of the same net without holes
CLASSIFIER_SIDE = 7     # of fc6 in the ILSVRC classifier; its taps span 24 samples at stride 8
CROP_SIDES = Sides(8, 1)     # for which labels can be shrunk to the scores at stride 8
SIDES = (2, 4, CLASSIFIER_SIDE)     # for which all holes are whole
BRANCH = 128            # channels of a multi-scale branch


@dataclass(frozen=True)
class Variant:
    """What tells the variants apart (paper, tables 1 and 2).

    kernel : taps of fc6, a side
    holes : from tap to tap in samples of stride 8; several: as many fc6, fc7 and fc8, summed
    channels : of fc6 and fc7
    averaged : whether pool5 is averaged once more before fc6
    multiscale : the image and pool1 to pool4 give scores too; these learn alone
    """
    kernel: int
    holes: tuple
    channels: int = FC
    averaged: bool = False
    multiscale: bool = False

    @property
    def branches(self) -> list[str]:
        """What goes to the names of fc6, fc7 and fc8, once for each."""
        return [f"_{i}" for i in range(1, len(self.holes) + 1)] if len(self.holes) > 1 else [""]


VARIANTS = {
    "deeplab": Variant(4, (4,)),
    "deeplab-msc": Variant(4, (4,), multiscale=True),
    "deeplab-7x7": Variant(7, (4,)),
    "deeplab-4x4": Variant(4, (8,)),
    "deeplab-largefov": Variant(3, (12,), 1024, averaged=True),
    "deeplab-msc-largefov": Variant(3, (12,), 1024, averaged=True, multiscale=True),
    "deeplab-aspp": Variant(3, (6, 12, 18, 24), 1024, averaged=True),
}
HEADS = tuple(VARIANTS)


def predict(n: NetSpec, image: Top, head: str, split: str, source: Source, width: float = 1.0,
            filler: str | None = None, fc6_kernel: int = CLASSIFIER_SIDE, stride: int = 8,
            all_filters: bool = False, score_rate: int = SCORE_RATE) -> None:
    """Set `n.loss` of a train net, at the stride, or `n.score`, as large as the image `n.data`.

    head : one of VARIANTS; the others as of nets.fcn. With `fc6_kernel` 4 or 2, of a classifier
    with a smaller field of view, holes are smaller in proportion. With `all_filters` fc6 and fc7
    have as many as the classifier's, also of a variant that has a quarter of them. `score_rate` is
    the multiplier of the rate of the scores, but for those of multi-scale branches. With `stride`
    32 all poolings halve the size, nothing has the holes that make up for it, and the loss is that
    of the pixels: the net to which DeepLab's is to be compared.

    Raises ValueError for another `fc6_kernel` than 2, 4 or 7, for another `stride` than 8 or 32, 32
    with multi-scale branches, and where the caffe that runs has no Interp, a layer of DeepLab's
    fork.
    """
    for name, value, known in (("fc6_kernel", fc6_kernel, SIDES), ("stride", stride, STRIDES)):
        if value not in known:
            raise ValueError(f"{name} is {value}; of DeepLab it can be "
                             f"{' or '.join(map(str, known))}")
    if not hasattr(caffe_pb2, "InterpParameter"):
        raise ValueError(f"head '{head}' needs the layer Interp of DeepLab's fork, which this "
                         "caffe does not have; the package caffe of this project does")
    variant, classes = VARIANTS[head], source.classes
    if variant.multiscale and stride > 8:
        raise ValueError(f"stride is {stride}; of the head '{head}' it can be 8")
    params = dict(param=FIXED if variant.multiscale else LEARN, **filled(filler))
    pools = _trunk(n, image, width, params, stride)
    channels = scaled(FC if all_filters else variant.channels, width)
    scores, shift = _scores(n, pools["pool5"], variant, classes, channels, score_rate, fc6_kernel,
                            params, stride)
    if variant.multiscale:
        scores += _multiscale(n, {"data": image, **pools}, scores[0], classes, width, filler)
    top = scores[0]
    if len(scores) > 1:
        n["fc8_sum" if variant.multiscale else "fc8_voc12"] = top = L.Eltwise(
            *scores, operation=P.Eltwise.SUM)
    if split == "train" and stride == 8:
        n.label_shrink = L.Interp(n.label, shrink_factor=stride)
        n.loss = pixel_loss(top, n.label_shrink)
        return
    n.fc8_interp = L.Interp(top, zoom_factor=stride)
    n.score = L.Crop(n.fc8_interp, n.data, axis=2, offset=shift * stride // 2)
    if split == "train":
        n.loss = pixel_loss(n.score, n.label)


def fitting(source: Source, head: str, options: Mapping[str, Any]) -> Source:
    """See nets.fcn. Raises FitError, with the nearest sizes that fit, where the labels of training
    crops cannot be shrunk to scores of stride 8: their sides are 8·k + 1."""
    for side in source.crop if options.get("stride", STRIDES[0]) == 8 else ():
        if not CROP_SIDES.have(side):
            nearest = " and ".join(map(str, CROP_SIDES.nearest(side)))
            raise FitError(f"training crops of {side} pixels: DeepLab's scores lie on every 8th "
                           "pixel, from the first to the last, so that crops have sides of "
                           f"{CROP_SIDES} pixels; the nearest are {nearest}")
    return source


def _trunk(n: NetSpec, bottom: Top, width: float, params: dict, stride: int) -> dict[str, Top]:
    """conv1_1 … pool5; returns {name: pooling layer}."""
    pools = {}
    for block, (channels, depth) in enumerate(BLOCKS, 1):
        hole = 2 if block == 5 and stride == 8 else 1
        for i in range(1, depth + 1):
            name = f"{block}_{i}"
            n["conv" + name], n["relu" + name] = conv_relu(
                bottom, scaled(channels, width), pad=hole, **_dilated(hole), **params)
            bottom = n["relu" + name]
        n[f"pool{block}"] = bottom = max_pool(
            bottom, kernel=3, stride=2 if 2 ** block <= stride else 1, pad=1)
        pools[f"pool{block}"] = bottom
    return pools


def _scores(n: NetSpec, bottom: Top, variant: Variant, classes: int, channels: int,
            score_rate: int, side: int, params: dict, stride: int) -> tuple[list[Top], int]:
    """fc6, fc7 and fc8 of every hole; returns the fc8, and 1 if they lie half a step before the
    pixels that they are to lie on, as where fc6 has no middle tap, else 0."""
    if variant.averaged:
        n.pool5a = bottom = L.Pooling(bottom, pool=P.Pooling.AVE, kernel_size=3, stride=1, pad=1)
    kernel, scores, shift = min(variant.kernel, side), [], 0
    for branch, hole in zip(variant.branches, variant.holes):
        # the same field of view, in proportion to that of the classifier
        hole = max(1, hole * (variant.kernel - 1) * (side - 1) * 8
                   // ((CLASSIFIER_SIDE - 1) * (kernel - 1) * stride))
        shift = max(shift, hole * (kernel - 1) % 2)
        top = bottom
        for name, size, space in (("6", kernel, hole), ("7", 1, 1)):
            name += branch
            n["fc" + name], n["relu" + name] = conv_relu(
                top, channels, kernel=size, pad=(space * (size - 1) + 1) // 2, **_dilated(space),
                **params)
            n["drop" + name] = top = dropout(n["relu" + name])
        n["fc8_voc12" + branch] = top = _score(top, classes, FIXED if variant.multiscale else
                                               _learn(score_rate))
        scores.append(top)
    return scores, shift


def _multiscale(n: NetSpec, sources: dict[str, Top], scores: Top, classes: int, width: float,
                filler: str | None) -> list[Top]:
    """Scores of the image and of pool1 to pool4 through 128 filters of 3×3 and 128 of 1×1 (paper,
    section 4.3), where the scores are.

    A step of s takes one pixel too few where the size is not a whole number of steps and one,
    which no crop of training is but many an image: one more step of padding before and behind, and
    the crop to `scores`, give those of the padding of 1 and what is missing.
    """
    params = dict(param=LEARN, weight_filler=dict(type=filler) if filler else
                  dict(type="gaussian", std=0.001))
    tops = []
    for i, name in enumerate(("data", "pool1", "pool2", "pool3", "pool4")):
        top, step = sources[name], max(1, 8 // 2 ** i)
        more = step if step > 1 else 0
        for place, (kernel, pad) in enumerate(((3, 1 + more), (1, 0)), 1):
            layer = f"{name}_ms{place}"
            n[layer], n["relu_" + layer] = conv_relu(
                top, scaled(BRANCH, width), kernel=kernel, pad=pad,
                stride=step if place == 1 else 1, **params)
            n["drop_" + layer] = top = dropout(n["relu_" + layer])
        n[f"fc8_{name}"] = top = _score(top, classes, _learn(SCORE_RATE))
        if more:
            n[f"fc8_{name}c"] = top = L.Crop(top, scores, axis=2, offset=1)
        tops.append(top)
    return tops


def _score(bottom: Top, classes: int, param: list) -> Top:
    return L.Convolution(bottom, kernel_size=1, num_output=classes, param=param,
                         weight_filler=dict(type="gaussian", std=0.01),
                         bias_filler=dict(type="constant", value=0))


def _learn(rate: int) -> list:
    return [dict(lr_mult=rate, decay_mult=1), dict(lr_mult=2 * rate, decay_mult=0)]


def _dilated(hole: int) -> dict:
    return dict(dilation=hole) if hole > 1 else {}
