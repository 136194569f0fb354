"""Weights as HDF5, by layer name: /LAYER/INDEX is parameter INDEX of LAYER."""

import os

import h5py


class WeightsFileError(RuntimeError):
    """An HDF5 file whose layers or sizes do not fit the net."""


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

    Raises WeightsFileError, before anything is copied, for a missing layer or a wrong size.
    """
    copies = []
    with h5py.File(path, "r") as file:
        for name, blobs in net.params.items():
            for i, blob in enumerate(blobs):
                key = f"{name}/{i}"
                if key not in file:
                    raise WeightsFileError(f"{path}: no parameter {i} of layer '{name}'")
                if file[key].shape != tuple(blob.data.shape):
                    raise WeightsFileError(
                        f"{path}: parameter {i} of layer '{name}' has the shape "
                        f"{file[key].shape}, in the net it has {tuple(blob.data.shape)}")
                copies.append((blob, file[key][...]))
    for blob, values in copies:
        blob.data[...] = values
