"""The loss of a training pass, beside what guessing costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcn.nets.weighted import read_class_weights
from segdata.lists import literal

from .recipe import averaged, is_loss

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

NEAR = 0.01     # of ln(classes), within which a loss is that of guessing
NOTHING = 0.9   # of ln(classes), from which on a net has learnt nothing yet
ROUNDED = 1e-4  # difference of a mean weight from 1 up to which there are no weights
FAR = 2.0       # times ln(classes), from which on a loss is worse than any sensible start


class Loss(NamedTuple):
    """A loss of the net's last pass. label : its blob; pixels : those that are not void;
    classes : of the scores; summed, per_pixel : with weights, per weight; NaN per pixel where all
    are void."""
    label: str
    pixels: int
    classes: int
    summed: float
    per_pixel: float

    @property
    def guessing(self) -> float:
        return math.log(self.classes)


def losses(net: caffe.Net, param: caffe_pb2.NetParameter) -> list[Loss]:
    """The losses of the net's last pass, one of each layer that is a loss of scores and labels."""
    found = []
    for layer in filter(is_loss, param.layer):
        scores, label = layer.bottom[:2]
        labels = np.asarray(net.blobs[label].data)
        valid = labels != ignored(layer)
        pixels, value = int(np.count_nonzero(valid)), float(net.blobs[layer.top[0]].data)
        summed = value * (pixels if averaged(layer) else len(labels))
        weight = _weight(net, layer, labels, valid)
        found.append(Loss(label, pixels, net.blobs[scores].data.shape[1], summed,
                          summed / weight if weight else math.nan))
    return found


def ignored(layer: caffe_pb2.LayerParameter) -> int:
    """The label that does not count."""
    if layer.type == "Python":
        return literal(layer.python_param.param_str)["ignore_label"]
    return layer.loss_param.ignore_label


def _weight(net: caffe.Net, layer: caffe_pb2.LayerParameter, labels: np.ndarray,
            valid: np.ndarray) -> float:
    """The sum of the weights of all pixels that are not void: their number, without weights."""
    by_class, by_pixel = None, np.ones(np.count_nonzero(valid))
    if layer.type == "InfogainLoss":
        by_class = read_class_weights(layer.infogain_loss_param.source)
    elif layer.type == "Python":
        by_class = literal(layer.python_param.param_str).get("class_weights")
        by_pixel = np.asarray(net.blobs[layer.bottom[2]].data)[valid]
    if by_class is not None:
        by_pixel = by_pixel * np.asarray(by_class)[labels[valid].astype(int)]
    return float(by_pixel.sum())


def described(loss: Loss, scores_are_zero: bool, is_new: bool = False) -> str:
    """A line: the loss summed and per valid pixel, what is expected, and when to worry.

    scores_are_zero : whether the score layers start at zero, so that the net guesses
    is_new : whether all weights are random, so that the net has learnt nothing
    """
    weight = loss.summed / loss.per_pixel / max(1, loss.pixels) if loss.per_pixel else 1.0
    weighted = f" of the mean weight {weight:.4g}" if abs(weight - 1) > ROUNDED else ""
    of_weight = " of weight 1" * bool(weighted)
    return (f"first loss of '{loss.label}': {loss.summed:.6g} summed over {loss.pixels:,} valid "
            f"pixels{weighted}, {loss.per_pixel:.4g} per pixel{of_weight}; guessing among "
            f"{loss.classes} classes costs ln({loss.classes}) = {loss.guessing:.4g}: "
            f"{_verdict(loss, scores_are_zero, is_new)}")


def _no_number(loss: Loss) -> str:
    """Why there is nothing to compare; '' if there is."""
    if not loss.pixels:
        return "the first image is void throughout"
    if not math.isfinite(loss.summed):
        return "warning: no finite number; look at the weights, the mean and the scale of images"
    if not math.isfinite(loss.per_pixel):
        return "all weights of the first image are 0, so that nothing is learnt from it"
    return "" if loss.guessing else "of one class there is nothing to be learnt"


def _verdict(loss: Loss, scores_are_zero: bool, is_new: bool) -> str:
    if no_number := _no_number(loss):
        return no_number
    if scores_are_zero and abs(loss.per_pixel - loss.guessing) > NEAR * loss.guessing:
        return ("warning: scores that start at zero cost exactly that; look for a score layer or a "
                "deconvolution that is not what it should be, or labels beyond the classes")
    times = loss.per_pixel / loss.guessing
    if times > FAR:
        return ("warning: far worse than guessing; the weights do not fit these images (mean, "
                "scale, order of channels) or these classes (their order)")
    if scores_are_zero:
        return "as expected of scores that start at zero"
    if abs(times - 1) <= 1 - NOTHING:
        return f"{times:.2f} times that, as expected of a net that has yet to learn these classes"
    if times > 1:
        return (f"{times:.2f} times that, as untrained scores often cost. Worry only if it is "
                f"still above {loss.guessing:.3g} per pixel after some hundred iterations")
    if is_new:
        return (f"{times:.2f} times that: this image is mostly of a class that the random weights "
                "happen to favour. Nothing to worry about; others will cost more")
    return f"{times:.2f} times that: the net starts with what it has learnt"
