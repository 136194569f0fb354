"""What all nets share: a few layer idioms, and what a trunk hands to a head."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec, Top
from segdata.errors import UserError

# weights and biases: rate and decay of the paper (biases learn twice as fast and do not decay)
LEARN = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]
FIXED = [dict(lr_mult=0, decay_mult=0)] * 2

# how the names begin of layers that give scores, one output a class
SCORES = ("score", "fc8_", "conv_u0d-score")

# around the image, before the first convolution: the published trunks have it, so that unpadded
# layers further up leave scores for all of an image of any size
PAD = 100
FC = 4096       # channels of fc6 and fc7


@dataclass(frozen=True)
class Features:
    """What a trunk hands to a head.

    image : the blob that scores are to be aligned with
    top : the last layer, at stride 32
    skips : {name: pooling layer}, the coarsest first: at stride 16, then 8
    odd : whether samples lie on the image's pixels, so that kernels that interpolate by f have
        the odd size 2f − 1, or between them: 2f
    scores : of trunks fused late, {'fr': scores in place of `top`, skip: scores in place of it}
    """
    image: Top
    top: Top
    skips: dict
    odd: bool
    scores: dict = field(default_factory=dict)


class FitError(UserError, ValueError):
    """A size of an image that a net does not take, or one of a net that there is not."""


class Sides(NamedTuple):
    """The sides, in pixels, that scores or training crops of a net can have: unit·k + rest, with k
    from 0."""
    unit: int
    rest: int

    def __str__(self) -> str:
        return f"{self.unit}·k + {self.rest}"

    def have(self, side: int) -> bool:
        """Whether `side` is one of them."""
        return side >= self.rest and (side - self.rest) % self.unit == 0

    def nearest(self, side: int) -> list[int]:
        """The largest of them up to `side`, and the next; below the smallest, that alone."""
        if side < self.rest:
            return [self.rest]
        below = side - (side - self.rest) % self.unit
        return [below, below + self.unit]

    def covering(self, side: int) -> int:
        """The smallest of them that is at least `side`."""
        return self.rest + self.unit * math.ceil(max(0, side - self.rest) / self.unit)


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """`channels` at a fraction `width`, rounded to a whole `multiple` (of groups), at least one.

    Raises ValueError unless `width` is positive.
    """
    if not (width > 0 and math.isfinite(width)):
        raise ValueError(f"width is {width}, expected a positive fraction of the trunk's channels")
    return max(1, round(channels * width / multiple)) * multiple


def filled(filler: str | None) -> dict:
    """Weights start as `filler` says; without one they are zero, to be copied from a model."""
    return dict(weight_filler=dict(type=filler)) if filler else {}


def conv_relu(bottom: Top, channels: int, kernel: int = 3, pad: int = 1, stride: int = 1,
              **params: Any) -> tuple[Top, Top]:
    """(convolution, in-place ReLU)."""
    layer = L.Convolution(bottom, kernel_size=kernel, stride=stride, num_output=channels, pad=pad,
                          **params)
    return layer, L.ReLU(layer, in_place=True)


def max_pool(bottom: Top, kernel: int = 2, stride: int = 2, **params: Any) -> Top:
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=kernel, stride=stride, **params)


def lrn(bottom: Top) -> Top:
    """Local response normalisation across 5 channels (Krizhevsky et al.)."""
    return L.LRN(bottom, local_size=5, alpha=1e-4, beta=0.75)


def dropout(bottom: Top, ratio: float = 0.5) -> Top:
    return L.Dropout(bottom, dropout_ratio=ratio, in_place=True)


def score(bottom: Top, classes: int) -> Top:
    """1×1 convolution to class scores; it starts at zero (no filler)."""
    return L.Convolution(bottom, kernel_size=1, num_output=classes, pad=0, param=LEARN)


def upsample(bottom: Top, classes: int, factor: int, odd: bool = False, learned: bool = False
             ) -> Top:
    """Deconvolution by `factor`, to be filled by surgery.interp; fixed unless `learned`."""
    return L.Deconvolution(bottom, param=[dict(lr_mult=int(learned))], convolution_param=dict(
        num_output=classes, kernel_size=2 * factor - odd, stride=factor, bias_term=False))


def pixel_loss(scores: Top, label: Top) -> Top:
    """The mean loss of the pixels that are not void."""
    return L.SoftmaxWithLoss(scores, label, loss_param=dict(ignore_label=255))


def of_the_size_inside(image: Top, less: int) -> Top:
    """A blob that is smaller than the image by so many pixels: Crop takes its size. Two taps that
    far apart, hardly anything to compute."""
    return L.Convolution(image, num_output=1, kernel_size=2, dilation=less, bias_term=False,
                         param=[dict(lr_mult=0, decay_mult=0)],
                         weight_filler=dict(type="constant", value=1))


def inner_products(n: NetSpec, bottom: Top, width: float, classes: int, params: dict) -> Top:
    """fc6, fc7 and fc8 of a classifier; returns fc8."""
    for name in "67":
        n["fc" + name] = L.InnerProduct(bottom, num_output=scaled(FC, width), **params)
        n["relu" + name] = L.ReLU(n["fc" + name], in_place=True)
        n["drop" + name] = bottom = dropout(n["relu" + name])
    n.fc8 = L.InnerProduct(bottom, num_output=classes, **params)
    return n.fc8
