"""What there is of an experiment: whether it is trained, its weights, what it needs first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import base_needed
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.runs.reading import damage
from fcn.solvers.scoring.prediction import load_net
from segdata.download import catalog
from segdata.errors import UserError

if TYPE_CHECKING:
    import caffe


class MissingError(UserError):
    """Data or weights that an experiment needs and that are not there."""


def unfinished_bases(experiment: Experiment) -> list[Experiment]:
    """The experiments that have to be trained before this one, in order."""
    chain = []
    for base in experiment.bases.values():
        if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
            chain += [*unfinished_bases(EXPERIMENTS[base]), EXPERIMENTS[base]]
    return chain


def check(experiment: Experiment, trained: Iterable[Experiment] = ()) -> None:
    """Raise MissingError unless all that the experiment starts from is there.

    `trained` are experiments that will have been trained by then.
    """
    needed = base_needed(experiment.head)
    if needed and not (experiment.bases or experiment.start):
        raise MissingError(f"{experiment.name} cannot start. {needed}")
    problems = [problem for name in experiment.needs if (problem := catalog.missing(name))]
    for base in set(experiment.bases.values()) - {each.name for each in trained}:
        if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
            path = final_weights(EXPERIMENTS[base])
            problem = damage(path) if path.exists() else f"{path} is missing"
            problems.append(f"{problem}: the trained {base}. Get it with `make {base}`.")
    if problems:
        raise MissingError("\n".join([f"{experiment.name} cannot start.", *problems,
                                      catalog.WITHOUT]))


def final_weights(experiment: Experiment) -> Path:
    """The caffemodel of the last iteration, that at which --patience ended the run, or that of the
    experiment; whether or not it is there."""
    return experiment.run.weights(last_iteration(experiment))


def last_iteration(experiment: Experiment) -> int:
    """The iteration at which --patience ended the run, or else the experiment's last."""
    return experiment.run.ended().get("iteration", experiment.iterations)


def finished(experiment: Experiment) -> bool:
    """Whether the last iteration is done, and its weights are whole."""
    return is_whole(final_weights(experiment))


def is_whole(weights: Path) -> bool:
    """Whether there is such a caffemodel, and not only a part of one."""
    return weights.exists() and not damage(weights)


def trained_net(experiment: Experiment) -> caffe.Net:
    """The net of an experiment's deploy prototxt with its final weights."""
    return load_net(experiment.run.prototxt("deploy"), final_weights(experiment), complete=True)
