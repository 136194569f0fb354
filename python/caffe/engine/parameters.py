"""The parameters of a net: taken from files and other nets, and written to files."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from ..errors import WeightsError
from ..formats import caffemodel, hdf5
from ..log import logger
from ..proto import caffe_pb2
from .program import AUTOMATIC, Program


def copy_from_file(program: Program, path: str) -> None:
    """Take the parameters of layers of equal names from a caffemodel, binary or HDF5.

    Layers that only one side has are left alone. Raises WeightsError if the file cannot be read
    or a parameter does not fit; the parameters are then unchanged.
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
            hint = ("; PSPNet's and ICNet's BN has 4, that of SegNet, ENet and DeconvNet 2: "
                    "bn_param tells which the prototxt's is" if names[name].type == "BN" else "")
            raise WeightsError(f"{path}: layer '{name}' has {len(arrays)} parameters, in "
                               f"{program.source} it has {len(blobs)}{hint}")
        for i, (blob, array) in enumerate(zip(blobs, arrays)):
            if array is None and blob in program.borrowed:
                continue        # its owner has it
            shape = "no values" if array is None else f"the shape {array.shape}"
            # strict_dim: false is how DeepLab takes a product's weights for a convolution
            fits = array is not None and (caffemodel.same_shape(array.shape, blob.shape) or
                                          not names[name].strict_dim and array.size == blob.count)
            if not fits:
                raise WeightsError(f"{path}: parameter {i} of layer '{name}' has {shape}, in "
                                   f"{program.source} it has {blob.shape}")
            copies.append((blob, array))
    for blob, array in copies:
        blob.data[...] = array.reshape(blob.shape)


def counts(path: str) -> dict[str, int]:
    """The number of parameters of each layer in a caffemodel, binary or HDF5. Raises
    WeightsError."""
    form = hdf5 if hdf5.is_hdf5(path) else caffemodel
    return {name: len(arrays) for name, arrays in form.read_caffemodel(path)}


def share_with(program: Program, other: Program) -> None:
    """Have a program use the parameters of `other` for layers of equal names, now and after
    updates.

    Raises WeightsError where they do not fit in number or shape; nothing is shared then.
    """
    params = by_layer(program)
    names = {step.name for step in program.steps}
    pairs = []
    for name, theirs in by_layer(other).items():
        mine = params.get(name, ())
        if name in names and len(mine) != len(theirs):
            raise WeightsError(f"cannot share the parameters of layer '{name}': {program.source} "
                               f"has {len(mine)} of them, {other.source} {len(theirs)}")
        for i, (own, source) in enumerate(zip(mine, theirs)):
            if own.shape != source.shape:
                raise WeightsError(f"cannot share parameter {i} of layer '{name}': its shape is "
                                   f"{own.shape} in {program.source} and {source.shape} in "
                                   f"{other.source}")
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
