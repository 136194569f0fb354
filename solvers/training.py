"""Training one experiment: its files, its first weights, the loop."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import nets
import surgery
from nets.source import SEED
from segdata.download import catalog
from segdata.errors import UserError
from segdata.files import make_folder, replacing
from segdata.lists import read_list
from solvers import log, score
from solvers.command import Pending, Stopped, deferring_signals, reported
from solvers.experiments import EXPERIMENTS, Experiment
from solvers.metrics import Scores
from solvers.prediction import ScoreError, load_net
from solvers.runs import KEEP, RunError

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

LOG_EVERY = 20          # iterations; to read the loss after each would wait for a GPU
PATIENCE = 2.0          # seconds of iterations that a signal may have to wait for


class MissingError(UserError):
    """Data or weights that an experiment needs and that are not there."""


class LossError(UserError, FloatingPointError):
    """A loss that is not finite."""


def unfinished_bases(experiment: Experiment) -> list[Experiment]:
    """The experiments that have to be trained before this one, in order."""
    chain = []
    for base in experiment.bases.values():
        if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
            chain += [*unfinished_bases(EXPERIMENTS[base]), EXPERIMENTS[base]]
    return chain


def check(experiment: Experiment, trained: Iterable[Experiment] = ()) -> None:
    """Raise MissingError unless all that the experiment starts from is there.

    `trained` are experiments that will have been trained by then.
    """
    problems = [problem for name in experiment.needs if (problem := catalog.missing(name))]
    for base in set(experiment.bases.values()) - {each.name for each in trained}:
        if base in EXPERIMENTS and not finished(EXPERIMENTS[base]):
            problems.append(f"{final_weights(EXPERIMENTS[base])} is missing: the trained {base}. "
                            f"Get it with `make {base}`.")
    if problems:
        raise MissingError("\n".join([f"{experiment.name} cannot start.", *problems,
                                      catalog.WITHOUT]))


def final_weights(experiment: Experiment) -> Path:
    """The caffemodel of the last iteration, whether or not it is there."""
    return experiment.run.weights(experiment.iterations)


def finished(experiment: Experiment) -> bool:
    """Whether the last iteration is done."""
    return final_weights(experiment).exists()


# files

def write_files(experiment: Experiment, start: int) -> Path:
    """Write class names and prototxts, the data from sample `start`; returns the solver's."""
    run = experiment.run
    make_folder(run.directory / "snapshot")
    trained = dict(experiment.net, source=experiment.source)
    options = {"train": dict(trained, start=start)}
    trained.pop("filler", None)     # what is trained needs none
    paths = {split: nets.write_prototxt(run.prototxt(split), nets.fcn(
                 experiment.head, split, **options.get(split, trained)))
             for split in ("train", "val", "deploy")}
    for i, (label, names) in enumerate(experiment.class_names.items()):
        with replacing(run.directory / f"classes{f'_{label}' * (i > 0)}.txt") as temporary:
            temporary.write_text("\n".join(names) + "\n", encoding="utf-8")
    return nets.write_prototxt(run.prototxt("solver"), solver_param(experiment, paths))


def solver_param(experiment: Experiment, paths: dict[str, Path]) -> caffe_pb2.SolverParameter:
    """The SolverParameter of an experiment: plain momentum and, as in the paper, a fixed rate."""
    from caffe.proto import caffe_pb2
    rate = dict(base_lr=experiment.lr, lr_policy="fixed")
    if experiment.drop < 1:
        rate.update(lr_policy="multistep", gamma=0.1,
                    stepvalue=[round(experiment.drop * experiment.iterations)])
    return caffe_pb2.SolverParameter(
        train_net=str(paths["train"]), test_net=[str(paths["val"])],
        test_iter=[_val_samples(experiment)],
        test_interval=10 ** 9, test_initialization=False,    # scored by solvers/score.py
        momentum=experiment.momentum, **rate,
        iter_size=experiment.iter_size, weight_decay=experiment.weight_decay,
        max_iter=experiment.iterations, display=0, snapshot=experiment.interval,
        snapshot_prefix=str(experiment.directory / "snapshot" / "train"), random_seed=SEED)


def _val_samples(experiment):
    return len(read_list(experiment.source.val_names))


# weights

