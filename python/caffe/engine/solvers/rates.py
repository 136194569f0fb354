"""The learning rate of an iteration, for each lr_policy (caffe.proto gives the formulas)."""

import math

from ...errors import CaffeError, nearest

POLICIES = {
    "fixed": lambda p, i: p.base_lr,
    "step": lambda p, i: p.base_lr * p.gamma ** drops(p, i),
    "multistep": lambda p, i: p.base_lr * p.gamma ** drops(p, i),
    "exp": lambda p, i: p.base_lr * p.gamma ** i,
    "inv": lambda p, i: p.base_lr * (1 + p.gamma * i) ** -p.power,
    "poly": lambda p, i: p.base_lr * (1 - i / p.max_iter) ** p.power,
    "sigmoid": lambda p, i: p.base_lr / (1 + math.exp(-p.gamma * (i - p.stepsize))),
}


def check(param):
    """Raise CaffeError unless the SolverParameter's policy is known and has what it needs."""
    policy = param.lr_policy
    if policy not in POLICIES:
        raise CaffeError(f"unknown lr_policy '{policy}'" + nearest(policy, POLICIES))
    needed = {"step": "stepsize", "poly": "max_iter"}.get(policy)
    if needed and getattr(param, needed) < 1:
        raise CaffeError(f"lr_policy '{policy}' needs a {needed} of at least 1, "
                         f"got {getattr(param, needed)}")


def rate(param, iteration):
    """The rate at an iteration, a float. Raises CaffeError, also for poly beyond max_iter."""
    check(param)
    if param.lr_policy == "poly" and iteration > param.max_iter:
        raise CaffeError(f"lr_policy 'poly' has no rate at iteration {iteration}, beyond max_iter "
                         f"{param.max_iter}")
    return float(POLICIES[param.lr_policy](param, iteration))


def drops(param, iteration):
    """How often the rate has dropped in the policies step and multistep."""
    if param.lr_policy == "step":
        return iteration // param.stepsize
    return sum(iteration >= value for value in param.stepvalue)
