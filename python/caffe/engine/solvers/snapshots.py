"""Snapshots: a solver's weights and state in files, from which training continues."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from ...errors import WeightsError
from ...formats import caffemodel, hdf5
from ...log import logger
from ...proto import caffe_pb2
from .. import parameters
from ..net import Net
from . import bookmark

HDF5 = caffe_pb2.SolverParameter.HDF5
OTHER = ("it is of another net or solver type; continue with those that wrote it, or start anew "
         "from its caffemodel, as weights")


def check_folder(source: str, prefix: str) -> None:
    """Raise WeightsError, naming the solver's file `source`, where no snapshot can be written."""
    folder = os.path.dirname(os.path.abspath(prefix))
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        why = ("it is not writable" if os.path.isdir(folder) else
               "it is not a folder" if os.path.lexists(folder) else
               "there is no such folder; make it, or correct snapshot_prefix")
        raise WeightsError(f"{source}: snapshots cannot be written to {folder}: {why}")


def write(param: Any, net: Net, iteration: int, drops: int, history: Sequence[torch.Tensor],
          marked: dict[str, Any]) -> None:
    """Write <snapshot_prefix>_iter_<N>.caffemodel and .solverstate, or with snapshot_format HDF5
    .caffemodel.h5 and .solverstate.h5; and beside the state `marked`, as bookmark.py says.

    The state takes its name last: where it is, all of the snapshot is.

    param : SolverParameter; drops : how often the rate has dropped
    """
    prefix = f"{param.snapshot_prefix}_iter_{iteration}"
    name, form, suffix = (("HDF5", hdf5, ".h5") if param.snapshot_format == HDF5
                          else ("binary proto", caffemodel, ""))
    model, state = (f"{prefix}.{kind}{suffix}" for kind in ("caffemodel", "solverstate"))
    logger.info("Snapshotting to %s file %s", name, model)
    parameters.write_file(net.program, form, model, param.snapshot_diff)
    logger.info("Snapshotting solver state to %s file %s", name, state)

    def written(file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        bookmark.write(state, {**marked, "files": {
            "caffemodel": bookmark.digest_of_file(model),
            "solverstate": bookmark.digest_of(file.fileno())}})

    form.write_solverstate(
        state, caffe_pb2.SolverState(iter=iteration, learned_net=model, current_step=drops),
        [array.contiguous().cpu().numpy() for array in history], written)


class Snapshot(NamedTuple):
    """What a solverstate, and what lies beside it, hold: checked, and not used yet."""

    iteration: int
    drops: int                      # of the rate
    history: list[torch.Tensor]
    put_weights: Callable[[], None]
    marked: dict[str, Any] | None   # of bookmark.py


def read(path: str, net: Net, history: Sequence[torch.Tensor]) -> Snapshot:
    """The Snapshot of a solverstate, binary or HDF5 (.h5), and of the caffemodel that it names,
    for `net` and a solver with this `history`.

    The caffemodel is looked for where the state says, and then beside the state. Raises
    WeightsError where a file is damaged, or does not fit.
    """
    marked = bookmark.read(path)
    if marked:
        bookmark.check_file(marked, "solverstate", path)
    form = hdf5 if str(path).endswith(".h5") else caffemodel
    state, stored = form.read_solverstate(path)
    if state.iter < 0:
        raise WeightsError(f"{path}: holds iteration {state.iter}, expected 0 or more: not a "
                           "solverstate, or a damaged one; continue from another snapshot")
    fitting = _fitting(path, stored, history)
    put_weights = _nothing
    if state.learned_net:
        model = state.learned_net
        beside = os.path.join(os.path.dirname(path), os.path.basename(model))
        model = model if os.path.exists(model) else beside
        if marked:
            bookmark.check_file(marked, "caffemodel", model)
        put_weights = parameters.from_file(net.program, model)
    return Snapshot(state.iter, state.current_step, fitting, put_weights, marked)


def check_rule(path: str, read: Snapshot, mine: str, squares: Sequence[int], count: int) -> None:
    """Raise WeightsError where the histories of a snapshot are another rule's than those of the
    solver type `mine`. Those of SGD and Nesterov mean the same.

    squares : which of the histories that the rule keeps for each parameter are sums of squares
    count : of the parameters
    """
    written = (read.marked or {}).get("type", mine)
    if written != mine and not {written, mine} <= {"SGD", "Nesterov"}:
        raise WeightsError(f"{path}: its histories are those of the solver type {written}, and "
                           f"this one is {mine}; {OTHER}")
    for kind in squares:
        for number in range(kind * count, (kind + 1) * count):
            if (read.history[number] < 0).any():
                raise WeightsError(f"{path}: history {number} has values below 0, and the "
                                   f"solver type {mine} takes it for sums of squares; {OTHER}")


def _nothing() -> None:
    """A state that names no caffemodel has no weights."""


def _fitting(path: str, stored: Sequence[np.ndarray], history: Sequence[torch.Tensor]
             ) -> list[torch.Tensor]:
    """The stored history in the shapes of the solver's own. Raises WeightsError."""
    if len(stored) != len(history):
        raise WeightsError(f"{path}: holds {len(stored)} histories, the net needs "
                           f"{len(history)}; {OTHER}")
    fitting = []
    for number, (mine, theirs) in enumerate(zip(history, stored)):
        if not caffemodel.same_shape(theirs.shape, tuple(mine.shape)):
            raise WeightsError(f"{path}: history {number} has the shape {theirs.shape}, the net "
                               f"needs {tuple(mine.shape)}; {OTHER}")
        with np.errstate(over="ignore"):
            fitting.append(torch.from_numpy(np.array(theirs, np.float32).reshape(mine.shape)))
        if count := parameters.count_not_finite(fitting[-1]):
            raise WeightsError(f"{path}: {count} of {mine.numel()} values of history {number} are "
                               "not finite, so that no weight would stay finite; continue from "
                               "the snapshot before, with a lower base_lr")
    return fitting


def whole_beside(path: str) -> str:
    """A sentence that names the snapshots beside a solverstate that are as they were written."""
    name = os.path.basename(path)
    prefix, suffix = name.rpartition("_iter_")[0], ".h5" * name.endswith(".h5")
    pattern = os.path.join(glob.escape(os.path.dirname(path)),
                           f"{glob.escape(prefix)}_iter_*.solverstate{suffix}")
    whole = [other for other in glob.glob(pattern) if other != path and bookmark.is_whole(other)]
    return "whole snapshots beside it: " + (", ".join(sorted(whole, key=_number)) or "none")


def _number(path: str) -> int:
    digits = os.path.basename(path).rpartition("_iter_")[2].partition(".")[0]
    return int(digits) if digits.isdecimal() else -1
