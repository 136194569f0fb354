"""The settings of the solver: numbers that cannot be right, a rate that does not fit the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from segdata.lists import literal

from .findings import Finding

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

# The rate of a loss averaged over pixels, divided by 1 - momentum: what is left of an update when
# all its traces have come. Experiments and miniatures have 1e-7 to 0.1.
LEAST, MOST = 1e-7, 2.0
NEVER_NEGATIVE = ("base_lr", "momentum", "momentum2", "weight_decay", "gamma", "delta", "rms_decay",
                  "max_iter", "iter_size", "stepsize", "snapshot", "average_loss")
RECIPES = ("heavy: momentum 0.99, iter_size 1; online: 0.9 and 1; accumulation: 0.9 and up to 20 "
           "images")


def findings(solver: caffe_pb2.SolverParameter, net_param: caffe_pb2.NetParameter, net: caffe.Net
             ) -> Iterator[Finding]:
    """The findings about a SolverParameter, given the train net and what it was built from."""
    broken = list(_impossible(solver))
    yield from broken
    if not broken:
        yield from _rates(solver, net_param, net)
        yield from _momentum(solver.momentum, solver.iter_size)


def _impossible(solver: caffe_pb2.SolverParameter) -> Iterator[Finding]:
    for field, value in solver.ListFields():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not math.isfinite(value):
            yield Finding(f"{field.name} is {value}", "give a finite number")
        elif is_number and value < 0 and field.name in NEVER_NEGATIVE:
            yield Finding(f"{field.name} is {value:g}", "give a number from 0 on")
    for name in ("momentum", "momentum2"):
        if getattr(solver, name) >= 1:
            yield Finding(f"{name} is {getattr(solver, name):g}, so that gradients never fade",
                          "take 0.9, or 0.99 with single images")


def is_loss(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer is a loss of scores and labels: weighted or not."""
    return (layer.type in ("SoftmaxWithLoss", "InfogainLoss")
            or layer.python_param.layer == "PixelWeightedLoss")


def averaged(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a loss layer divides by its pixels."""
    if layer.type == "Python":
        return bool(literal(layer.python_param.param_str)["normalize"])
    loss = layer.loss_param
    if loss.HasField("normalize") and not loss.HasField("normalization"):
        return loss.normalize
    return loss.normalization in (loss.FULL, loss.VALID)


def _rates(solver: caffe_pb2.SolverParameter, net_param: caffe_pb2.NetParameter,
           net: caffe.Net) -> Iterator[Finding]:
    for layer in net_param.layer:
        if not is_loss(layer) or not solver.base_lr:
            continue
        pixels = net.blobs[layer.bottom[1]].data[:1].size       # a sum is divided by the images
        is_mean, rate, left = averaged(layer), solver.base_lr, 1 - solver.momentum
        effective = rate * (1 if is_mean else pixels) / left
        kind = "averaged over pixels" if is_mean else f"summed over about {pixels:,} pixels"
        what = f"the rate base_lr is {rate:g}, and the loss '{layer.name}' is {kind}"
        if effective > MOST:
            fitting = 0.01 * left if is_mean else 0.1 * left / pixels
            yield Finding(f"{what}: " + ("" if is_mean else f"it acts as {rate * pixels:.3g} would "
                          f"on an averaged loss, {pixels:,} times as much, and ")
                          + "the loss would be NaN at once", f"--lr {fitting:.1g}"
                          + ("" if is_mean else f", a rate of averaged losses divided by {pixels:,}"
                             "; or normalize: true in loss_param"))
        elif effective < LEAST and is_mean:
            yield Finding(f"{what}: nothing would be learnt; that is a rate of summed losses, "
                          f"{pixels:,} times too small", f"--lr {rate * pixels:.1g}, or "
                          "normalize: false in loss_param")


def _is_shared_out(momentum: float) -> bool:
    """Whether a momentum is 0.99^N: that of N workers that see as many images as one."""
    workers = math.log(momentum) / math.log(0.99) if momentum > 0 else 0
    return 1 <= round(workers) <= 20 and abs(workers - round(workers)) < 1e-3


def _momentum(momentum: float, iter_size: int) -> Iterator[Finding]:
    images = iter_size / (1 - momentum)
    longest = {0.9: 20, 0.99: 1}.get(round(momentum, 6), 0)
    if iter_size <= longest or (iter_size == 1 and _is_shared_out(momentum)):
        return
    yield Finding(f"momentum {momentum:.4g} with iter_size {iter_size} is outside the recipes of "
                  f"the paper: a gradient is in the updates of about {images:,.0f} images",
                  RECIPES, stops=images > 1000)
