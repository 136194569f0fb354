"""Snapshots: a solver's weights and state in files, from which training continues."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...errors import WeightsError
from ...formats import caffemodel, hdf5
from ...log import logger
from ...proto import caffe_pb2
from .. import parameters
from ..net import Net

HDF5 = caffe_pb2.SolverParameter.HDF5


def check_folder(source: str, prefix: str) -> None:
    """Raise WeightsError, naming the solver's file `source`, where no snapshot can be written."""
    folder = os.path.dirname(os.path.abspath(prefix))
    if not os.access(folder, os.W_OK):
        raise WeightsError(f"{source}: snapshots cannot be written to {folder}: it is not a "
                           "folder, or not writable")


def write(param: Any, net: Net, iteration: int, drops: int,
          history: Sequence[torch.Tensor]) -> None:
    """Write <snapshot_prefix>_iter_<N>.caffemodel and .solverstate, or with snapshot_format HDF5
    .caffemodel.h5 and .solverstate.h5.

    param : SolverParameter; drops : how often the rate has dropped
    """
    prefix = f"{param.snapshot_prefix}_iter_{iteration}"
    name, form, suffix = (("HDF5", hdf5, ".h5") if param.snapshot_format == HDF5
                          else ("binary proto", caffemodel, ""))
    model, state = (f"{prefix}.{kind}{suffix}" for kind in ("caffemodel", "solverstate"))
    logger.info("Snapshotting to %s file %s", name, model)
    parameters.write_file(net.program, form, model, param.snapshot_diff)
    logger.info("Snapshotting solver state to %s file %s", name, state)
    form.write_solverstate(
        state, caffe_pb2.SolverState(iter=iteration, learned_net=model, current_step=drops),
        [array.contiguous().cpu().numpy() for array in history])


def read(path: str, net: Net, history: Sequence[torch.Tensor]
         ) -> tuple[int, int, list[torch.Tensor]]:
    """(iteration, drops of the rate, history) of a solverstate, binary or HDF5 (.h5); the net gets
    the weights of the caffemodel that it names.

    The caffemodel is looked for where the state says, and then beside the state. Raises
    WeightsError where the history does not fit `history`, the solver's own; the net is then
    unchanged.
    """
    form = hdf5 if str(path).endswith(".h5") else caffemodel
    state, stored = form.read_solverstate(path)
    if len(stored) != len(history):
        raise WeightsError(f"{path}: holds {len(stored)} histories, the net needs {len(history)}")
    for number, (mine, theirs) in enumerate(zip(history, stored)):
        if not caffemodel.same_shape(theirs.shape, tuple(mine.shape)):
            raise WeightsError(f"{path}: history {number} has the shape {theirs.shape}, the net "
                               f"needs {tuple(mine.shape)}")
    if state.learned_net:
        model = state.learned_net
        beside = os.path.join(os.path.dirname(path), os.path.basename(model))
        net.copy_from(model if os.path.exists(model) else beside)
    return state.iter, state.current_step, [
        torch.from_numpy(np.array(theirs, np.float32).reshape(mine.shape))
        for mine, theirs in zip(history, stored)]
