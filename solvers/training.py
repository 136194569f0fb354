"""Training one experiment: its files, its first weights, the loop, its records."""

import csv
import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

import catalog
import nets
import surgery
from solvers import curve, score
from solvers.experiments import EXPERIMENTS

SMOOTHING = 0.98        # of the loss that is displayed
LOG_EVERY = 20          # iterations


class MissingError(RuntimeError):
    """Data or weights that an experiment needs and that are not there."""


def check(experiment):
    """Raise MissingError unless all that the experiment starts from is there."""
    problems = [problem for name in experiment.needs if (problem := catalog.missing(name))]
    base = experiment.base
    if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
        problems.append(f"{final_weights(EXPERIMENTS[base])} is missing: the trained {base}. "
                        f"Get it with `make {base}`. `make demo` needs no download at all.")
    if problems:
        raise MissingError(f"{experiment.name} cannot start.\n" + "\n".join(problems))


# files

def snapshots(experiment):
    """[(iteration, solverstate path)] of an experiment, in order."""
    found = (experiment.directory / "snapshot").glob("train_iter_*.solverstate")
    return sorted((int(re.search(r"_(\d+)\.solverstate$", path.name)[1]), path) for path in found)


def newest_weights(experiment):
    """The newest caffemodel of an experiment. Raises MissingError if there is none."""
    found = snapshots(experiment)
    if not found:
        raise MissingError(f"{experiment.directory / 'snapshot'} holds no snapshot: "
                           f"{experiment.name} is not trained yet. Train it with "
                           f"`python solvers/solve.py {experiment.name}`.")
    return found[-1][1].with_suffix(".caffemodel")


def final_weights(experiment):
    return experiment.directory / "snapshot" / f"train_iter_{experiment.iterations}.caffemodel"


def finished(experiment):
    return final_weights(experiment).exists()


def val_samples(experiment):
    """The number of validation samples."""
    return len(experiment.source.val_list().read_text().split())


def write_files(experiment, start):
    """Write the prototxts and class names; the data begins at sample `start`. Returns the solver's."""
    directory = experiment.directory
    (directory / "snapshot").mkdir(parents=True, exist_ok=True)
    options = dict(experiment.net, source=experiment.source)
    paths = {split: nets.write_prototxt(directory / f"{split}.prototxt", nets.fcn(
                 experiment.head, split, **options, **({"start": start} if split == "train" and start
                                                       else {})))
             for split in ("train", "val", "deploy")}
    (directory / "classes.txt").write_text("\n".join(experiment.class_names) + "\n")
    return nets.write_prototxt(directory / "solver.prototxt", solver_param(experiment, paths))


def solver_param(experiment, paths):
    """The SolverParameter of an experiment: plain momentum and, as in the paper, a fixed rate."""
    from caffe.proto import caffe_pb2
    rate = dict(base_lr=experiment.lr, lr_policy="fixed")
    if experiment.drop < 1:
        rate.update(lr_policy="multistep", gamma=0.1,
                    stepvalue=[round(experiment.drop * experiment.iterations)])
    return caffe_pb2.SolverParameter(
        train_net=str(paths["train"]), test_net=[str(paths["val"])],
        test_iter=[val_samples(experiment)],
        test_interval=10 ** 9, test_initialization=False,    # scored by solvers/score.py
        momentum=experiment.momentum, **rate,
        iter_size=experiment.iter_size, weight_decay=experiment.weight_decay,
        max_iter=experiment.iterations, display=0, snapshot=experiment.interval,
        snapshot_prefix=str(experiment.directory / "snapshot" / "train"), random_seed=1337)


# weights

def start_weights(experiment, net, base_net=None):
    """Fill a new net: from its base by transplant, and bilinear interpolation throughout."""
    base_net = base_net or _base_net(experiment)
    if base_net is not None:
        surgery.transplant(net, base_net)
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])


def _base_net(experiment):
    import caffe
    if experiment.base is None:
        return None
    if experiment.base == "vgg16":
        deploy = nets.write_prototxt(experiment.build / "vgg16" / "deploy.prototxt",
                                     nets.classifier())
        return caffe.Net(str(deploy), str(catalog.path("vgg16")), caffe.TEST)
    base = EXPERIMENTS[experiment.base]
    return caffe.Net(str(base.directory / "deploy.prototxt"), str(final_weights(base)), caffe.TEST)


# the loop

def train(experiment, base_net=None):
    """Train an experiment to its end, from the newest snapshot if there is one.

    `base_net` takes the place of the net that the experiment's base names. Returns the Scores of
    the final weights. Writes under the experiment's directory: prototxts, snapshots, log.csv,
    curve.png, score.json.
    """
    import caffe
    done = snapshots(experiment)
    iteration, state = done[-1] if done else (0, None)
    solver = caffe.get_solver(str(write_files(experiment, iteration * experiment.iter_size)))
    if state:
        print(f"continuing {experiment.name} from {state}")
        solver.restore(str(state))
    else:
        start_weights(experiment, solver.net, base_net)
    with Log(experiment.directory, iteration) as log:
        _run(experiment, solver, log)
    curve.draw(experiment.directory / "log.csv", experiment.directory / "curve.png",
               experiment.name)
    return _score(experiment, solver)


def _run(experiment, solver, log):
    bar = tqdm(total=experiment.iterations, initial=solver.iter, desc=experiment.name, unit="it",
               smoothing=0.05)
    smoothed = None
    with bar:
        while solver.iter < experiment.iterations:
            solver.step(1)
            loss = float(solver.net.blobs["loss"].data)
            if not np.isfinite(loss):
                raise FloatingPointError(f"{experiment.name}: the loss is {loss} at iteration "
                                         f"{solver.iter}; the rate {experiment.lr:g} is too high")
            smoothed = loss if smoothed is None else SMOOTHING * smoothed + (1 - SMOOTHING) * loss
            bar.update()
            if solver.iter % LOG_EVERY == 0:
                bar.set_postfix(loss=f"{smoothed:.4g}")
                log.write(solver.iter, loss, smoothed)
            if solver.iter % experiment.interval == 0 and solver.iter < experiment.iterations:
                scores = _score(experiment, solver)
                log.write(solver.iter, loss, smoothed, 100 * scores.mean_iu)
    if solver.iter % experiment.interval:
        solver.snapshot()


def _score(experiment, solver):
    scores = score.score_net(solver.test_nets[0], val_samples(experiment))
    score.save(scores, experiment.class_names, experiment.directory / "score.json",
               experiment=experiment.name, iteration=solver.iter)
    return scores


class Log:
    """log.csv: iteration, loss, smoothed loss, mean IU in percent where it was scored.

    Continuing from `iteration` drops the lines after it, which an interrupted run left.
    """

    COLUMNS = ("iteration", "loss", "smoothed_loss", "mean_iu")

    def __init__(self, directory, iteration):
        path = Path(directory) / "log.csv"
        lines = []
        if iteration and path.exists():
            with path.open(newline="") as file:
                lines = [row for row in csv.reader(file)
                         if row and row[0].isdigit() and int(row[0]) <= iteration]
        self.file = path.open("w", newline="")
        self.writer = csv.writer(self.file)
        self.writer.writerows([self.COLUMNS, *lines])

    def write(self, *values):
        self.writer.writerow(f"{value:.7g}" if isinstance(value, float) else value
                             for value in values)
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
