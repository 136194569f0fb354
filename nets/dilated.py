"""Dilated convolutions (Yu and Koltun, ICLR 2016, arXiv 1511.07122): a front end and its context.

The front end is VGG-16 without its last two poolings. What follows them is dilated by as much, and
so scores have a stride of 8. Nothing is padded with zeros: images come with a margin, their own
reflection, which the data layer adds, so that scores cover the image itself.

The context module sees ever farther by dilations of 1 to 16, without losing resolution. It starts
as the identity (surgery.identity) and learns on the scores of a trained front end, which stays as
it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caffe import layers as L
from caffe.net_spec import NetSpec, Top

from .layers import (
    FC,
    FIXED,
    LEARN,
    conv_relu,
    dropout,
    filled,
    max_pool,
    of_the_size_inside,
    pixel_loss,
    scaled,
    upsample,
)
from .source import Source
from .vgg16 import BLOCKS

STRIDE = 8
FC6_DILATION = 4
# of a context layer: dilation, and channels in units of the classes: in the basic module, the large
LAYERS = {"conv1_1": (1, 1, 2), "conv1_2": (1, 1, 2), "conv2_1": (2, 1, 4), "conv3_1": (4, 1, 8),
          "conv4_1": (8, 1, 16), "conv5_1": (16, 1, 32), "fc1": (1, 1, 32)}
PREFIX = "ct_"          # of the names of context layers
CONTEXT_PAD = sum(dilation for dilation, _, _ in LAYERS.values())      # zeros, of its first layer
HEADS = ("dilated-frontend", "dilated-context", "dilated-context-large")


def margin(fc6_kernel: int = 7) -> int:
    """The pixels that an image needs on each side, with fc6 of so many taps a side: 186 of 7.

    Convolutions of 3 take 2, 4, 3·2 and 3·4 samples at their strides from what the poolings leave,
    at stride 8 conv4 3·2, conv5 3·4, fc6 its dilation times the taps less one.
    """
    lost = 4 + 2 * 4 + 4 * 6 + STRIDE * (6 + 12 + FC6_DILATION * (fc6_kernel - 1))
    return lost // 2


def fitting(source: Source, head: str, options: Mapping[str, Any]) -> Source:
    """See nets.fcn."""
    return source.with_margin(margin(options.get("fc6_kernel", 7)))


def predict(n: NetSpec, image: Top, head: str, split: str, source: Source, width: float = 1.0,
            filler: str | None = None, fc6_kernel: int = 7) -> None:
    """Set `n.score`, `margin(fc6_kernel)` smaller on each side than the image, and `n.loss`.

    head : one of HEADS; the others as of nets.fcn
    """
    classes = source.classes
    params = dict(param=LEARN if head == HEADS[0] else FIXED, **filled(filler))
    top = _trunk(n, image, width, params)
    for name, kernel, space in (("6", fc6_kernel, FC6_DILATION), ("7", 1, 1)):
        n["fc" + name], n["relu" + name] = conv_relu(
            top, scaled(FC, width), kernel=kernel, pad=0, **_dilated(space), **params)
        n["drop" + name] = top = dropout(n["relu" + name])
    n.final = top = L.Convolution(
        top, kernel_size=1, num_output=classes, param=params["param"],
        weight_filler=dict(type="gaussian", std=0.001))
    if head != HEADS[0]:
        top = _context(n, top, classes, head == HEADS[2])
    n.upscore8 = upsample(top, classes, STRIDE)
    # scores lie in the middle of 8×8 pixels, of which the first may end outside the image
    n.inside = of_the_size_inside(n.data, 2 * margin(fc6_kernel))
    n.score = L.Crop(n.upscore8, n.inside, axis=2, offset=STRIDE // 2)
    if split != "deploy":
        n.loss = pixel_loss(n.score, n.label)


def _trunk(n: NetSpec, bottom: Top, width: float, params: dict) -> Top:
    """conv1_1 … relu5_3, which it returns."""
    for block, (channels, depth) in enumerate(BLOCKS, 1):
        for i in range(1, depth + 1):
            name = f"{block}_{i}"
            n["conv" + name], n["relu" + name] = conv_relu(
                bottom, scaled(channels, width), pad=0, **_dilated(2 if block == 5 else 1),
                **params)
            bottom = n["relu" + name]
        if block < 4:
            n[f"pool{block}"] = bottom = max_pool(bottom)
    return bottom


def _context(n: NetSpec, bottom: Top, classes: int, large: bool) -> Top:
    """The context module; it returns its scores."""
    for place, (name, (dilation, *units)) in enumerate(LAYERS.items()):
        n[PREFIX + name], n[f"{PREFIX}relu_{name}"] = conv_relu(
            bottom, classes * units[large], pad=0 if place else CONTEXT_PAD, **_dilated(dilation),
            param=LEARN)
        bottom = n[f"{PREFIX}relu_{name}"]
    n[f"{PREFIX}final"] = L.Convolution(bottom, kernel_size=1, num_output=classes, param=LEARN)
    return n[f"{PREFIX}final"]


def context_layers(head: str) -> list[str]:
    """The layers of a head's context module, from below."""
    return [] if head == HEADS[0] else [PREFIX + name for name in (*LAYERS, "final")]


def _dilated(dilation: int) -> dict:
    return dict(dilation=dilation) if dilation > 1 else {}
