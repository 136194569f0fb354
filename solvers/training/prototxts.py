"""The files that a training is made of: prototxts, class names, weights of classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fcn import nets
from fcn.nets import weighted
from fcn.nets.source import SEED
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.training import batch_statistics
from segdata.files import make_folder, replacing
from segdata.lists import read_list

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2


def write_files(experiment: Experiment, start: int) -> Path:
    """Write class names and prototxts, the data from sample `start`; returns the solver's."""
    run = experiment.run
    make_folder(run.directory / "snapshot")
    trained = dict(experiment.net, source=experiment.source)
    own = {"train": dict(trained, start=start)}
    trained.pop("filler", None)     # what is trained needs none
    written = {split: nets.fcn(experiment.head, split, **own.get(split, trained))
               for split in ("train", "val", "deploy")}
    batch_statistics.write_net(experiment, written["train"])
    _weigh(experiment, written["train"])
    paths = {split: nets.write_prototxt(run.prototxt(split), net) for split, net in written.items()}
    for i, (label, names) in enumerate(experiment.class_names.items()):
        with replacing(run.directory / f"classes{f'_{label}' * (i > 0)}.txt") as temporary:
            temporary.write_text("\n".join(names) + "\n", encoding="utf-8")
    return nets.write_prototxt(run.prototxt("solver"), solver_param(experiment, paths))


def _weigh(experiment: Experiment, net: caffe_pb2.NetParameter) -> None:
    """Give the losses of a train net the weights that the experiment's options say; those of val
    stay as they are, so that they compare from run to run."""
    by_class = experiment.options.get("class_weights", {"of": {}})["of"]
    if experiment.source.has_weights:
        weighted.weigh_pixels(net, "weight", next(iter(by_class.values()), ()))
    elif by_class:
        weighted.weigh_classes(net, {
            label: weighted.write_class_weights(
                experiment.directory.resolve() / f"class_weights_{label}.binaryproto", weights)
            for label, weights in by_class.items()})


def solver_param(experiment: Experiment, paths: dict[str, Path]) -> caffe_pb2.SolverParameter:
    """The SolverParameter of an experiment: plain momentum and the experiment's rate."""
    from caffe.proto import caffe_pb2
    rate = dict(base_lr=experiment.lr, **experiment.policy)
    if experiment.drop < 1:
        rate.update(lr_policy="multistep", gamma=0.1,
                    stepvalue=[round(experiment.drop * experiment.iterations)])
    return caffe_pb2.SolverParameter(
        train_net=str(paths["train"]), test_net=[str(paths["val"])],
        test_iter=[_val_samples(experiment)],
        test_interval=10 ** 9, test_initialization=False,    # scored by the Loop
        momentum=experiment.momentum, **rate,
        iter_size=experiment.iter_size, weight_decay=experiment.weight_decay,
        max_iter=experiment.iterations, display=0, snapshot=experiment.interval,
        snapshot_prefix=str(experiment.directory / "snapshot" / "train"), random_seed=SEED)


def _val_samples(experiment: Experiment) -> int:
    return len(read_list(experiment.source.val_names))
