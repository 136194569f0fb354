"""The HDF5 forms of caffemodels and solverstates, as snapshot_format: HDF5 writes them.

A caffemodel holds `data/LAYER/I`, and with gradients `diff/LAYER/I`; a solverstate holds `iter`,
`current_step`, `learned_net` and `history/I`.
"""

from contextlib import contextmanager

import h5py
import numpy as np

from ..errors import WeightsError
from .atomic import replacing
from ..proto import caffe_pb2


def is_hdf5(path):
    """Whether the file is there and in HDF5."""
    return h5py.is_hdf5(path)


def read_caffemodel(path):
    """The parameters in a caffemodel: list of (layer name, list of arrays).

    An array is None where the layer uses another's parameter. Raises WeightsError.
    """
    layers = {}

    def enter(name, node):
        if isinstance(node, h5py.Dataset):
            layer, _, index = name.rpartition("/")
            layers.setdefault(layer, {})[int(index)] = node[()]

    with _opened(path, "caffemodel") as file:
        file["data"].visititems(enter)
        return [(layer, [arrays.get(i) for i in range(max(arrays) + 1)])
                for layer, arrays in layers.items()]


def write_caffemodel(path, names, layers, shared, diffs=False):
    """Write the parameters of `layers`, of those `names`, to `path`.

    Blobs in the set `shared` belong to another layer and are left out, as in Caffe. With `diffs`,
    gradients are written too.
    """
    with replacing(path) as raw, h5py.File(raw, "w") as file:
        for kind in ("data", "diff") if diffs else ("data",):
            for name, layer in zip(names, layers):
                group = file.require_group(f"{kind}/{name}")
                for i, blob in enumerate(layer.blobs):
                    if blob not in shared:
                        group[str(i)] = getattr(blob, kind)


def read_solverstate(path):
    """A solverstate: (SolverState without history, list of history arrays)."""
    with _opened(path, "solverstate") as file:
        state = caffe_pb2.SolverState(iter=_integer(file["iter"]))
        if "current_step" in file:
            state.current_step = _integer(file["current_step"])
        if "learned_net" in file:
            state.learned_net = file["learned_net"].asstr()[()]
        history = file["history"]
        return state, [history[str(i)][()] for i in range(len(history))]


def write_solverstate(path, state, history):
    """Write a SolverState with `history`, a list of arrays, to `path`."""
    with replacing(path) as raw, h5py.File(raw, "w") as file:
        file["iter"] = np.array([state.iter], np.int32)
        file["current_step"] = np.array([state.current_step], np.int32)
        name = state.learned_net.encode()
        file["learned_net"] = np.array(name, f"S{len(name) + 1}")   # Caffe expects the final NUL
        group = file.create_group("history")
        for i, array in enumerate(history):
            group[str(i)] = array


def _integer(dataset):
    return int(np.ravel(dataset[()])[0])


@contextmanager
def _opened(path, kind):
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not a {kind}, or a damaged one: {error}") from error
