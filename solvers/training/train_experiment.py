"""Training one experiment: it begins, or goes on, and ends with its scores."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from fcn.solvers import preflight, report
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments import options
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.preflight import changes, recipe
from fcn.solvers.processes import torchrun
from fcn.solvers.processes.workers import ALONE, Workers
from fcn.solvers.runs import all_runs, aside, log
from fcn.solvers.runs.run import KEEP, PROGRESS
from fcn.solvers.runs.settings import elsewhere
from fcn.solvers.scoring import score_file
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.training import first_weights
from fcn.solvers.training.continued import continued, recorded_rate, telling_snapshots
from fcn.solvers.training.loop import Loop
from fcn.solvers.training.prototxts import write_files
from fcn.solvers.training.trained import finished, is_whole, last_iteration
from segdata.errors import DataError
from segdata.files import make_folder, replacing

if TYPE_CHECKING:
    import caffe


def train(experiment: Experiment, base_nets: dict | None = None, *, keep: int | None = KEEP,
          force: bool = False, fresh: bool = False, patience: int | None = None,
          workers: Workers = ALONE) -> dict[str, Scores]:
    """Train an experiment to its end, from the newest snapshot if there is one.

    `base_nets`, {suffix: net}, take the place of those that the experiment's bases name. Of the
    snapshots stay the newest `keep` (None: all), the best by mean IU, and what other experiments
    start from. With `force`, findings about weights and recipe are printed, and stop nothing.
    With `fresh` it starts anew: the run that is there is removed when the new one has its first
    snapshot, and stays if it ends before. With `patience` it ends early where as many scores in
    turn have no better mean IU; called again with the same or less it stays so, with more, or
    None, it goes on. Of several `workers` all call this; that of rank 0 alone needs the bases, and
    what is in the experiment's folder.

    Returns {label: Scores} of the final weights. Writes under the experiment's directory:
    settings.json, prototxts, snapshots, log.csv, curve.png, score.json. Raises RunError where the
    directory holds another run, or one that is trained further; PreflightError for findings;
    Stopped, after a snapshot, where a signal ends it.
    """
    with ExitStack() as held:
        def hold() -> None:
            place = torchrun.place()
            is_begun = place.restarts and experiment.run.started_by() == place.start
            held.enter_context(experiment.run.locked(experiment.data))
            if fresh and not is_begun:
                aside.set_aside(experiment.run)
            held.enter_context(telling_snapshots(experiment.run, experiment.name))

        workers.first(hold)
        if (scores := workers.first(lambda: _trained(experiment, patience))) is not None:
            return scores
        if workers.rank:
            experiment = replace(experiment, build=Path(held.enter_context(TemporaryDirectory())))
        solver = _solver(experiment, base_nets, force, patience, workers)
        workers.join(solver)
        lines = log.Log(experiment.directory, solver.iter)
        scores = Loop(experiment, solver, lines, keep, patience, workers).run()
        workers.first(lambda: _record_all_seen(experiment))
        return scores


def _trained(experiment: Experiment, patience: int | None) -> dict[str, Scores] | None:
    """The scores of an experiment that needs no more training; None where it does."""
    run = experiment.run
    run.check(**experiment.settings())
    iteration = max((iteration for iteration, _ in run.snapshots()), default=0)
    if iteration > experiment.iterations:
        raise RunError(f"{experiment.name} is trained to iteration {iteration}, asked for are "
                       f"{experiment.iterations}; start anew with --fresh")
    goes_on = _goes_on(experiment, patience)
    if end := run.ended():
        is_gone = not run.weights(end["iteration"]).exists()
        why, other = ((f"--patience {end['patience']} ended it", "with a larger --patience, or "
                       "without") if end["patience"] else
                      ("workers had seen all its images", "without --same-images"))
        print(f"{experiment.name}: {why} at iteration {end['iteration']}"
              + ", and the snapshot of that is gone" * is_gone
              + ("; now it goes on" if goes_on else f"; it goes on {other}"))
    last = experiment.iterations if goes_on else last_iteration(experiment)
    weights = run.weights(last)
    if is_whole(weights) and (scores := score_file.load(run, last)):
        _check_rate(experiment)
        _forget_end(experiment, patience)
        print(f"{experiment.name} is trained: {weights}")
        if missing := run.missing_files():
            write_files(experiment, run.seen(iteration, experiment.images))
            print(f"{', '.join(missing)} in {run.directory} had gone: written anew")
        with suppress(DataError):       # of data that are gone there is nothing to say
            if told := changes.look(experiment)[0]:
                print(told, file=sys.stderr)
        report.refresh(run)     # which is missing after a kill behind the last scores
        return scores
    return None


def _check_rate(experiment: Experiment) -> None:
    """Raise RunError where a rate is asked for that is not that of a run that needs no training.

    Rates are compared as they were typed, for --same-images multiplies them by the number of
    workers; where none was typed for the run, as they are trained with.
    """
    asked = experiment.options.get("lr")
    typed = experiment.run.settings().get("--lr")
    trained = recorded_rate(experiment) if typed is None else typed
    now = experiment.lr if typed is None else asked
    if asked is not None and trained is not None and np.float32(now) != np.float32(trained):
        raise RunError(f"{experiment.name} is trained to its end, at the rate {trained:g}; asked "
                       f"for is --lr {asked:g}. To train with that, start anew (--fresh), let it "
                       f"go on for longer than its {experiment.iterations} iterations, or take "
                       f"another folder ({elsewhere(experiment.data)})")


def _forget_end(experiment: Experiment, patience: int | None) -> None:
    """Record of a run that ended early, and goes on now, that it has not ended."""
    if _goes_on(experiment, patience):
        experiment.run.record_end(None)


def is_to_be_trained(experiment: Experiment, patience: int | None, fresh: bool = False) -> bool:
    """Whether `train` would iterate, as far as the snapshots show."""
    return fresh or not finished(experiment) or _goes_on(experiment, patience)


def _goes_on(experiment: Experiment, patience: int | None) -> bool:
    """Whether there is a run that ended early, and it goes on now."""
    run = experiment.run
    end = run.ended()
    if not end:
        return False
    if not run.weights(end["iteration"]).exists():
        return True
    if end["patience"]:
        return not patience or patience > end["patience"]
    return experiment.iterations > end["iteration"]


def _solver(experiment: Experiment, base_nets: dict | None, force: bool, patience: int | None,
            workers: Workers) -> caffe.Solver:
    """The solver that begins, or goes on; of workers that are not the first one like it, which has
    yet to get its weights."""
    import caffe
    made: list[caffe.Solver] = []

    def begin() -> dict[str, bytes]:
        aside.keep_files(experiment.run)
        _forget_end(experiment, patience)
        made.append(_begun(experiment, base_nets, force, workers.count))
        return _files(experiment) if workers.count > 1 else {}

    def follow() -> None:
        if workers.rank:
            made.append(caffe.get_solver(str(_copied(experiment, files))))

    files = workers.first(begin, "the preparation of the training")
    workers.together(follow, "the making of the net")
    return made[0]


def _begun(experiment: Experiment, base_nets: dict | None, force: bool, count: int
           ) -> caffe.Solver:
    """The solver that begins, or goes on, for `count` workers; what is found about it is said."""
    import caffe
    run = experiment.run
    solver, found = continued(experiment), []
    told, data = changes.look(experiment)
    if told and solver is not None:
        print(told, file=sys.stderr)
    if solver is not None and not run.settings():
        print(f"warning: {experiment.name}: {run.directory} lacks its settings.json, so that "
              "nothing says whether the run began with the settings that are asked for now; it "
              "goes on with these, and the file is written anew", file=sys.stderr)
    if solver is None:
        print(f"training {experiment.name}")
        solver = caffe.get_solver(str(write_files(experiment, 0)))
        found = first_weights.fill(experiment, solver.net, base_nets)
    found += recipe.findings(run.solver_param(), run.net_param("train"), solver.net)
    preflight.report_findings(experiment.name, found, force)
    losses = filter(recipe.is_loss, run.net_param("train").layer)
    if note := options.batch_note(experiment, any(map(recipe.averaged, losses)), count):
        print(note)
    run.remove_ready_after(solver.iter)
    run.record_settings(**experiment.settings())
    changes.record(run, data)
    run.record_workers(solver.iter, experiment.images, count, torchrun.place().start)
    all_runs.take_turn(run)
    return solver


def _files(experiment: Experiment) -> dict[str, bytes]:
    """{path: content} of what a solver of the experiment is made of, and its Loop reads."""
    folder = experiment.directory
    paths = [*(experiment.run.prototxt(split) for split in ("train", "val", "solver")),
             folder / PROGRESS, *folder.glob("class_weights_*.binaryproto")]
    return {str(path.resolve()): path.read_bytes() for path in paths}


def _copied(experiment: Experiment, files: dict[str, bytes]) -> Path:
    """Write `_files` to the folder of a worker's experiment; returns the solver's prototxt. A file
    that prototxts name by its path is written there where it is missing."""
    from google.protobuf import text_format
    run = experiment.run
    make_folder(run.directory / "snapshot")
    for name, content in files.items():
        path = Path(name)
        if path.suffix == ".binaryproto":
            if not path.exists():
                make_folder(path.parent)
                with replacing(path) as temporary:
                    temporary.write_bytes(content)
        else:
            (run.directory / path.name).write_bytes(content)
    param = run.solver_param()
    param.train_net, param.test_net[0] = str(run.prototxt("train")), str(run.prototxt("val"))
    param.snapshot_prefix = str(run.directory / "snapshot" / "train")
    run.prototxt("solver").write_text(text_format.MessageToString(param), encoding="utf-8")
    return run.prototxt("solver")


def _record_all_seen(experiment: Experiment) -> None:
    """Record that the run has come to its end where its workers have seen as many images as the
    table says, in fewer iterations: so that others can start from it."""
    table, iteration = EXPERIMENTS.get(experiment.name, experiment), experiment.iterations
    if (iteration < table.iterations
            and experiment.run.seen(iteration, experiment.images) >= table.iterations * table.images
            and not experiment.run.ended()):
        experiment.run.record_end(iteration)
