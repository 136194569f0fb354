"""The loop of a training: iterations, log, snapshots, scores."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from fcn import surgery
from fcn.solvers import report
from fcn.solvers.console import events
from fcn.solvers.console.commands import fcn_command, near
from fcn.solvers.console.device import runs_on_gpu
from fcn.solvers.console.progress import Progress
from fcn.solvers.console.signals import Pending, Stopped, deferring_signals
from fcn.solvers.console.streams import tell
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.preflight import divergence, first_loss
from fcn.solvers.processes.workers import ALONE, Workers
from fcn.solvers.runs import aside, log
from fcn.solvers.runs.circumstances import record_circumstances
from fcn.solvers.scoring import counting, samples, score_file
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.scoring.prediction import ScoreError
from fcn.solvers.training import batch_statistics
from fcn.solvers.training.loss_watch import LOG_EVERY, LossError, LossWatch

if TYPE_CHECKING:
    import caffe

LONGEST_WAIT = 2.0      # the longest time in seconds that a signal waits for iterations to end


class Loop:
    """Trains the solver of an experiment to its end.

    lines : the Log that it writes; keep : the number of newest snapshots to keep, None for all;
    patience : the scores in turn without a better mean IU after which it ends, None for never;
    workers : those that train together, whose solvers are joined. All of them run a Loop, and do
        the same; that of rank 0 decides, and alone writes to the experiment's folder.
    """

    def __init__(self, experiment: Experiment, solver: caffe.Solver, lines: log.Log,
                 keep: int | None, patience: int | None = None, workers: Workers = ALONE) -> None:
        self.patience, self.has_ended = patience, False
        self.workers = workers
        self.experiment, self.solver, self.lines, self.keep = experiment, solver, lines, keep
        self.start: int = solver.iter
        self.watch = LossWatch(experiment, solver, workers)
        self.scores: dict[str, Scores] = {}
        self.train_param = experiment.run.net_param("train")
        self.standstill = divergence.Standstill()
        self.has_told_one_class = False
        self.bar = Progress(experiment.name, experiment.iterations, "iteration", self.start)
        solver.add_callback(lambda: None, self._before_update)

    def run(self) -> dict[str, Scores]:
        """Iterate to the end, scoring every interval; returns the last {label: Scores}.

        Raises LossError, and Stopped after a snapshot where a signal asks for the end.
        """
        events.emit("start", run=self.experiment.name, folder=str(self.experiment.directory),
                    iteration=self.start, iterations=self.experiment.iterations)
        if self.workers.rank == 0:
            record_circumstances(self.experiment.run, self.experiment.published,
                                 self.workers.count)
        with self.bar, deferring_signals() as pending:
            try:
                self._train(pending)
            except Stopped:
                self._report(is_stopped=True)
                raise
            self._report()
        return self.scores

    def _train(self, pending: Pending) -> None:
        """Iterate to the end."""
        if self.start and self._is_scored(self.start):  # perhaps interrupted while it scored
            self._score(pending, self.workers.first(
                lambda: score_file.load(self.experiment.run, self.start)))
        seconds = LONGEST_WAIT
        while self.solver.iter < self.experiment.iterations and not self.has_ended:
            count, begin = self._next_iterations(seconds), time.perf_counter()
            self.solver.step(count)
            if self.watch.looked_at < self.solver.iter:
                self.watch.loss(self.solver.iter, is_updated=True)
            seconds = (time.perf_counter() - begin) / count
            told = self.workers.gather((self.watch.failure, pending.number, seconds),
                                       f"what follows iteration {self.solver.iter}")
            self.watch.raise_failure([failure for failure, _, _ in told])
            seconds = told[0][2]
            self._after_steps(count, pending, max(number for _, number, _ in told))

    def _is_scored(self, iteration: int) -> bool:
        """Whether there is a snapshot of that iteration, and scores."""
        return (iteration == self.experiment.iterations
                or iteration % self.experiment.interval == 0)

    def _next_iterations(self, seconds: float) -> int:
        """How many iterations, of so many seconds, to do in turn: up to the next line of the log
        or snapshot, as far as a signal can wait."""
        done, interval = self.solver.iter, self.experiment.interval
        return min(LOG_EVERY - done % LOG_EVERY, self.experiment.iterations - done,
                   interval - done % interval, max(1, int(LONGEST_WAIT / seconds)))

    def _before_update(self) -> None:
        """Look at the pass that an update follows.

        The losses that belong into the log are written before the update, and so before the
        snapshot that may follow: a run that is killed after it has them. On the CPU, where that
        costs nothing, every loss is looked at while the net is as it was in the pass.
        """
        coming = self.solver.iter + 1
        is_logged = coming % LOG_EVERY == 0 or self._is_scored(coming)
        if is_logged or not runs_on_gpu():
            loss = self.watch.loss(coming)
        if is_logged:
            self._log(coming, loss)
        if coming == 1:
            self._tell_first_losses()

    def _log(self, iteration: int, loss: float) -> None:
        """Write a line of the log, of all workers; say once if losses stand still."""
        found = first_loss.losses(self.solver.net, self.train_param)
        told = self.workers.gather((self.watch.failure, loss, sum(each.summed for each in found),
                                    sum(each.pixels for each in found)))
        failures, losses, summed, pixels = zip(*told)
        self.watch.raise_failure(failures)
        rate = getattr(self.solver, "lr", None)
        if self.workers.rank:
            return
        row = self.lines.write(
            iteration, sum(losses) / len(losses), time=self.lines.time(),
            rate=None if rate is None else float(f"{rate:.6g}"),
            loss_per_pixel=sum(summed) / sum(pixels) if sum(pixels) else None)
        events.emit("log", run=self.experiment.name, **row._asdict())
        for each in found[:1]:
            if warning := self.standstill.warning(each.per_pixel, each.guessing):
                self.bar.write(warning, file=sys.stderr)

    def _after_steps(self, count: int, pending: Pending, agreed: int) -> None:
        """A snapshot where one is due, the end that a signal asks for, scores. agreed : the signal
        that all workers know of, 0 for none; one that came since then waits for the next time"""
        iteration = self.solver.iter
        is_scored = self._is_scored(iteration)
        if (is_scored or agreed) and iteration % self.experiment.interval:
            self.solver.snapshot()      # by rank 0
        if is_scored or agreed:
            self.workers.first(lambda: aside.settle(self.experiment.run))
        if agreed:      # before anything is printed: the terminal may be gone
            raise Stopped(agreed, f"there is a snapshot of iteration {iteration}")
        mean = log.recent_loss(self.lines.rows)
        self.bar.update(count, **({} if mean is None else {"mean_loss": mean}))
        if is_scored:
            self._score(pending)

    # scores

    def _score(self, pending: Pending, scores: dict[str, Scores] | None = None) -> None:
        """Score the weights, of which there is a snapshot, unless there are `scores`; log them,
        draw the curve, print a line, remove old snapshots. A signal ends it at once; one that
        comes to a single worker, when all have scored."""
        tally = None
        if scores is None:
            try:
                scores, tally = self.computed_scores(pending)
            except Stopped as stopped:
                raise Stopped(stopped.number, self._unscored()) from None
        self.scores = scores
        if self.workers.rank == 0:
            self._record_scores(scores, tally)
        self.has_ended = self.workers.gather(self.has_ended)[0]

    def _unscored(self) -> str:
        """What there is to say where the scoring of a snapshot is stopped."""
        run, iteration = self.experiment.run, self.solver.iter
        done = f"iteration {iteration} of {self.experiment.iterations} is trained"
        if iteration == self.experiment.iterations:
            done = f"the training is complete, {iteration} iterations"
        return (f"{done}, and its snapshot is {near(run.weights(iteration))}; only its scores are "
                f"missing, which `{fcn_command('score', near(run.directory))}` prints")

    def _record_scores(self, scores: dict[str, Scores], tally: samples.SampleTally | None) -> None:
        """Write and print what `_score` has, and look whether the run ends early."""
        experiment, iteration = self.experiment, self.solver.iter
        losses = tally.losses() if tally else score_file.validation_losses(experiment.run)
        row = self.lines.write(iteration, None,
                               100 * next(iter(self.scores.values())).headline,
                               time=self.lines.time(), **losses)
        events.emit("log", run=experiment.name, **row._asdict())
        events.emit("scores", run=experiment.name, iteration=iteration,
                    labels=score_file.summaries(self.scores))
        log.draw(self.lines.path, experiment.directory / "curve.png", experiment.name)
        mean = log.recent_loss(self.lines.rows)
        learned = "" if mean is None else f"mean loss {mean:.4g}, "
        self.bar.write(f"{experiment.name}: iteration {iteration:,}, {learned}"
                       f"mean IU {row.mean_iu:.1f}%")
        self._tell_one_class()
        if self.keep:
            self._prune(self.keep)
        if tally:       # after all that, for a run with its final scores is not looked at again
            score_file.save(scores, experiment.run, experiment.class_names, iteration, tally)
        self._end_early(iteration)

    def _end_early(self, iteration: int) -> None:
        """Have the loop end where mean IU has not become better for as many scores as `patience`
        says; the snapshot and the scores of the iteration are there."""
        scored = [(row.mean_iu, row.iteration) for row in self.lines.rows
                  if row.mean_iu is not None]
        best = max(range(len(scored)), key=lambda place: (scored[place][0], -place))
        if (self.patience and len(scored) - 1 - best >= self.patience
                and iteration < self.experiment.iterations):
            self.experiment.run.record_end(iteration, self.patience)
            self.has_ended = True
            self.bar.write(f"{self.experiment.name}: ends early at iteration {iteration} of "
                           f"{self.experiment.iterations}: mean IU was not above the "
                           f"{scored[best][0]:.1f}% of iteration {scored[best][1]} in the last "
                           f"{len(scored) - 1 - best} scores (--patience {self.patience}); it goes "
                           "on with a larger --patience, or without")

    def computed_scores(self, pending: Pending) -> tuple[dict[str, Scores], samples.SampleTally]:
        """{label: Scores} of the weights, which all workers compute, and the tally of the samples.
        Raises LossError where scores are not finite, and Stopped as soon as a signal comes."""
        experiment, net = self.experiment, self.solver.test_nets[0]
        net.share_with(self.solver.net)     # BVLC's solver does so only when it tests

        def measured() -> surgery.Statistics | None:
            with pending.at_once():
                return batch_statistics.write_weights(experiment, self.solver.iter)

        found = self.workers.first(measured, f"the statistics of iteration {self.solver.iter}")
        tally = samples.SampleTally(experiment.run.net_param("val"), experiment.unscored,
                                    experiment.in_truth)
        count = experiment.run.samples()

        def counted() -> counting.Matrices:
            try:
                with pending.at_once(), batch_statistics.folded(net, found):
                    return counting.count(net, count, {}, tally, self.workers)
            except ScoreError as error:
                raise LossError(f"{experiment.name}, iteration {self.solver.iter}: {error}; "
                                f"{divergence.origin(net)}. {self.watch.lower_rate()}") from None

        parts = self.workers.together(counted, f"the scoring of iteration {self.solver.iter}")
        tally.unite(self.workers)
        return counting.scores_of(parts, count, experiment.unscored, experiment.in_truth), tally

    def _report(self, is_stopped: bool = False) -> None:
        """Write the report; where the training was stopped since the last scores, draw the curve
        up to here, too. What goes wrong is printed, and ends no training."""
        experiment = self.experiment
        if self.workers.rank:
            return
        try:
            if is_stopped:
                log.draw(self.lines.path, experiment.directory / "curve.png", experiment.name)
            report.write(experiment.run)
        except Exception as error:
            tell(f"{experiment.name}: no report: {error or type(error).__name__}; "
                 f"`fcn report {experiment.directory}` tries again")

    def _prune(self, keep: int) -> None:
        """Remove snapshots but for the newest `keep`, the best by mean IU, and that of the table's
        number of iterations, from which other experiments start."""
        run = self.experiment.run
        scored = [(row.mean_iu, row.iteration) for row in self.lines.rows
                  if row.mean_iu is not None and run.weights(row.iteration).exists()]
        table = EXPERIMENTS.get(self.experiment.name, self.experiment)
        run.prune(keep, {max(scored)[1], table.iterations} if scored else {table.iterations},
                  self.solver.iter)

    # what is said once

    def _tell_first_losses(self) -> None:
        """Print what the losses of the first iteration say, a line each."""
        net = self.solver.net
        scores = [blob.data.any() for name in net.params if name.startswith("score")
                  for blob in surgery.layer_parameters(net, name)]
        is_guessing = bool(scores) and not any(scores)
        is_new = not (self.experiment.bases or self.experiment.start)
        for loss in first_loss.losses(net, self.train_param):
            self.bar.write(first_loss.described(loss, is_guessing, is_new))

    def _tell_one_class(self) -> None:
        """Say once if the net predicts one class for all pixels."""
        for label, one in self.scores.items():
            warning = counting.one_class(one, self.experiment.class_names[label])
            if warning and not self.has_told_one_class:
                self.has_told_one_class = True
                self.bar.write(warning, file=sys.stderr)
