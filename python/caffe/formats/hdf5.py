"""The HDF5 forms of caffemodels and solverstates, as snapshot_format: HDF5 writes them.

A caffemodel holds `data/LAYER/I`, and with gradients `diff/LAYER/I`; a solverstate holds `iter`,
`current_step`, `learned_net` and `history/I`.
"""

import math
import os
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
from .reading import check_memory, reading

MOST_NAME = 1 << 16     # bytes of the name of a file
MOST_DIGITS = 3     # of the number of a parameter in its layer


def is_hdf5(path: str) -> bool:
    """Whether the file is there and in HDF5."""
    return os.path.isfile(name := text.file_name(path)) and h5py.is_hdf5(name)


def read_caffemodel(path: str) -> list[tuple[str, list[np.ndarray | None]]]:
    """The parameters in a caffemodel: list of (layer name, list of arrays).

    An array is None where the layer uses another's parameter; several at the end of a list are
    left out. Raises WeightsError.
    """
    layers: dict[str, dict[int, h5py.Dataset]] = {}

    def enter(name: str, node: h5py.Group | h5py.Dataset) -> None:
        name = _name(name)
        if isinstance(node, h5py.Group):
            if not len(node):
                layers.setdefault(name, {})
            return
        layer, _, index = name.rpartition("/")
        if not layer or not index.isdecimal() or len(index) > MOST_DIGITS:
            raise ValueError(f"expected data/LAYER/NUMBER, of up to {MOST_DIGITS} digits, found "
                             f"data/{name}")
        layers.setdefault(layer, {})[int(index)] = node

    with opened(path, "caffemodel") as file:
        entry(file, "data").visititems(enter)
        check_numbers([node for nodes in layers.values() for node in nodes.values()])
        return [(layer, [_values(nodes[i]) if i in nodes else None
                         for i in range(max(nodes, default=-1) + 1)])
                for layer, nodes in layers.items()]


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


def _check_names(path: str, names: Sequence[str]) -> None:
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
    with opened(path, "solverstate") as file:
        state = caffe_pb2.SolverState(iter=_integer(entry(file, "iter")))
        if "current_step" in file:
            state.current_step = _integer(entry(file, "current_step"))
        if "learned_net" in file:
            name = entry(file, "learned_net")
            if name.size != 1 or name.dtype.itemsize > MOST_NAME:
                raise ValueError(f"learned_net is no name of up to {MOST_NAME} bytes")
            state.learned_net = _name(name[()])
        history = entry(file, "history")
        return state, [_numbers(entry(history, str(i))) for i in range(len(history))]


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


def _name(stored: str | bytes) -> str:
    """A name as h5py gives it: bytes where it is not UTF-8."""
    return text.decode(stored) if isinstance(stored, bytes) else stored


def entry(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What stands under a name, a path of groups, in the file itself. Raises ValueError for a link:
    one to another file would be followed, be that a pipe that never answers."""
    found = group
    for part in filter(None, name.split("/")):
        link = found.get(part, getlink=True)
        if link is None:
            raise ValueError(f"it has no '{name}'")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"'{name}' is a link to another place; copy there what it names")
        found = found[part]
    return found


def check_numbers(datasets: Sequence[h5py.Dataset]) -> None:
    """Raise ValueError or CaffeError unless these are datasets of integers or floats, in this
    file, for which there is memory: a few bytes may stand for many values."""
    for dataset in datasets:
        kind = getattr(dataset, "dtype", None)
        if kind is None or kind.kind not in "iuf" or dataset.shape is None:
            raise ValueError(f"{dataset.name} holds no numbers, but {kind or 'other datasets'}")
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"the values of {dataset.name} are in another file")
    # as float32 and as stored, where rows of no width count too; and the chunk that is unpacked
    size = sum((4 + dataset.dtype.itemsize) * math.prod(max(length, 1) for length in dataset.shape)
               + dataset.dtype.itemsize * math.prod(dataset.chunks or ()) for dataset in datasets)
    check_memory(size, f"{', '.join(dataset.file.filename for dataset in datasets[:1])}: what it "
                 "holds", WeightsError)


def _numbers(dataset: h5py.Dataset) -> np.ndarray:
    """The array in a dataset of integers or floats."""
    check_numbers([dataset])
    return _values(dataset)


def _values(dataset: h5py.Dataset) -> np.ndarray:
    return dataset[()] if dataset.shape else np.array(dataset[()])


def _integer(dataset: h5py.Dataset) -> int:
    values = np.ravel(_numbers(dataset))
    if values.size != 1:
        raise ValueError(f"{dataset.name} holds {values.size} numbers, expected one")
    return int(values[0])


@contextmanager
def opened(path: str, kind: str) -> Iterator[h5py.File]:
    """The HDF5 file `path`, to read; what goes wrong becomes a WeightsError that names it, and the
    `kind` of file that was expected."""
    with reading(path, kind), h5py.File(text.file_name(path), "r") as file:
        yield file
