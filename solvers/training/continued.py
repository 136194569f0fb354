"""A training that goes on from its newest snapshot."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn import surgery
from fcn.solvers.console.errors import reported
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.runs.reading import RunError
from fcn.solvers.training.prototxts import write_files

if TYPE_CHECKING:
    import caffe


def continued(experiment: Experiment) -> caffe.Solver | None:
    """A solver that goes on from the newest snapshot that is of use; None where there is none.

    Raises RunError where none of them is, with what is wrong with the newest.
    """
    import caffe
    problems, before = [], recorded_rate(experiment)
    for iteration, state in reversed(experiment.run.snapshots()):
        solver = caffe.get_solver(str(write_files(
            experiment, experiment.run.seen(iteration, experiment.images))))
        try:
            solver.restore(str(state))
        except reported() as error:
            problems.append(error)
            print(f"{state} is of no use: {error}", file=sys.stderr)
            continue
        _check_weights(solver, state)       # the snapshot before would come to the same end
        print(f"continuing {experiment.name} from {state}")
        if before not in (None, solver.param.base_lr):
            print(f"note: from iteration {iteration} on base_lr is {solver.param.base_lr:g}; it "
                  f"was {before:g}", file=sys.stderr)
        if note := _note_of_earlier_drop(experiment, iteration, state):
            print(note, file=sys.stderr)
        return solver
    if problems:
        raise RunError(f"cannot continue: {problems[0]}; no snapshot before it is of use either: "
                       f"start anew with --fresh, or remove what is in {experiment.directory}"
                       ) from problems[0]
    return None


def recorded_rate(experiment: Experiment) -> float | None:
    """base_lr in the solver.prototxt of a run that is there; None where that cannot be read."""
    with suppress(RunError, OSError):
        return experiment.run.solver_param().base_lr
    return None


def _note_of_earlier_drop(experiment: Experiment, iteration: int, state: Path) -> str:
    """A note for a run that goes on for longer than it was to: its rate has been lowered already,
    and stays lowered, as in Caffe. '' where it has not."""
    from caffe.proto import caffe_pb2
    steps = experiment.run.solver_param().stepvalue
    if not steps:
        return ""
    drops = caffe_pb2.SolverState.FromString(state.read_bytes()).current_step
    if drops <= sum(iteration >= step for step in steps):
        return ""
    return ("note: the learning rate was lowered already, for this run was to have fewer "
            "iterations, and stays lowered, as in Caffe. To train at the first rate until "
            f"iteration {steps[0]}, start anew: --fresh --iterations {experiment.iterations}")


def _check_weights(solver: caffe.Solver, state: Path) -> None:
    """Raise RunError where the weights of a snapshot are not finite."""
    for name in solver.net.params:
        if not all(np.isfinite(blob.data).all()
                   for blob in surgery.layer_parameters(solver.net, name)):
            raise RunError(f"cannot continue from {state}: the weights of layer '{name}' are not "
                           "finite; the rate was too high. Take a lower --lr, and remove "
                           f"{state} to continue from the snapshot before, or start anew with "
                           "--fresh")
