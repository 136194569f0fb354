"""Weights as safetensors: `<layer>.<number>` for each parameter."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ..errors import WeightsError
from ..formats.atomic import replacing


def save_safetensors(net, path):
    """Write the parameters of a net; those that layers share stand with their owner alone."""
    arrays = {f"{name}.{i}": np.asarray(blob.data, order="C")
              for name, blobs in net.params.items() for i, blob in enumerate(blobs)
              if blob not in net.program.borrowed}
    with replacing(path) as file:
        file.write(save(arrays, {"format": "caffe", "net": net.name}))


def load_safetensors(net, path):
    """Take the parameters of layers of equal names.

    Layers that only one side has are left alone. Raises WeightsError if the file cannot be read,
    or the parameters of a layer do not fit in number or shape; the net is then unchanged.
    """
    copies = []
    for name, arrays in _by_layer(path).items():
        blobs = dict(enumerate(net.params.get(name, ())))
        for i in sorted({*arrays, *blobs}) if blobs else ():
            if i not in arrays and blobs[i] in net.program.borrowed:
                continue        # its owner has it
            found, wanted = (each[i].shape if i in each else None for each in (arrays, blobs))
            if found != wanted:
                raise WeightsError(f"{path}: parameter {i} of layer '{name}' {_told(found)}, "
                                   f"in {net.program.source} it {_told(wanted)}")
            copies.append((blobs[i], arrays[i]))
    for blob, array in copies:
        blob.data[...] = array


def _by_layer(path):
    """{layer name: {number: array}} of a file; what has no number belongs to no layer."""
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors: {error}") from None
    layers = {}
    for name, array in arrays.items():
        layer, _, number = name.rpartition(".")
        if number.isdecimal():
            layers.setdefault(layer, {})[int(number)] = array
    return layers


def _told(shape):
    return "is missing" if shape is None else f"has the shape {shape}"
