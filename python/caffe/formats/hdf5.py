"""The HDF5 forms of caffemodels and solverstates, as snapshot_format: HDF5 writes them.

A caffemodel holds `data/LAYER/I`, and with gradients `diff/LAYER/I`; a solverstate holds `iter`,
`current_step`, `learned_net` and `history/I`.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import BinaryIO

import h5py
import numpy as np

from ..errors import WeightsError
from ..log import logger
from ..proto import caffe_pb2
from . import text
from .atomic import replacing


def is_hdf5(path: str) -> bool:
    """Whether the file is there and in HDF5."""
    return h5py.is_hdf5(text.file_name(path))


def read_caffemodel(path: str) -> list[tuple[str, list[np.ndarray | None]]]:
    """The parameters in a caffemodel: list of (layer name, list of arrays).

    An array is None where the layer uses another's parameter; several at the end of a list are
    left out. Raises WeightsError.
    """
    layers: dict[str, dict[int, np.ndarray]] = {}

    def enter(name, node):
        name = _name(name)
        if isinstance(node, h5py.Group):
            if not len(node):
                layers.setdefault(name, {})
            return
        layer, _, index = name.rpartition("/")
        if not layer or not index.isdecimal():
            raise ValueError(f"expected data/LAYER/NUMBER, found data/{name}")
        layers.setdefault(layer, {})[int(index)] = _numbers(node)

    with reporting_errors_in(path, "caffemodel") as file:
        file["data"].visititems(enter)
        return [(layer, [arrays.get(i) for i in range(max(arrays, default=-1) + 1)])
                for layer, arrays in layers.items()]


def write_caffemodel(path: str, names: Sequence[str], layers: Sequence, shared: Set,
                     diffs: bool = False) -> None:
    """Write the parameters of `layers`, of those `names`, to `path`.

    Blobs in the set `shared` belong to another layer and are left out, as in Caffe. With `diffs`,
    gradients are written too.

    Raises WeightsError for names that HDF5 cannot keep: it takes them for paths, in which `.`, ``
    and what lies between two slashes without a name stand for the folder above. Other names with
    a slash are written as groups in groups, which the original does not read: a warning says so.
    """
    _check_names(path, [name for name, layer in zip(names, layers) if layer.blobs])
    with replacing(path) as raw, h5py.File(raw, "w") as file:
        for kind in ("data", "diff") if diffs else ("data",):
            root = file.create_group(kind)
            made: set[str] = set()
            for name, layer in zip(names, layers):
                if not layer.blobs and ("/" in name or name in {"", ".", *made}):
                    continue        # nothing is lost
                place = text.encode(name)       # h5py takes bytes as they are
                group = root[place] if name in made else root.create_group(place)
                parts = name.split("/")
                made.update("/".join(parts[:end + 1]) for end in range(len(parts)))
                for i, blob in enumerate(layer.blobs):
                    if blob not in shared:
                        group[str(i)] = getattr(blob, kind)


def _check_names(path, names):
    """Raises WeightsError for layer names that would lose parameters; warns of nested ones."""
    for name in names:
        parts = name.split("/")
        if "." in parts or "" in parts:
            raise WeightsError(f"{path}: HDF5 cannot keep the parameters of a layer named "
                               f"'{name}', which it takes for a path; rename the layer, or write "
                               "a binary caffemodel")
        for end in range(1, len(parts)):
            if parts[end].isdecimal() and "/".join(parts[:end]) in names:
                raise WeightsError(f"{path}: HDF5 cannot keep the parameters of the layers "
                                   f"'{'/'.join(parts[:end])}' and '{name}' side by side; rename "
                                   "one, or write a binary caffemodel")
    nested = [name for name in names if "/" in name]
    if nested:
        logger.warning("%s: the original Caffe does not read from HDF5 the layers with a slash in "
                       "their names, %d of them, such as '%s'; write a binary caffemodel for it",
                       path, len(nested), text.printable(nested[0]))


def read_solverstate(path: str) -> tuple[caffe_pb2.SolverState, list[np.ndarray]]:
    """A solverstate: (SolverState without history, list of history arrays). Raises WeightsError."""
    with reporting_errors_in(path, "solverstate") as file:
        state = caffe_pb2.SolverState(iter=_integer(file["iter"]))
        if "current_step" in file:
            state.current_step = _integer(file["current_step"])
        if "learned_net" in file:
            state.learned_net = _name(file["learned_net"][()])
        history = file["history"]
        return state, [_numbers(history[str(i)]) for i in range(len(history))]


def write_solverstate(path: str, state: caffe_pb2.SolverState, history: Sequence[np.ndarray],
                      written: Callable[[BinaryIO], None] = lambda file: None) -> None:
    """Write a SolverState with `history`, a list of arrays, to `path`; `written` is called with
    the file before it takes that name."""
    with replacing(path) as raw:
        with h5py.File(raw, "w") as file:
            file["iter"] = np.array([state.iter], np.int32)
            file["current_step"] = np.array([state.current_step], np.int32)
            name = text.encode(state.learned_net)
            file["learned_net"] = np.array(name, f"S{len(name) + 1}")   # Caffe expects the NUL
            group = file.create_group("history")
            for i, array in enumerate(history):
                group[str(i)] = array
        written(raw)


def _name(stored):
    """A name as h5py gives it: bytes where it is not UTF-8."""
    return text.decode(stored) if isinstance(stored, bytes) else stored


def _numbers(dataset):
    """The array in a dataset of integers or floats."""
    if dataset.dtype.kind not in "iuf":
        raise ValueError(f"{dataset.name} holds no numbers, but {dataset.dtype}")
    return dataset[()] if dataset.shape else np.array(dataset[()])


def _integer(dataset):
    values = np.ravel(dataset[()])
    if values.size != 1:
        raise ValueError(f"{dataset.name} holds {values.size} numbers, expected one")
    return int(values[0])


@contextmanager
def reporting_errors_in(path: str, kind: str) -> Iterator[h5py.File]:
    """Open the file `path`; what goes wrong with it becomes a WeightsError that names it, and the
    `kind` of file that was expected."""
    try:
        with h5py.File(text.file_name(path), "r") as file:
            yield file
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: not a {kind}, or a damaged one: {error}") from error
