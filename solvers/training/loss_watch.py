"""Whether the loss of a training is finite; if not, what is told, and the end of all workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fcn import surgery
from fcn.solvers.experiments import splits
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.preflight import divergence
from fcn.solvers.processes.workers import Workers
from fcn.solvers.scoring import samples
from segdata.errors import UserError

if TYPE_CHECKING:
    import caffe

LOG_EVERY = 20          # iterations; to read the loss after each would wait for a GPU
MOST_NAMES = 20         # of images in a message: all of them, or none


class LossError(UserError, FloatingPointError):
    """A loss that is not finite."""


class Failure(NamedTuple):
    """What a worker has to say of a loss that is not finite. is_of_others : whether its own is, and
    only gradients are not, which are those of all workers"""
    iteration: int
    is_of_others: bool
    told: str


class LossWatch:
    """Looks at the losses of the solver of an experiment.

    looked_at : the last iteration whose loss was looked at
    failure : what there is to tell of a loss that is not finite, until all workers meet
    """

    def __init__(self, experiment: Experiment, solver: caffe.Solver, workers: Workers) -> None:
        self.experiment, self.solver, self.workers = experiment, solver, workers
        self.start: int = solver.iter
        self.looked_at = self.start
        self.failure: Failure | None = None

    def loss(self, iteration: int, is_updated: bool = False) -> float:
        """The loss of an iteration that has just run, its update too if `is_updated`.

        Raises LossError if it is not finite, or with iter_size, where it is that of the last pass
        alone, if a gradient is not, which is of all of them. One of several workers, which cannot
        end by itself, goes on to where they meet, and raises it there.
        """
        if self.failure:
            return np.nan
        try:
            return self._finite_loss(iteration, is_updated)
        except LossError as error:
            if self.workers.count == 1:
                raise
            is_own = not np.isfinite(samples.net_loss(self.solver.net))
            self.failure, self.looked_at = Failure(iteration, not is_own, str(error)), iteration
            return np.nan

    def raise_failure(self, failures: Sequence[Failure | None]) -> None:
        """Raise LossError in all workers if one has a loss that is not finite: the first, for its
        gradients have spoilt those of the others since."""
        spoilt = [(failure, rank) for rank, failure in enumerate(failures) if failure]
        if spoilt:
            failure, rank = min(spoilt)
            self.workers.end(rank, failure.told, LossError(failure.told))

    def _finite_loss(self, iteration: int, is_updated: bool = False) -> float:
        net, experiment = self.solver.net, self.experiment
        loss = samples.net_loss(net)
        size, what = experiment.iter_size, f"the loss is {loss}"
        if np.isfinite(loss) and size > 1 and not _has_finite_gradients(net):
            what, loss = "gradients are not finite", np.nan
        if np.isfinite(loss):
            self.looked_at = iteration
            return loss
        spoilt = (f", or was too high before the snapshot of iteration {self.start}"
                  if self.start and iteration - self.start <= LOG_EVERY else "")
        first = self.looked_at + 1
        when = f"at iteration {iteration}" if first == iteration else (
            f"at iteration {iteration}, and was not looked at since iteration {self.looked_at}: "
            f"it may come from any of {first} to {iteration}")
        seen = experiment.run.seen(self.looked_at, experiment.images)
        given = splits.training_names(experiment.source, seen,
                                      experiment.run.seen(iteration, experiment.images) - seen)
        if not np.isfinite(samples.net_loss(net)):      # gradients are those of all workers
            given = self.workers.own(given, experiment.source.batch)
        names = dict.fromkeys(given)
        images = (f", of the image{'s' * (len(names) > 1)} {', '.join(names)}"
                  if len(names) <= MOST_NAMES else "")
        found = divergence.origin(net, is_later=is_updated or first < iteration)
        raise LossError(f"{experiment.name}: {what} {when}{images}; {found}. "
                        f"{self.lower_rate(spoilt)}")

    def lower_rate(self, spoilt: str = "") -> str:
        """What to do if the rate is too high; spoilt : since when it may have been."""
        rate = self.experiment.lr
        return (f"If the rate {rate:g} is too high{spoilt}: start anew with a lower one, "
                f"--fresh --lr {rate / 3:.1g}")


def _has_finite_gradients(net: caffe.Net) -> bool:
    return all(np.isfinite(blob.diff).all() for name in net.params
               for blob in surgery.layer_parameters(net, name))
