"""The parameters that surgery takes from and fills: those of a net, or those in a file, without the
prototxt of their net. And what it raises where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import caffe
from segdata.errors import UserError


class SurgeryError(UserError):
    """Parameters that do not fit where they are to go."""


class Parameter(NamedTuple):
    """data : its values, read-only"""
    data: np.ndarray


class Weights:
    """The parameters in a caffemodel, binary or HDF5: what `transplant` and its kin take from.

    params : {layer: list of Parameters}, of the layers that have any

        surgery.transplant(net, surgery.Weights("vgg16.caffemodel"), skip=["fc8"])
    """

    def __init__(self, path: str | Path) -> None:
        """Raises SurgeryError where the Caffe that is imported cannot read files without a
        prototxt, or the file has no parameters; caffe.CaffeError for a damaged file."""
        if not hasattr(caffe.io, "read_weights"):
            raise SurgeryError(f"{path}: {caffe.__file__} has no caffe.io.read_weights, which "
                               "reads weights without a prototxt; load them into a net, or import "
                               "this project's caffe")
        layers = caffe.io.read_weights(str(path))
        is_old = all(array.ndim == 4 for arrays in layers.values() for array in arrays)
        self.params = {name: [Parameter(_without_leading_ones(array) if is_old else array)
                              for array in arrays] for name, arrays in layers.items() if arrays}
        if not self.params:
            raise SurgeryError(f"{path} has no parameters in any of its layers: "
                               f"{', '.join(layers)}. Take a caffemodel that a training wrote")


def layer_parameters(net: caffe.Net | Weights, name: str) -> list:
    """The parameter blobs of a layer. Raises SurgeryError unless the net has such a layer."""
    if name not in net.params:
        raise SurgeryError(f"no layer {name} with parameters in the net; "
                           f"there are {', '.join(net.params)}")
    blobs = net.params[name]
    return [blobs[i] for i in range(len(blobs))]


def _without_leading_ones(array: np.ndarray) -> np.ndarray:
    """Old Caffe, where all has four axes, stored products as (1, 1, outputs, inputs), biases as
    (1, 1, 1, outputs)."""
    if array.shape[:2] == (1, 1):
        return array.reshape(array.shape[3:] if array.shape[2] == 1 else array.shape[2:])
    return array
