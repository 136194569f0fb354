"""Fillers: the values that a parameter starts with."""

from __future__ import annotations

import math

import torch

from ..errors import LayerError, did_you_mean
from ..proto import caffe_pb2
from ..proto.caffe_pb2 import FillerParameter


def fill(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Fill `tensor` in place as the FillerParameter `filler` says.

    Random values come from torch's global generator, which `caffe.set_random_seed` seeds.
    Raises LayerError for an unknown type, or a shape or option that the type cannot serve.
    """
    if filler.type not in FILLERS:
        raise LayerError(f"unknown filler type '{filler.type}'"
                         f"{did_you_mean(filler.type, FILLERS)}; "
                         f"known: {', '.join(sorted(FILLERS))}")
    if filler.sparse != -1 and filler.type != "gaussian":
        raise LayerError(f"sparse: {filler.sparse} is for the gaussian filler, "
                         f"not for '{filler.type}'")
    with torch.no_grad():
        FILLERS[filler.type](tensor, filler)


def constant(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Everywhere `value`."""
    tensor.fill_(filler.value)


def uniform(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Uniform between `min` and `max`."""
    tensor.uniform_(filler.min, filler.max)


def gaussian(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Normal with `mean` and `std`; with `sparse`, that many inputs per output on average."""
    tensor.normal_(filler.mean, filler.std)
    if filler.sparse >= 0:
        outputs = _axis(tensor, 0)
        if filler.sparse > outputs:
            raise LayerError(f"gaussian filler: sparse: {filler.sparse} is more than "
                             f"the {outputs} outputs of shape {tuple(tensor.shape)}")
        tensor.mul_(torch.empty_like(tensor).bernoulli_(filler.sparse / outputs))


def positive_unitball(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Positive, and of sum 1 over each output."""
    rows = tensor.uniform_().view(_axis(tensor, 0), -1)
    rows.div_(rows.sum(1, keepdim=True))


def xavier(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Uniform of variance 1/n (Glorot and Bengio 2010), n as `variance_norm` says."""
    limit = math.sqrt(3 / _fan(tensor, filler.variance_norm))
    tensor.uniform_(-limit, limit)


def msra(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """Normal of variance 2/n (He et al. 2015), n as `variance_norm` says."""
    tensor.normal_(0, math.sqrt(2 / _fan(tensor, filler.variance_norm)))


def bilinear(tensor: torch.Tensor, filler: caffe_pb2.FillerParameter) -> None:
    """The kernel of bilinear interpolation, on every pair of channels.

    For size k: w(i, j) = (1 - |i - c|/f) (1 - |j - c|/f), f = ceil(k/2), c = (k - 1)/2.
    """
    if tensor.dim() != 4 or tensor.shape[2] != tensor.shape[3]:
        raise LayerError("the bilinear filler needs a shape of 4 axes with a square kernel, "
                         f"not {tuple(tensor.shape)}")
    size = tensor.shape[3]
    distance = torch.arange(size, dtype=tensor.dtype, device=tensor.device) - (size - 1) / 2
    line = 1 - distance.abs() / math.ceil(size / 2)
    tensor.copy_(torch.outer(line, line))


FILLERS = {
    "constant": constant,
    "uniform": uniform,
    "gaussian": gaussian,
    "positive_unitball": positive_unitball,
    "xavier": xavier,
    "msra": msra,
    "bilinear": bilinear,
}


def _fan(tensor: torch.Tensor, norm: int) -> float:
    """Caffe's n: the count of values per output (FAN_IN), per input (FAN_OUT), or their mean."""
    fan_in = tensor.numel() / _axis(tensor, 0)
    fan_out = tensor.numel() / (tensor.shape[1] if tensor.dim() > 1 else 1)
    if norm == FillerParameter.FAN_OUT:
        return fan_out
    if norm == FillerParameter.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_in


def _axis(tensor: torch.Tensor, axis: int) -> int:
    """The size of an axis, 1 where there is no such axis."""
    return tensor.shape[axis] if axis < tensor.dim() else 1
