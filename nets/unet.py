"""U-Net (Ronneberger, Fischer and Brox, MICCAI 2015, arXiv 1505.04597).

A contracting path of pairs of 3×3 convolutions and poolings, and an expanding one that doubles the
size by 2×2 up-convolutions and sees again what the contracting one had at that size. Nothing is
padded: scores are those of pixels that the net sees with all that lies around them, and images come
with a margin of their own reflection, which the data layer adds.

Layers have the names of the released net, so that its weights load as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

import caffe
from caffe import layers as L
from caffe.coord_map import coord_map_from_to
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2

from .layers import (
    LEARN,
    FitError,
    Sides,
    conv_relu,
    dropout,
    filled,
    max_pool,
    of_the_size_inside,
    pixel_loss,
    scaled,
)
from .source import Source

HEAD = "unet"
HEADS = (HEAD,)
DEPTH = 4               # poolings
MOST_DEPTH = 6
WIDTH = 64              # channels at the size of the image; they double with each pooling
SCORE = "conv_u0d-score"
SIDE = 572              # of the published tile, which gives scores of 388


class Traced(NamedTuple):
    """top : of the net; path : the same without concatenations, which no coordinate map passes"""
    top: Top
    path: Top


def lost(depth: int = DEPTH) -> int:
    """The pixels by which scores are smaller than the image, along each axis: 184 of 4 poolings.

    Two convolutions take 4 samples, at each stride on the way down and again on the way up.
    """
    return 4 * (2 ** (depth + 1) - 1 + 2 ** depth - 1)


def margin(depth: int = DEPTH) -> int:
    """The pixels that an image of any size needs on each side, so that all scores of what is inside
    are whole, wherever the windows of the poolings begin."""
    return lost(depth) // 2 + 2 ** depth


def margin_told(layers: Iterable[str], pixels: int) -> str:
    """What a margin of so many pixels is made of, behind the number, where the layers are those of
    a U-Net whose `margin` it is; else ''."""
    depth = depth_of(layers)
    if not depth or pixels != margin(depth):
        return ""
    return (f": {lost(depth) // 2} that its convolutions cut off, and {2 ** depth} for its "
            "poolings, whose windows may begin at any of as many pixels")


def score_sides(depth: int = DEPTH) -> Sides:
    """The sides that scores can have: 4, 4 + 2^depth, 4 + 2·2^depth, …"""
    return Sides(2 ** depth, 4)


def check_fits(what: str, scores: int, depth: int) -> None:
    """Raise FitError, with the nearest sizes that do, unless there is an image that gives scores of
    that many pixels along an axis."""
    sides = score_sides(depth)
    if not sides.have(scores):
        raise FitError(f"{what}: with {depth} poolings a U-Net gives scores of {sides} pixels a "
                       f"side for an image that is {lost(depth)} larger, not {scores}; the nearest "
                       f"{_nearest(scores, depth)}")


def _nearest(scores: int, depth: int) -> str:
    """The sizes of scores that a U-Net can give which are nearest, for a message."""
    sizes = score_sides(depth).nearest(scores)
    named = " or ".join(f"{size} (of an image of {size + lost(depth)})" for size in sizes)
    return f"{'are' if len(sizes) > 1 else 'is'} {named}"


def depth_of(layers: Iterable[str]) -> int:
    """The poolings of the U-Net that has layers of these names; 0 of another net."""
    found = {*layers}
    return max(0, sum(f"conv_d{level}a-b" in found for level in range(MOST_DEPTH + 1)) - 1)


def sizes_told(layers: Iterable[str], size: Sequence[int]) -> str:
    """Which images a U-Net alone takes, with those nearest to `size` (height, width), in a
    sentence; '' of a net that is none."""
    if not (depth := depth_of(layers)):
        return ""
    less = lost(depth)
    nearest = "; ".join(f"for {side} pixels a side the nearest {_nearest(side - less, depth)}"
                        for side in dict.fromkeys(size))
    return (f"It is a U-Net alone: its scores are {less} pixels smaller than its image and have"
            f" {score_sides(depth)} a side; {nearest}. The nets of `fcn solve --head unet` and "
            "`fcn nets isbi-unet` take images of any size, with a margin")


def unet(side: int = SIDE, depth: int = DEPTH, width: float = 1.0, classes: int = 2,
         channels: int = 1, released: bool = False) -> caffe_pb2.NetParameter:
    """The NetParameter of U-Net alone: `data`, a tile of `side` × `side`, to `score`, 184 smaller.

    depth, width, released : as of `predict`; channels : of the image
    Raises FitError, with the nearest sizes that do, for a side that does not fit, and for what are
    no whole numbers from 1.
    """
    check_depth(depth)
    _check_whole("side", side, "of pixels")
    _check_whole("classes", classes)
    _check_whole("channels", channels)
    check_fits(f"an image of {side} pixels", side - lost(depth), depth)
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, channels, side, side]))
    found = _layers(n, n.data, depth, width, "msra", released)
    n[SCORE] = L.Convolution(found.top, kernel_size=1, num_output=classes, param=LEARN,
                             **filled("msra"))
    net = n.to_proto()
    net.layer[-1].top[:] = ["score"]
    return type(net)(layer=[layer for layer in net.layer if layer.type != "Dropout"])


def check_depth(depth: int) -> None:
    """Raise FitError unless there can be a U-Net of so many poolings."""
    _check_whole("depth", depth, "of poolings", most=MOST_DEPTH)


def _check_whole(name: str, value: int, what: str = "", most: float = math.inf) -> None:
    if not (isinstance(value, Integral) and not isinstance(value, bool) and 1 <= value <= most):
        expected = " ".join(filter(None, ("a whole number", what, "from 1")))
        raise FitError(f"U-Net: {name} is {value!r}, expected {expected}"
                       + (f" to {most}" if most < math.inf else ""))


def with_margins(source: Source, depth: int = DEPTH) -> Source:
    """The source whose images have the margins that the net needs: where training takes crops, the
    one that gives scores of just that size, as published.

    Raises FitError where no image gives scores of the size of these crops.
    """
    check_depth(depth)
    source = source.with_margin(margin(depth))
    for side in source.crop:
        check_fits(f"training crops of {side} pixels", side, depth)
    return source.with_training(margin=lost(depth) // 2) if source.crop else source


def fitting(source: Source, head: str, options: Mapping[str, Any]) -> Source:
    """See nets.fcn."""
    return with_margins(source, options.get("depth", DEPTH))


def predict(n: NetSpec, image: Top, head: str, split: str, source: Source, depth: int = DEPTH,
            width: float = 1.0, filler: str | None = None, released: bool = False) -> None:
    """Set `n.score`, of the size that the image `n.data` has without the margin of the source, and
    `n.loss`.

    depth : poolings; width : fraction of the 64 channels at the size of the image, which double
        with each of them; released : the last up-convolution has twice the channels, as in the
        released net, not in the paper; the others as of nets.fcn
    """
    found = _layers(n, image, depth, width, filler, released)
    n[SCORE] = L.Convolution(found.top, kernel_size=1, num_output=source.classes, param=LEARN,
                             **filled(filler))
    around = source.train.params["margin"] if split == "train" else source.margin
    n.inside = of_the_size_inside(n.data, 2 * around)
    n.score = _crop(Traced(n[SCORE], found.path), Traced(n.inside, n.inside))
    if split != "deploy":
        n.loss = pixel_loss(n.score, n.label)


def _layers(n: NetSpec, image: Top, depth: int, width: float, filler: str | None, released: bool
            ) -> Traced:
    """Both paths; returns what the scores are made of."""
    params = dict(pad=0, param=LEARN, **filled(filler))
    channels = [scaled(WIDTH * 2 ** level, width) for level in range(depth + 1)]
    skips, top = [], image
    for level, number in enumerate(channels):
        top = _two(n, Traced(top, top), f"d{level}", "abc", number, params).top
        if level >= depth - 1:
            n[f"dropout_d{level}c"] = top = dropout(top)
        if level < depth:
            skips.append(Traced(top, top))
            n[f"pool_d{level}c-{level + 1}a"] = top = max_pool(top)
    found, name = Traced(top, top), f"d{depth}c"
    for level in reversed(range(depth)):
        doubled = 1 + (released and level == 0)
        found = _expand(n, found, name, level, skips[level], doubled * channels[level], params)
        found = _two(n, found, f"u{level}", "bcd", channels[level], params)
        name = f"u{level}d"
    return found


def _two(n: NetSpec, bottom: Traced, place: str, letters: str, channels: int, params: dict
         ) -> Traced:
    """Two convolutions of 3×3, each with its ReLU."""
    top, path = bottom
    for before, after in zip(letters, letters[1:]):
        name = f"conv_{place}{before}-{after}"
        n[name], n[f"relu_{place}{after}"] = conv_relu(top, channels, **params)
        top = n[f"relu_{place}{after}"]
        path = L.Convolution(path, kernel_size=3)
    return Traced(top, path)


def _expand(n: NetSpec, bottom: Traced, name: str, level: int, skip: Traced, channels: int,
            params: dict) -> Traced:
    """The bottom at twice the size, beside what the contracting path had there."""
    kernel = dict(kernel_size=2, stride=2)
    upper = f"upconv_{name}_u{level}a"
    own: dict[str, Any] = {key: value for key, value in params.items() if key != "param"}
    n[upper] = L.Deconvolution(bottom.top, param=params["param"], convolution_param=dict(
        num_output=channels, **kernel, **own))
    n[f"relu_u{level}a"] = L.ReLU(n[upper], in_place=True)
    up = Traced(n[f"relu_u{level}a"], L.Deconvolution(bottom.path, convolution_param=kernel))
    n[f"crop_d{level}c-d{level}cc"] = cropped = _crop(skip, up)
    n[f"concat_d{level}cc_u{level}a-b"] = joined = L.Concat(up.top, cropped)
    return Traced(joined, up.path)


def _crop(larger: Traced, smaller: Traced) -> Top:
    """The larger blob as far as it lies on the smaller; the offset follows from the coordinates."""
    _, _, shift = coord_map_from_to(larger.path, smaller.path)
    return L.Crop(larger.top, smaller.top, axis=2, offset=int(-np.max(shift)))