def start_weights(experiment: Experiment, net: caffe.Net, base_nets: dict | None = None) -> None:
    """Fill a new net: from its bases by transplant, and bilinear interpolation throughout."""
    for suffix, base in (base_nets or _base_nets(experiment)).items():
        surgery.transplant(net, base, suffix)
        if "conv1_1_bgrd" in net.params:
            surgery.expand_image(net, "conv1_1_bgrd", base, "conv1_1")
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])


def _base_nets(experiment):
    """{suffix: net} of the experiment's bases."""
    return {suffix: _classifier(experiment.build, base) if base in nets.TRUNKS else
            trained_net(EXPERIMENTS[base]) for suffix, base in experiment.bases.items()}


def _classifier(build, trunk):
    deploy = nets.write_prototxt(build / trunk / "deploy.prototxt", nets.classifier(trunk))
    return load_net(deploy, catalog.path(trunk), complete=True)


def trained_net(experiment: Experiment) -> caffe.Net:
    """The net of an experiment's deploy prototxt with its final weights."""
    return load_net(experiment.run.prototxt("deploy"), final_weights(experiment), complete=True)


def _restore(solver, state):
    """Continue from a snapshot. Raises RunError, naming it, where it is no use."""
    again = f"remove {state} to continue from the snapshot before, or start anew with --fresh"
    try:
        solver.restore(str(state))
    except reported() as error:
        raise RunError(f"cannot continue: {error}; {again}") from error
    for name in solver.net.params:
        if not all(np.isfinite(blob.data).all()
                   for blob in surgery.layer_parameters(solver.net, name)):
            raise RunError(f"cannot continue from {state}: the weights of layer '{name}' are not "
                           f"finite; the rate was too high. Take a lower --lr, and {again}")


# the loop

def train(experiment: Experiment, base_nets: dict | None = None, keep: int | None = KEEP
          ) -> dict[str, Scores]:
    """Train an experiment to its end, from the newest snapshot if there is one.

    `base_nets`, {suffix: net}, take the place of those that the experiment's bases name. Of the
    snapshots stay the newest `keep` (None: all), the best by mean IU, and what other experiments
    start from. Returns {label: Scores} of the final weights. Writes under the experiment's
    directory: settings.json, prototxts, snapshots, log.csv, curve.png, score.json. Raises RunError
    where the directory holds another run, or one that is trained further, and Stopped, after a
    snapshot, where a signal ends it.
    """
    with experiment.run.locked():
        return _train(experiment, base_nets, keep)


def _train(experiment, base_nets, keep):
    import caffe
    run = experiment.run
    run.check(**experiment.settings())
    iteration, state = (run.snapshots() or [(0, None)])[-1]
    if iteration > experiment.iterations:
        raise RunError(f"{experiment.name} is trained to iteration {iteration}, asked for are "
                       f"{experiment.iterations}; start anew with --fresh")
    if finished(experiment) and (scores := score.load(run, experiment.iterations)):
        print(f"{experiment.name} is trained: {final_weights(experiment)}")
        return scores
    solver = caffe.get_solver(str(write_files(experiment, iteration * experiment.iter_size)))
    if state:
        print(f"continuing {experiment.name} from {state}")
        _restore(solver, state)
    else:
        print(f"training {experiment.name}")
        start_weights(experiment, solver.net, base_nets)
    run.record_settings(**experiment.settings())
    return _run(experiment, solver, log.Log(run.directory, iteration), keep)


def _run(experiment, solver, lines, keep):
    """Iterate to the end, scoring every interval; returns the last {label: Scores}."""
    start, scores = solver.iter, None
    _log_before_updates(experiment, solver, lines)
    bar = tqdm(total=experiment.iterations, initial=start, desc=experiment.name, unit="it",
               smoothing=0.05, disable=None)
    with bar, deferring_signals() as pending:
        if start and _scored(experiment, start):    # perhaps interrupted while it scored
            scores = score.load(experiment.run, start) or _score(experiment, solver, pending)
            _report(experiment, lines, bar, start, scores, keep)
        seconds = PATIENCE
        while solver.iter < experiment.iterations:
            count, begin = _next_iterations(experiment, solver.iter, seconds), time.perf_counter()
            _step(experiment, solver, start, count)
            seconds = (time.perf_counter() - begin) / count
            scored = _scored(experiment, solver.iter)
            if (scored or pending.number) and solver.iter % experiment.interval:
                solver.snapshot()
            if pending.number:      # before anything is printed: the terminal may be gone
                raise Stopped(pending.number, f"there is a snapshot of iteration {solver.iter}")
            bar.update(count)
            if scored:
                scores = _score(experiment, solver, pending)
                _report(experiment, lines, bar, solver.iter, scores, keep)
            if lines.rows and lines.rows[-1].iteration == solver.iter:
                bar.set_postfix(loss=f"{lines.rows[-1].smoothed_loss:.4g}")
    return scores


