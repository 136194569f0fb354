"""Weights as HDF5, by layer name: /LAYER/INDEX is parameter INDEX of LAYER."""

import os

import h5py


class WeightsFileError(RuntimeError):
    """An HDF5 file that cannot be read, or whose layers or sizes do not fit the net."""


def save_hdf5(net, path):
    """Write the parameters of `net` to `path`, whole or not at all."""
    temporary = f"{path}.part"
    try:
        with h5py.File(temporary, "w") as file:
            for name, blobs in net.params.items():
                for i, blob in enumerate(blobs):
                    file.create_dataset(f"{name}/{i}", data=blob.data)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load_hdf5(net, path):
    """Fill every parameter of `net` from `path`; layers that only the file has are ignored.

    Raises WeightsFileError, before anything is copied, for a file that cannot be read, a missing
    layer or a wrong size.
    """
    try:
        with h5py.File(path, "r") as file:
            copies = [(blob, _read(file, path, name, i, tuple(blob.data.shape)))
                      for name, blobs in net.params.items() for i, blob in enumerate(blobs)]
    except OSError as error:
        raise WeightsFileError(f"{path}: not a readable HDF5 file: {error}") from None
    for blob, values in copies:
        blob.data[...] = values


def _read(file, path, name, i, shape):
    data = file.get(f"{name}/{i}")
    if not isinstance(data, h5py.Dataset):
        raise WeightsFileError(f"{path}: no parameter {i} of layer '{name}'")
    if data.shape != shape:
        raise WeightsFileError(f"{path}: parameter {i} of layer '{name}' has the shape "
                               f"{data.shape}, in the net it has {shape}")
    return data[...]
