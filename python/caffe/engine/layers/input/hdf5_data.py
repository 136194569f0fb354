"""HDF5Data and HDF5Output: batches from HDF5 files, and into one."""

import copy
import os

import h5py
import numpy as np
import torch

from ....errors import CaffeError
from ....formats import hdf5
from ....formats.atomic import replacing
from ....images.lists import read_lines
from ...values import generator
from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Flags, Shapes
from .sources import SourceLayer


@register("HDF5Data")
class HDF5Data(SourceLayer):
    """The rows of datasets named as the tops, from the files that `source` lists, again and again.

    Batches run over the ends of files. With `shuffle` the files, and the rows in each, come in
    random order.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.hdf5_data_param
        if self.layer_param.HasField("transform_param"):
            raise self.error("transforms nothing: expected no transform_param")
        if not p.batch_size:
            raise self.error("expected a batch_size of at least 1")
        self.size, self.shuffle = p.batch_size, p.shuffle
        self.random = np.random.default_rng(int(torch.randint(2 ** 62, ()).item()))
        self.listed = self._list(p.source)
        self.position = 0
        self.loaded: str | None = None
        self._start_round()
        if len(self.listed) == 1:
            self.check_share(len(self.order), "rows", self.listed[0])
        for blob, array in zip(top, self.arrays):
            blob.reshape(self.size, *array.shape[1:])

    def _list(self, source: str) -> list[str]:
        files = [name for line in read_lines(source) for name in line.split()]
        if not files:
            raise self.error(f"{source}: it lists no files")
        return files

    def _start_round(self) -> None:
        self.current, self.round = 0, self.random.bit_generator.state
        self._order_files()
        self._load()

    def _order_files(self) -> None:
        count = len(self.listed)
        order = self.random.permutation(count) if self.shuffle else range(count)
        self.files = [self.listed[number] for number in order]

    def _load(self) -> None:
        path = self.files[self.current]
        if path != self.loaded:
            self._read(path)
            self.loaded = path
        rows, self.file = len(self.arrays[0]), self.random.bit_generator.state
        self.order = self.random.permutation(rows) if self.shuffle else np.arange(rows)
        self.position = 0

    def _read(self, path: str) -> None:
        try:
            with hdf5.opened(path, "HDF5 file") as file:
                datasets = [hdf5.entry(file, name) for name in self.layer_param.top]
                hdf5.check_numbers(datasets)
                self.arrays = [np.asarray(dataset[()], np.float32) for dataset in datasets]
        except CaffeError as error:
            raise self.error(str(error)) from None
        if len({array.shape[:1] for array in self.arrays}) > 1 or not self.arrays[0].shape \
                or not len(self.arrays[0]):
            raise self.error(f"{path}: expected datasets of as many rows, one at least, got "
                             f"{[array.shape for array in self.arrays]}")

    def resume_state(self) -> dict:
        """Which file of the round it is, which row of that, and the states of the random generator
        when round and file began."""
        return {"files": self.listed, "rows": len(self.order), "round": self.round,
                "current": self.current, "file": self.file, "position": self.position}

    def resume_from(self, state: dict) -> None:
        """Go on from what `resume_state` gave. Raises LayerError where the files are others."""
        if state["files"] != self.listed:
            raise self.error(f"{self.layer_param.hdf5_data_param.source}: it lists other files")
        other = copy.copy(self)
        other.random = generator(state["round"])
        other._order_files()
        other.random, other.round = generator(state["file"]), state["round"]
        other.current = state["current"]
        other._load()
        other.position = state["position"]
        if len(other.order) != state["rows"] or not 0 <= other.position <= len(other.order):
            raise self.error(f"{other.loaded}: it has {len(other.order)} rows, when the snapshot "
                             f"was taken it had {state['rows']}")
        vars(self).update(vars(other))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        parts, passed = [], 0       # each of the solvers that train together takes its share
        while passed < self.size * self.solvers:
            rows = self._rows(self.size * self.solvers - passed)
            mine = rows[(self.solver - passed) % self.solvers::self.solvers]
            parts.append([array[mine] for array in self.arrays])
            passed += len(rows)
        for name, blob, arrays in zip(self.layer_param.top, top, zip(*parts)):
            if any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
                raise self.error(f"rows of dataset '{name}' differ in shape from file to file: "
                                 f"{[array.shape[1:] for array in arrays]}")
            blob.set_data(torch.from_numpy(np.concatenate(arrays)))

    def _rows(self, most: int) -> np.ndarray:
        """The numbers of the next rows, at most `most`, from one file."""
        if self.position == len(self.order):
            self.current += 1
            if self.current == len(self.files):
                self._start_round()
            else:
                self._load()
        rows = self.order[self.position:self.position + most]
        self.position += len(rows)
        return rows


@register("HDF5Output")
class HDF5Output(TensorLayer):
    """Writes its bottoms as the datasets `data` and `label`, each (N, channels, height, width).

    Each forward replaces the file; the original fails at the second.
    """

    bottoms, tops = (2, 2), (0, 0)
    is_function = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.path = self.layer_param.hdf5_output_param.file_name
        folder = os.path.dirname(os.path.abspath(self.path))
        if not self.path or not os.path.isdir(folder):
            raise self.error(f"expected a file_name in an existing folder, got '{self.path}'")

    def shapes(self, bottom: Shapes) -> Shapes:
        if bottom[0][:1] != bottom[1][:1] or max(map(len, bottom)) > 4:
            raise self.error(f"expected two bottoms of one batch size and at most 4 axes, "
                             f"got {bottom}")
        return []

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        with replacing(self.path) as raw, h5py.File(raw, "w") as file:
            for name, blob in zip(("data", "label"), bottom):
                file[name] = blob.data.reshape(blob.shape + (1,) * (4 - len(blob.shape)))

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """Nothing comes back from a file."""
