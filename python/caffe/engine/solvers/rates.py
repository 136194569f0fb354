"""The learning rate of an iteration, for each lr_policy (caffe.proto gives the formulas)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import CaffeError, did_you_mean

if TYPE_CHECKING:
    from ...proto import caffe_pb2

ONE = np.float32(1)

# base_lr is multiplied by what these give for a SolverParameter, an iteration and the number of
# drops. Where the original computes in float32, so do they; a power that does not exist is nan.
POLICIES = {
    "fixed": lambda p, i, drops: ONE,
    "step": lambda p, i, drops: np.float64(p.gamma) ** drops,
    "multistep": lambda p, i, drops: np.float64(p.gamma) ** drops,
    "exp": lambda p, i, drops: np.float64(p.gamma) ** i,
    "inv": lambda p, i, drops: (ONE + np.float32(p.gamma) * np.float32(i)) ** -np.float32(p.power),
    "poly": lambda p, i, drops:
        (ONE - np.float32(i) / np.float32(p.max_iter)) ** np.float32(p.power),
    "sigmoid": lambda p, i, drops:
        ONE / (ONE + np.exp(-np.float32(p.gamma) * (np.float32(i) - np.float32(p.stepsize)))),
}
NEED_STEPSIZE = "step", "sigmoid"
NEED_GAMMA = "step", "exp", "inv", "multistep", "sigmoid"


def check(param: caffe_pb2.SolverParameter) -> None:
    """Raise CaffeError unless the SolverParameter's policy is known and has what it needs."""
    policy = param.lr_policy
    if policy not in POLICIES:
        raise CaffeError(f"unknown lr_policy '{policy}'" + did_you_mean(policy, POLICIES)
                         if policy else
                         f"lr_policy is missing: expected one of {', '.join(POLICIES)}")
    if policy in NEED_STEPSIZE and param.stepsize < 1:
        raise CaffeError(f"lr_policy '{policy}' needs a stepsize of at least 1, "
                         f"got {param.stepsize}")
    if policy in NEED_GAMMA and param.gamma < 0:
        raise CaffeError(f"lr_policy '{policy}' needs a gamma of at least 0, got {param.gamma:g}")


def rate(param: caffe_pb2.SolverParameter, iteration: int, drops: int) -> float:
    """The rate at an iteration, a float, after so many drops; as in Caffe nan or infinite where
    the policy has none, e.g. poly beyond max_iter. Raises CaffeError as `check` does."""
    check(param)
    with np.errstate(all="ignore"):
        factor = POLICIES[param.lr_policy](param, iteration, drops)
        return float(np.float32(np.float32(param.base_lr) * factor))


def count_drops(param: caffe_pb2.SolverParameter, iteration: int, drops: int) -> int:
    """How often the rate has dropped in the policies step and multistep, given `drops` at the last
    call. As in Caffe a call gets past one stepvalue at most, and past none that is not yet due."""
    if param.lr_policy == "step":
        return iteration // param.stepsize
    if param.lr_policy == "multistep" and drops < len(param.stepvalue) \
            and iteration >= param.stepvalue[drops]:
        return drops + 1
    return drops
