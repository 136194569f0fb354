"""Passes: how many training passes there were, and what each of them draws at random."""

from __future__ import annotations

import numpy as np
import torch

from ... import context
from ...proto import caffe_pb2


class Passes:
    """The training passes of all solvers that train together.

    Attributes
    ----------
    done : int, how many there were
    seed : what the random numbers of each pass follow from; None in a process for itself, where
        they follow one upon the other
    """

    def __init__(self, param: caffe_pb2.SolverParameter, done: int = 0) -> None:
        self.done, self.seed = done, None
        if context.is_multiprocess():
            self.seed = (param.random_seed if param.random_seed >= 0
                         else int(torch.randint(2 ** 62, ()).item()))

    def seed_pass(self, number: int) -> None:
        """Have what pass `number` of this solver's iteration draws at random, such as dropout,
        follow from its place among the passes of all solvers, so that it does not matter how many
        of them share these."""
        if self.seed is not None:
            place = self.done + number * context.solver_count() + context.solver_rank()
            seed = np.random.SeedSequence([self.seed, place]).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0]))

    def count(self, mine: int) -> None:
        """Count an iteration's passes, as many for each of the solvers."""
        self.done += mine * context.solver_count()
