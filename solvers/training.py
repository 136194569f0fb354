"""Training one experiment: its files, its first weights, the loop."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import nets
import surgery
from nets.source import SEED
from segdata.download import catalog
from segdata.errors import UserError
from segdata.files import replacing
from segdata.lists import read_list
from solvers import log, score
from solvers.command import reported
from solvers.experiments import EXPERIMENTS, Experiment
from solvers.metrics import Scores
from solvers.prediction import ScoreError, load_net
from solvers.runs import RunError

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

LOG_EVERY = 20          # iterations; to read the loss after each would wait for a GPU
PATIENCE = 2.0          # seconds of iterations that Ctrl-C may have to wait for


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
    (run.directory / "snapshot").mkdir(parents=True, exist_ok=True)
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


def _continued(experiment: Experiment) -> caffe.Solver | None:
    """A solver that goes on from the newest snapshot that is of use; None where there is none.

    Raises RunError where none of them is, with what is wrong with the newest.
    """
    import caffe
    problems = []
    for iteration, state in reversed(experiment.run.snapshots()):
        solver = caffe.get_solver(str(write_files(experiment, iteration * experiment.iter_size)))
        try:
            _restore(solver, state)
        except RunError:
            raise       # the snapshot before would come to the same end
        except reported() as error:
            problems.append(error)
            print(f"{state} is of no use: {error}", file=sys.stderr)
            continue
        print(f"continuing {experiment.name} from {state}")
        return solver
    if problems:
        raise RunError(f"cannot continue: {problems[0]}; no snapshot before it is of use either: "
                       f"start anew with --fresh, or remove what is in {experiment.directory}"
                       ) from problems[0]
    return None


def _restore(solver, state):
    """Continue from a snapshot. Raises RunError where its weights are not finite, and what the
    solver raises where the files are damaged."""
    solver.restore(str(state))
    for name in solver.net.params:
        if not all(np.isfinite(blob.data).all()
                   for blob in surgery.layer_parameters(solver.net, name)):
            raise RunError(f"cannot continue from {state}: the weights of layer '{name}' are not "
                           "finite; the rate was too high. Take a lower --lr, and remove "
                           f"{state} to continue from the snapshot before, or start anew with "
                           "--fresh")


# the loop

def train(experiment: Experiment, base_nets: dict | None = None) -> dict[str, Scores]:
    """Train an experiment to its end, from the newest snapshot if there is one.

    `base_nets`, {suffix: net}, take the place of those that the experiment's bases name. Returns
    {label: Scores} of the final weights. Writes under the experiment's directory: settings.json,
    prototxts, snapshots, log.csv, curve.png, score.json. Raises RunError where the directory holds
    another run, or one that is trained further.
    """
    with experiment.run.locked():
        return _train(experiment, base_nets)


def _train(experiment, base_nets):
    import caffe
    run = experiment.run
    run.check(**experiment.settings())
    iteration, _ = (run.snapshots() or [(0, None)])[-1]
    if iteration > experiment.iterations:
        raise RunError(f"{experiment.name} is trained to iteration {iteration}, asked for are "
                       f"{experiment.iterations}; start anew with --fresh")
    if finished(experiment) and (scores := score.load(run, experiment.iterations)):
        print(f"{experiment.name} is trained: {final_weights(experiment)}")
        return scores
    solver = _continued(experiment)
    if solver is None:
        print(f"training {experiment.name}")
        solver = caffe.get_solver(str(write_files(experiment, 0)))
        start_weights(experiment, solver.net, base_nets)
    run.record_settings(**experiment.settings())
    return _run(experiment, solver, log.Log(run.directory, solver.iter))


def _run(experiment, solver, lines):
    """Iterate to the end, scoring every interval; returns the last {label: Scores}."""
    start, scores = solver.iter, None
    bar = tqdm(total=experiment.iterations, initial=start, desc=experiment.name, unit="it",
               smoothing=0.05, disable=None)
    with bar:
        if start and score.load(experiment.run, start) is None:     # interrupted while it scored
            scores = _score(experiment, solver)
            _report(experiment, lines, bar, start, None, scores)
        seconds = PATIENCE
        while solver.iter < experiment.iterations:
            count, begin = _next_iterations(experiment, solver.iter, seconds), time.perf_counter()
            loss = _step(experiment, solver, start, count)
            seconds = (time.perf_counter() - begin) / count
            bar.update(count)
            last = solver.iter == experiment.iterations
            scored = last or solver.iter % experiment.interval == 0
            if not scored and solver.iter % LOG_EVERY:
                continue
            if last and solver.iter % experiment.interval:
                solver.snapshot()
            if scored:
                scores = _score(experiment, solver)
                row = _report(experiment, lines, bar, solver.iter, loss, scores)
            else:
                row = lines.write(solver.iter, loss)
            bar.set_postfix(loss=f"{row.smoothed_loss:.4g}")
    return scores


def _report(experiment, lines, bar, iteration, loss, scores):
    """Log an iteration that was scored, draw the curve, print a line; returns the log's row."""
    row = lines.write(iteration, loss, 100 * next(iter(scores.values())).headline)
    log.draw(lines.path, experiment.directory / "curve.png", experiment.name)
    learned = "" if row.smoothed_loss is None else f"loss {row.smoothed_loss:.4g}, "
    bar.write(f"{experiment.name}: iteration {iteration}, {learned}mean IU {row.mean_iu:.1f}%")
    return row