def _scored(experiment, iteration):
    """Whether there is a snapshot of that iteration, and scores."""
    return iteration == experiment.iterations or iteration % experiment.interval == 0


def _log_before_updates(experiment: Experiment, solver: caffe.Solver, lines: log.Log) -> None:
    """Have the losses that belong into the log written before the update, and so before the
    snapshot that may follow: a run that is killed after it has them."""
    start = solver.iter

    def write() -> None:
        coming = solver.iter + 1
        if coming % LOG_EVERY == 0 or _scored(experiment, coming):
            lines.write(coming, _finite_loss(experiment, solver, start, coming))
    solver.add_callback(lambda: None, write)


def _report(experiment, lines, bar, iteration, scores, keep):
    """Log an iteration that was scored, draw the curve, print a line, remove old snapshots."""
    row = lines.write(iteration, None, 100 * next(iter(scores.values())).headline)
    log.draw(lines.path, experiment.directory / "curve.png", experiment.name)
    learned = "" if row.smoothed_loss is None else f"loss {row.smoothed_loss:.4g}, "
    bar.write(f"{experiment.name}: iteration {iteration}, {learned}mean IU {row.mean_iu:.1f}%")
    if keep:
        _prune(experiment, lines, keep)


def _prune(experiment: Experiment, lines: log.Log, keep: int) -> None:
    """Remove snapshots but for the newest `keep`, the best by mean IU, and that of the table's
    number of iterations, from which other experiments start."""
    run = experiment.run
    scored = [(row.mean_iu, row.iteration) for row in lines.rows
              if row.mean_iu is not None and run.weights(row.iteration).exists()]
    table = EXPERIMENTS.get(experiment.name, experiment)
    run.prune(keep, {max(scored)[1], table.iterations} if scored else {table.iterations})


def _next_iterations(experiment, iteration, seconds):
    """How many iterations, of so many seconds, to do before the loss is read: up to the next line
    of the log or snapshot, as far as a signal can wait."""
    return min(LOG_EVERY - iteration % LOG_EVERY, experiment.iterations - iteration,
               experiment.interval - iteration % experiment.interval,
               max(1, int(PATIENCE / seconds)))


def _step(experiment, solver, start, count):
    """`count` iterations; the loss of the last is looked at."""
    solver.step(count)
    _finite_loss(experiment, solver, start, solver.iter)


def _finite_loss(experiment: Experiment, solver: caffe.Solver, start: int, iteration: int) -> float:
    """The loss of an iteration that has just run. Raises LossError if it is not finite."""
    loss = sum(float(solver.net.blobs[name].data) for name in solver.net.outputs
               if name.startswith("loss"))
    if np.isfinite(loss):
        return loss
    spoilt = (f", or was too high before the snapshot of iteration {start}"
              if start and iteration - start <= LOG_EVERY else "")
    raise LossError(f"{experiment.name}: the loss is {loss} at iteration {iteration}; "
                    f"{_rate_is_too_high(experiment, spoilt)}")


def _rate_is_too_high(experiment, spoilt=""):
    return (f"the rate {experiment.lr:g} is too high{spoilt}. Start anew with a lower one: --fresh "
            f"--lr {experiment.lr / 3:.1g}")


def _score(experiment: Experiment, solver: caffe.Solver, pending: Pending) -> dict[str, Scores]:
    """Score the weights, of which there is a snapshot: a signal ends it at once."""
    solver.test_nets[0].share_with(solver.net)      # BVLC's solver does so only when it tests
    try:
        with pending.at_once():
            scores = score.score_net(solver.test_nets[0], experiment.run.samples(),
                                     experiment.unscored, experiment.in_truth)
    except ScoreError as error:
        raise LossError(f"{experiment.name}, iteration {solver.iter}: {error}; "
                        f"{_rate_is_too_high(experiment)}") from None
    score.save(scores, experiment.run, experiment.class_names, solver.iter)
    return scores
