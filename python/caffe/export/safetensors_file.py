"""Weights as safetensors: `<layer>.<number>` for each parameter."""

import numpy as np

from ..errors import WeightsError
from ..files import replacing


def save_safetensors(net, path):
    """Write the parameters of a net; those that layers share stand with their owner alone."""
    from safetensors.numpy import save
    arrays = {f"{name}.{i}": np.ascontiguousarray(blob.data)
              for name, blobs in net.params.items() for i, blob in enumerate(blobs)
              if blob not in net._borrowed}
    with replacing(path) as file:
        file.write(save(arrays, {"format": "caffe", "net": net.name}))


def load_safetensors(net, path):
    """Take the parameters of layers of equal names.

    Raises WeightsError if the file cannot be read, or a parameter does not fit or is missing
    while others of its layer are there; the net is then unchanged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors: {error}") from None
    copies = []
    layers = {name.rpartition(".")[0] for name in arrays}
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs if name in layers else ()):
            array = arrays.get(f"{name}.{i}")
            if blob in net._borrowed and array is None:
                continue
            if array is None or array.shape != blob.shape:
                found = "is missing" if array is None else f"has the shape {array.shape}"
                raise WeightsError(f"{path}: parameter {i} of layer '{name}' {found}, in the net "
                                   f"it has {blob.shape}")
            copies.append((blob, array))
    for blob, array in copies:
        blob.data[...] = array