def _next_iterations(experiment, iteration, seconds):
    """How many iterations, of so many seconds, to do before the loss is read: up to the next line
    of the log, as far as Ctrl-C can wait. The one that writes a snapshot is done alone, so that no
    snapshot follows a loss that is not finite."""
    interval = experiment.interval
    to_snapshot = interval - iteration % interval
    return min(LOG_EVERY - iteration % LOG_EVERY, experiment.iterations - iteration,
               max(1, to_snapshot - 1), max(1, int(PATIENCE / seconds)))


def _step(experiment, solver, start, count):
    """`count` iterations; returns the loss of the last. Ctrl-C ends the run after them, with a
    snapshot."""
    with interrupts_deferred(f"stopping after iteration {solver.iter + count}") as interrupted:
        solver.step(count)
    loss = sum(float(solver.net.blobs[name].data) for name in solver.net.outputs
               if name.startswith("loss"))
    if not np.isfinite(loss):
        spoilt = (f", or was too high before the snapshot of iteration {start}"
                  if start and solver.iter - start <= LOG_EVERY else "")
        raise LossError(f"{experiment.name}: the loss is {loss} at iteration {solver.iter}; "
                        f"{_rate_is_too_high(experiment, spoilt)}")
    if interrupted:
        solver.snapshot()
        print(f"interrupted: there is a snapshot of iteration {solver.iter}, from which the same "
              "command, without --fresh, continues", file=sys.stderr)
        raise KeyboardInterrupt
    return loss


def _rate_is_too_high(experiment, spoilt=""):
    return (f"the rate {experiment.lr:g} is too high{spoilt}. Start anew with a lower one: --fresh "
            f"--lr {experiment.lr / 3:.1g}")


@contextmanager
def interrupts_deferred(message: str) -> Iterator[list[bool]]:
    """Ctrl-C prints `message`, and is told by the list yielded, which then is not empty; a second
    one raises KeyboardInterrupt at once. Where the caller ignores SIGINT it stays ignored."""
    caught, before = [], signal.getsignal(signal.SIGINT)

    def defer(*_):
        caught.append(True)
        print(f"\n{message}", file=sys.stderr)
        signal.signal(signal.SIGINT, before)

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, defer)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)


def _score(experiment, solver):
    solver.test_nets[0].share_with(solver.net)      # BVLC's solver does so only when it tests
    try:
        scores = score.score_net(solver.test_nets[0], experiment.run.samples(),
                                 experiment.unscored, experiment.in_truth)
    except ScoreError as error:
        raise LossError(f"{experiment.name}, iteration {solver.iter}: {error}; "
                        f"{_rate_is_too_high(experiment)}") from None
    score.save(scores, experiment.run, experiment.class_names, solver.iter)
    return scores
