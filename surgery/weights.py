"""Weights in a file, without the prototxt of their net."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import caffe

from .parameters import SurgeryError


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


def _without_leading_ones(array: np.ndarray) -> np.ndarray:
    """Old Caffe, where all has four axes, stored products as (1, 1, outputs, inputs), biases as
    (1, 1, 1, outputs)."""
    if array.shape[:2] == (1, 1):
        return array.reshape(array.shape[3:] if array.shape[2] == 1 else array.shape[2:])
    return array
