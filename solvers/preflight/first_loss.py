"""The loss of a training pass, beside what guessing costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .recipe import averaged

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

NEAR = 0.01     # of ln(classes), within which a loss is that of guessing
NOTHING = 0.9   # of ln(classes), from which on a net has learnt nothing yet
FAR = 2.0       # times ln(classes), from which on a loss is worse than any sensible start


class Loss(NamedTuple):
    """A loss of the net's last pass. label : its blob; pixels : those that are not void;
    classes : of the scores; summed, per_pixel : NaN per pixel where all are void."""
    label: str
    pixels: int
    classes: int
    summed: float
    per_pixel: float

    @property
    def guessing(self) -> float:
        return math.log(self.classes)


def losses(net: caffe.Net, param: caffe_pb2.NetParameter) -> list[Loss]:
    """The losses of the net's last pass, one of each SoftmaxWithLoss layer."""
    found = []
    for layer in param.layer:
        if layer.type != "SoftmaxWithLoss":
            continue
        scores, label = layer.bottom
        pixels = int(np.count_nonzero(
            np.asarray(net.blobs[label].data) != layer.loss_param.ignore_label))
        value = float(net.blobs[layer.top[0]].data)
        summed = value * pixels if averaged(layer) else value
        found.append(Loss(label, pixels, net.blobs[scores].data.shape[1], summed,
                          summed / pixels if pixels else math.nan))
    return found


def described(loss: Loss, scores_are_zero: bool) -> str:
    """A line: the loss summed, per valid pixel, beside ln(classes), and a verdict.

    `scores_are_zero` : whether the score layers start at zero, so that the net guesses.
    """
    return (f"first loss of '{loss.label}': {loss.summed:.6g} summed over {loss.pixels:,} valid "
            f"pixels, {loss.per_pixel:.4g} per pixel; guessing among {loss.classes} classes costs "
            f"ln({loss.classes}) = {loss.guessing:.4g}: {_verdict(loss, scores_are_zero)}")


def _verdict(loss: Loss, scores_are_zero: bool) -> str:
    if not loss.pixels:
        return "the first image is void throughout"
    if scores_are_zero and abs(loss.per_pixel - loss.guessing) > NEAR * loss.guessing:
        return ("warning: scores that start at zero cost exactly that; look for a score layer or a "
                "deconvolution that is not what it should be, or labels beyond the classes")
    if loss.per_pixel > FAR * loss.guessing:
        return ("warning: far worse than guessing; the weights do not fit these images (mean, "
                "scale, order of channels) or these classes (their order)")
    if scores_are_zero or loss.per_pixel >= NOTHING * loss.guessing:
        return "as it should be"
    return "the net starts with what it has learnt"
