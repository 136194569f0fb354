"""Weights as safetensors: `<layer>.<number>` for each parameter."""

from collections.abc import Sequence

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load_file

from ..engine.net import Net
from ..errors import WeightsError
from ..formats.atomic import replacing
from ..formats.text import file_name
from ..log import logger


def save_safetensors(net: Net, path: str) -> None:
    """Write the parameters of a net; those that layers share stand with their owner alone."""
    arrays = {f"{name}.{i}": np.asarray(blob.data, order="C")
              for name, blobs in net.params.items() for i, blob in enumerate(blobs)
              if blob not in net.program.borrowed}
    with replacing(path) as file:
        file.write(save(arrays, {"format": "caffe", "net": net.name}))


def load_safetensors(net: Net, path: str) -> None:
    """Take the parameters of layers of equal names.

    Layers that only one side has are left alone. Raises WeightsError if the file cannot be read,
    or has nothing for this net, or the parameters of a layer do not fit in number or shape; the net
    is then unchanged.
    """
    copies = []
    for name, arrays in _by_layer(path).items():
        if name not in net.params:
            logger.info("Ignoring source layer %s", name)
        blobs = dict(enumerate(net.params.get(name, ())))
        for i in sorted({*arrays, *blobs}) if blobs else ():
            if i not in arrays and blobs[i] in net.program.borrowed:
                continue        # its owner has it
            found, wanted = (each[i].shape if i in each else None for each in (arrays, blobs))
            if found != wanted:
                raise WeightsError(f"{path}: parameter {i} of layer '{name}' {_told(found)}, "
                                   f"in {net.program.source} it {_told(wanted)}")
            copies.append((blobs[i], arrays[i]))
    if not copies:
        raise WeightsError(f"{path}: it has no parameter of a layer of {net.program.source}; "
                           "they are named <layer>.<number>")
    for blob, array in copies:
        blob.data[...] = array


def _by_layer(path: str) -> dict[str, dict[int, np.ndarray]]:
    """{layer name: {number: array}} of a file; what has no number belongs to no layer."""
    try:
        arrays = load_file(file_name(path))
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors: {error}") from None
    layers: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, _, number = name.rpartition(".")
        if number.isdecimal():
            layers.setdefault(layer, {})[int(number)] = array.float().numpy()
    return layers


def _told(shape: Sequence[int] | None) -> str:
    return "is missing" if shape is None else f"has the shape {shape}"
