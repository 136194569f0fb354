"""Fine-tuning: what `--from` takes over from another net, and what starts anew.

    vgg16, caffenet, googlenet      the classifiers that were trained on ILSVRC
    RUN                             a run, by its name or folder: its newest snapshot
    FILE                            a caffemodel, binary or HDF5, of any net with such a trunk

Layers are taken by their names, classes by theirs.

    source        what there is to start from: find_start
    experiment    the net and recipe that fit it: on_folder, named
    weights       what becomes of each layer: fill
"""

from fcn.solvers.starting.experiment import named, on_folder
from fcn.solvers.starting.weights import fill

__all__ = ["fill", "named", "on_folder"]
