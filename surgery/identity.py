"""Layers that begin as the identity, as those of the context module of Yu and Koltun."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import caffe

from .parameters import SurgeryError, layer_parameters
from .transplant import Outcome


def identity(net: caffe.Net, layers: Sequence[str], groups: int, std: float = 0.0, seed: int = 0
             ) -> list[Outcome]:
    """Fill convolutions so that each hands its input on (arXiv 1511.07122, section 3).

    Inputs and outputs of a layer are in `groups` groups of as many channels; an output is the mean
    of the inputs of its group, by the tap in the middle. So layers with a ReLU between them give of
    scores, one a group, those above 0. All other weights are normal with the deviation `std`,
    without which the channels of a group would stay equal for ever; biases are 0.

    Returns the outcomes for a report. Raises SurgeryError, before anything is filled, if a layer is
    unknown, has groups of its own, no tap in the middle, or channels that are not in `groups`.
    """
    blobs = {name: layer_parameters(net, name) for name in layers}
    for name, (weights, *_) in blobs.items():
        shape = tuple(weights.data.shape)
        if len(shape) != 4 or any(n % groups for n in shape[:2]) or not all(
                side % 2 for side in shape[2:]):
            raise SurgeryError(f"{name} of shape {shape} cannot begin as the identity of {groups} "
                               "groups: that takes a convolution with multiples of so many "
                               "outputs and inputs, and an odd kernel")
    rng = np.random.default_rng(seed)
    for weights, *bias in blobs.values():
        outputs, inputs, height, width = weights.data.shape
        values = rng.normal(0, std, weights.data.shape) if std else np.zeros(weights.data.shape)
        same = (np.arange(outputs) * groups // outputs)[:, None] == \
            np.arange(inputs) * groups // inputs
        values[same, height // 2, width // 2] = groups / inputs
        weights.data[...] = values
        for blob in bias:
            blob.data[...] = 0
    return [Outcome("identity", name, f" {tuple(weights.data.shape)}")
            for name, (weights, *_) in blobs.items()]
