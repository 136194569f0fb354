"""The narrow classifiers of single shapes, which stand in for ILSVRC's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn import nets
from fcn.nets.source import MEAN, SEED
from fcn.solvers.console.errors import reported
from fcn.solvers.console.progress import Progress
from fcn.solvers.console.signals import Stopped, deferring_signals
from fcn.solvers.runs.run import Run
from fcn.solvers.runs.settings import OF_SEED
from fcn.solvers.scoring.prediction import load_net
from fcn.solvers.training.continued import telling_snapshots
from fcn.solvers.training.loss_watch import LossError
from segdata.embedded import voc as embedded_voc
from segdata.files import replacing

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

WIDTH = 0.125           # of the trunks
CROP = 64               # side of the single-shape crops
SCALE = 1 / 58          # the trunks start from random weights, so images get unit variance
CROPS, BATCH = 6_000, 16
CHECKPOINT = 100        # steps from one snapshot of a classifier to the next

# {trunk: (side of its input, of the last pooling, rate of Adam, steps)}
CLASSIFIERS = {"vgg16": (64, 2, 6e-4, 800), "caffenet": (128, 3, 3e-4, 600),
               "googlenet": (128, None, 3e-4, 600)}


def train_classifier(trunk: str, directory: Path, seed: int) -> caffe.Net:
    """Train a classifier on crops of single shapes, unless it is there, from its newest snapshot
    if there is one; returns its net."""
    import caffe
    side, _, lr, steps = CLASSIFIERS[trunk]
    options: dict[str, Any] = dict(size=side, classes=len(embedded_voc.CLASSES), width=WIDTH,
                                   scale=SCALE)
    deploy = nets.write_prototxt(directory / "deploy.prototxt", nets.classifier(trunk, **options))
    run = Run(directory, ".")
    weights = final_weights(trunk, directory)
    if not weights.exists():
        with telling_snapshots(run, f"{trunk}-demo"), run.locked(f"{OF_SEED}{seed}"):
            train = nets.write_prototxt(run.prototxt("train"), nets.classifier(
                trunk, batch=BATCH, filler="msra", **options))
            solver = caffe.get_solver(str(nets.write_prototxt(
                run.prototxt("solver"), _solver_param(train, weights, lr, steps))))
            _restore(solver, run)
            _solve(solver, run, trunk, steps, seed)
    return load_net(deploy, weights, complete=True)


def final_weights(trunk: str, directory: Path) -> Path:
    """The caffemodel of a classifier that is trained to its end, whether or not it is there."""
    return Run(directory, ".").weights(CLASSIFIERS[trunk][3])


def _solver_param(train: Path, weights: Path, lr: float, steps: int) -> caffe_pb2.SolverParameter:
    """Adam, because the paper has no say in how ILSVRC's classifier was trained, and plain
    momentum takes several times as many steps. No weight decay: Adam normalises the gradient, and
    decay with it, so that features would shrink and FCNs learn from them too slowly."""
    from caffe.proto import caffe_pb2
    prefix = str(weights).rpartition("_iter_")[0]
    return caffe_pb2.SolverParameter(
        type="Adam", train_net=str(train), base_lr=lr, lr_policy="poly", power=1, momentum=0.9,
        momentum2=0.999, max_iter=steps, display=0, snapshot_prefix=prefix, random_seed=SEED)


def _restore(solver: caffe.Solver, run: Run) -> None:
    """Continue from the newest snapshot that can be read, if there is one."""
    for _, state in reversed(run.snapshots()):
        try:
            solver.restore(str(state))
            return
        except reported() as error:
            print(f"warning: {error}; going on from what is before it", file=sys.stderr)


def _accuracies(run: Run) -> dict[str, float]:
    """{iteration: the smoothed accuracy at its snapshot} of a classifier."""
    try:
        return dict(json.loads((run.directory / "accuracy.json").read_text()))
    except (OSError, ValueError, TypeError):        # it is only shown
        return {}


def _snapshot(solver: caffe.Solver, run: Run, accuracy: float) -> None:
    """Write a snapshot, after what it is to go on with, and remove the one before."""
    with replacing(run.directory / "accuracy.json") as temporary:
        temporary.write_text(json.dumps({**_accuracies(run),
                                         str(solver.iter): accuracy}) + "\n")
    solver.snapshot()
    run.prune(1, ())


def _solve(solver: caffe.Solver, run: Run, trunk: str, steps: int, seed: int) -> None:
    name = f"{trunk}-demo"      # as miniature.shown has it
    print(f"{name}: drawing {CROPS:,} crops of single shapes", flush=True)
    images, labels = embedded_voc.crops(seed, CROPS, CROP)
    rng = np.random.default_rng(seed)
    rng.integers(0, CROPS, (solver.iter, BATCH))        # those that have been seen
    data, label = solver.net.blobs["data"], solver.net.blobs["label"]
    margin = (data.shape[-1] - CROP) // 2       # zeros around the crop
    inside = slice(margin, margin + CROP)
    accuracy = _accuracies(run).get(str(solver.iter), 0.0)
    with deferring_signals() as pending, Progress(name, steps, "iteration", solver.iter) as bar:
        while solver.iter < steps:
            chosen = rng.integers(0, CROPS, BATCH)
            data.data[:, :, inside, inside] = preprocess(images[chosen])
            label.data[...] = labels[chosen]
            solver.step(1)
            loss = float(solver.net.blobs["loss"].data)
            if not np.isfinite(loss):
                raise LossError(f"{name}: the loss is {loss} at iteration {solver.iter}; "
                                         "the rate in CLASSIFIERS is too high")
            accuracy += 0.05 * (float(solver.net.blobs["accuracy"].data) - accuracy)
            if pending.number or solver.iter % CHECKPOINT == 0 or solver.iter == steps:
                _snapshot(solver, run, accuracy)
            if pending.number:
                raise Stopped(pending.number, f"there is a snapshot of iteration {solver.iter}")
            bar.update(accuracy=accuracy)
    print(f"{name}: accuracy {accuracy:.2f} on its training crops")


def preprocess(images: np.ndarray) -> np.ndarray:
    """RGB uint8 (…, height, width, 3) → BGR float32 (…, 3, height, width), mean subtracted."""
    return np.moveaxis(images[..., ::-1] - np.array(MEAN, np.float32), -1, -3)
