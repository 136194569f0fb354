"""Random solvers of a small net: types, policies, iter_size, clipping, regularisation, rates and
decays of each parameter, parameters that layers share, snapshots in both formats."""

import numpy as np

STEPS, SNAPSHOT_AT = 8, 4
POLICIES = [
    'lr_policy: "fixed"', 'lr_policy: "step" gamma: 0.5 stepsize: 2',
    'lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 3', 'lr_policy: "exp" gamma: 0.9',
    'lr_policy: "inv" gamma: 0.1 power: 0.75', 'lr_policy: "poly" power: 0.9',
    'lr_policy: "sigmoid" gamma: 0.5 stepsize: 3']
BATCH_NORM = ('layer { name: "n" type: "BatchNorm" bottom: "a" top: "a" }\n'
              'layer { name: "sc" type: "Scale" bottom: "a" top: "a" '
              'scale_param { bias_term: true } }\n')


def solver_case(seed):
    """The arguments of plays.play_solver, but for its folder and what it restores."""
    rng = np.random.default_rng(seed)
    return {"net": net(rng), "solver": solver(rng), "seed": seed, "steps": STEPS,
            "snapshot_at": SNAPSHOT_AT}


def net(rng):
    multipliers = [f"lr_mult: {rng.choice([0, 1, 1, 2, 0.5])} decay_mult: "
                   f"{rng.choice([0, 1, 1, 2])}" for _ in range(4)]
    name = ""
    if rng.random() < 0.4:      # what is shared has one rate and one decay, which either may give
        name, multipliers[2] = 'name: "w"', multipliers[0]
        if rng.random() < 0.5:
            multipliers[rng.choice([0, 2])] = ""

    def product(layer, bottom, weight, bias):
        return (f'layer {{ name: "{layer}" type: "InnerProduct" bottom: "{bottom}" top: "{layer}" '
                f"param {{ {name} {weight} }} param {{ {bias} }} "
                "inner_product_param { num_output: 3 } }\n")
    shape = "shape { dim: 4 dim: 3 }"
    return (f'layer {{ name: "x" type: "Input" top: "x" top: "t" input_param {{ {shape} }} }}\n'
            + product("a", "x", *multipliers[:2]) + BATCH_NORM * (rng.random() < 0.3)
            + 'layer { name: "s" type: "TanH" bottom: "a" top: "a" }\n'
            + product("b", "a", *multipliers[2:])
            + 'layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }\n')


def solver(rng):
    kind = rng.choice(["SGD", "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
    momentum = 0 if kind in ("AdaGrad", "RMSProp") else rng.choice([0, 0.9, 0.5, 0.95])
    own = {"Adam": f"momentum2: {rng.choice([0.999, 0.9])}",
           "RMSProp": f"rms_decay: {rng.choice([0.9, 0.5])}"}.get(str(kind), "")
    return (f'type: "{kind}" base_lr: {rng.choice([0.1, 0.01])} {rng.choice(POLICIES)} '
            f"momentum: {momentum} {own} weight_decay: {rng.choice([0, 0.01, 0.1])} "
            f'regularization_type: "{rng.choice(["L1", "L2", "L2"])}" '
            f"iter_size: {rng.choice([1, 1, 2, 3])} clip_gradients: "
            f"{rng.choice([-1, -1, 0.1, 1, 5])} max_iter: 20 display: 0 random_seed: 1 "
            f"delta: 1e-4 average_loss: 2 snapshot_format: "
            f"{rng.choice(['HDF5', 'BINARYPROTO'])} snapshot_diff: "
            f"{rng.choice(['true', 'false'])}")
