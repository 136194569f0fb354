"""The parameters of a net: taken from files and other nets, and written to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np
import torch

from ..errors import WeightsError
from ..formats import caffemodel, hdf5
from ..log import logger
from ..proto import caffe_pb2
from .blob import Blob
from .graph import AUTOMATIC
from .layers.forks import batch_norm
from .program import Program

RENAME = "rename the layer to learn it from scratch, or give it the shape that it has there"

_BN = f"{batch_norm.HAVE}: bn_param tells which the prototxt's is"


def from_file(program: Program, path: str) -> Callable[[], None]:
    """A function that takes the parameters of layers of equal names from a caffemodel, binary or
    HDF5.

    Layers that only one side has are left alone; where these are all, the log warns. Raises
    WeightsError if the file cannot be read or a parameter does not fit; the parameters are then
    unchanged.
    """
    form = hdf5 if hdf5.is_hdf5(path) else caffemodel
    params = by_layer(program)
    names = {step.name: step.spec for step in program.steps}
    copies = []
    for name, arrays in form.read_caffemodel(path):
        if name not in names:
            logger.info("Ignoring source layer %s", name)
            continue
        blobs = params.get(name, ())
        if form is hdf5:        # which leaves out what belongs to other layers
            arrays += [None] * (len(blobs) - len(arrays))
        if len(arrays) != len(blobs):
            raise WeightsError(f"{path}: Incompatible number of blobs for layer '{name}': it has "
                               f"{len(arrays)} parameters, in {program.source} it has "
                               f"{len(blobs)}; {_BN if names[name].type == 'BN' else RENAME}")
        for i, (blob, array) in enumerate(zip(blobs, arrays)):
            if array is None and blob in program.borrowed:
                continue        # its owner has it
            _check_fit(program, path, names[name], i, blob, array)
            copies.append((name, blob, array))
    if params and not copies:
        logger.warning("%s: none of its layers with parameters has the name of one in %s: nothing "
                       "is taken from it, and the net keeps the weights that it has", path,
                       program.source)

    def put() -> None:
        for entry in copies:
            _take(path, *entry)
    return put


def _check_fit(program: Program, path: str, layer: caffe_pb2.LayerParameter, number: int,
               blob: Blob, array: np.ndarray | None) -> None:
    what = f"{path}: Cannot copy param {number} weights from layer '{layer.name}'"
    if array is None:
        raise WeightsError(f"{what}: it has no values there, nor does another layer share it")
    # strict_dim: false is how DeepLab takes a product's weights for a convolution
    if not (caffemodel.same_shape(array.shape, blob.shape)
            or not layer.strict_dim and array.size == blob.count):
        raise WeightsError(f"{what}; shape mismatch: it has the shape {array.shape}, in "
                           f"{program.source} it has {blob.shape}; {RENAME}")


def _take(path: str, layer: str, blob: Blob, array: np.ndarray) -> None:
    values = blob.data
    with np.errstate(over="ignore"):
        values[...] = array.reshape(blob.shape)
    if count := count_not_finite(torch.from_numpy(values)):
        logger.warning("%s: %d of %d values of a parameter of layer '%s' are not finite, or too "
                       "large for a float32; what the net makes of them will be of no use", path,
                       count, blob.count, layer)


def count_not_finite(tensor: torch.Tensor) -> int:
    """How many values are infinite or not a number."""
    if torch.isfinite(tensor.sum()):    # as it is of nearly all, at a fraction of the time
        return 0
    return int((~torch.isfinite(tensor)).sum())


def counts(path: str | os.PathLike) -> dict[str, int]:
    """The number of parameters of each layer in a caffemodel, binary or HDF5. Raises
    WeightsError."""
    path = os.fspath(path)
    form = hdf5 if hdf5.is_hdf5(path) else caffemodel
    return {name: len(arrays) for name, arrays in form.read_caffemodel(path)}


def share_with(program: Program, other: Program) -> None:
    """Have a program use the parameters of `other` for layers of equal names, now and after
    updates.

    Raises WeightsError where they do not fit in number or shape; nothing is shared then.
    """
    params = by_layer(program)
    names = {step.name for step in program.steps}
    for step in other.steps:
        if step.name not in names:
            logger.info("Ignoring source layer %s", step.name)
    pairs = []
    for name, theirs in by_layer(other).items():
        mine = params.get(name, ())
        if name in names and len(mine) != len(theirs):
            raise WeightsError(f"Incompatible number of blobs for layer '{name}', so that they "
                               f"cannot be shared: {program.source} has {len(mine)} of them, "
                               f"{other.source} {len(theirs)}; {RENAME}")
        for i, (own, source) in enumerate(zip(mine, theirs)):
            if own.shape != source.shape:
                raise WeightsError(f"Cannot share param {i} weights from layer '{name}'; shape "
                                   f"mismatch: its shape is {own.shape} in {program.source} and "
                                   f"{source.shape} in {other.source}; {RENAME}")
            pairs.append((own, source))
    for own, source in pairs:
        own.share_data(source)


def write_file(program: Program, form: ModuleType, path: str, diffs: bool = False) -> None:
    """Write a net with its parameters to `path`; `form` is the module caffemodel or hdf5. With
    `diffs`, their gradients too."""
    layers = [step.layer for step in program.steps]
    if form is hdf5:
        names = [step.name for step in program.steps]
        hdf5.write_caffemodel(path, names, layers, program.borrowed, diffs)
        return
    param = caffe_pb2.NetParameter()
    param.CopyFrom(program.param)
    for spec in param.layer:
        if AUTOMATIC in spec.top:
            del spec.top[:]
    caffemodel.write_caffemodel(path, param, layers, diffs)


def by_layer(program: Program) -> Mapping[str, list]:
    """{layer name: list of its parameters}, of the layers that have any."""
    return {step.name: step.layer.blobs for step in program.steps if step.layer.blobs}
