"""Deconvolutions that interpolate bilinearly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import caffe

from .parameters import SurgeryError, layer_parameters


def bilinear(size: int) -> np.ndarray:
    """The (size, size) kernel of bilinear upsampling by f = ⌊(size + 1) / 2⌋.

    w(i, j) = (1 − |i − c| / f)(1 − |j − c| / f), centre c = f − 1 for odd sizes, else f − ½.
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(line, line)


def interp(net: caffe.Net, layers: Iterable[str]) -> None:
    """Make each of the named deconvolutions interpolate bilinearly, channel by channel.

    Kernels go to the diagonal channel pairs, the others become zero. Raises SurgeryError, before
    any is filled, unless kernels are square and as many channels come out as go in (or one, which
    is also how the kernels of a fully grouped deconvolution look).
    """
    kernels = [_interpolating(net, name) for name in layers]
    for weights in kernels:
        channels, outputs, size, _ = weights.shape
        diagonal = np.arange(channels)
        weights[...] = 0
        weights[diagonal, diagonal if outputs == channels else 0] = bilinear(size)


def _interpolating(net: caffe.Net, name: str) -> np.ndarray:
    weights = layer_parameters(net, name)[0].data
    if weights.ndim != 4 or weights.shape[2] != weights.shape[3]:
        raise SurgeryError(f"{name}: interpolation needs square kernels, not {weights.shape}")
    if weights.shape[1] not in (weights.shape[0], 1):
        raise SurgeryError(f"{name}: interpolation needs equal channels, not {weights.shape}")
    return weights
