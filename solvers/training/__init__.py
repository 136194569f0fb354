"""Training one experiment.

    trained             what there is of it: is it finished, its weights, what it needs before
    prototxts           the files that it is made of
    first_weights       what a new net is filled with
    continued           a solver that goes on from a snapshot
    loop                iterations, log, snapshots, scores, and what is watched for
    batch_statistics    snapshots made ready for testing
    train_experiment    all of these, one after the other
"""

from fcn.solvers.training.first_weights import start_weights
from fcn.solvers.training.prototxts import write_files
from fcn.solvers.training.train_experiment import is_to_be_trained, train
from fcn.solvers.training.trained import (
    MissingError,
    check,
    final_weights,
    finished,
    last_iteration,
    trained_net,
    unfinished_bases,
)

__all__ = ["MissingError", "check", "final_weights", "finished", "is_to_be_trained",
           "last_iteration", "start_weights", "train", "trained_net", "unfinished_bases",
           "write_files"]
