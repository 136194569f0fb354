"""Solver: Caffe's training loop, `step`. Its subclasses are the update rules in rules.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ... import context
from ...errors import CaffeError, OutOfMemoryError, WeightsError
from ...formats import prototxt
from ...formats.reading import check_memory
from ...log import logger
from ...proto import caffe_pb2
from .. import creation_log, out_of_memory, values
from ..blob import VALUE_SIZE
from ..net import Net
from ..one_thread import Turn, by_one_thread
from ..precision import laid_out_as
from . import bookmark, display, gradients, nets, rates, settings, snapshots
from .callbacks import SolverCallbacks
from .passes import Passes

_UNSET: Any = None      # of the class alone; each solver has its own


class Solver:
    """Trains the net of a solver prototxt.

    Attributes
    ----------
    param : SolverParameter
    net : the Net that learns, in phase TRAIN
    test_nets : list of Net, in phase TEST, that use the weights of `net`
    iter : int, the updates done
    drops : int, how often the rate had dropped when it was last asked for
    passes : Passes, those of all solvers that train together
    history : the rule's arrays, for each parameter one or more
    max_iter : int, the updates that `solve` goes on to
    lr : float, the learning rate of the coming update; with lr_policy "multistep" asking for it
        gets past one stepvalue that is due, as the update itself does
    requested_action : called after every iteration; what it returns is done: None, "snapshot", or
        "stop" (the command line's signals)
    """

    histories = 1       # how many arrays a rule keeps for each parameter
    squares: tuple[int, ...] = ()       # which of these are sums of squares
    param: caffe_pb2.SolverParameter = _UNSET
    net: Net = _UNSET
    test_nets: list[Net] = _UNSET
    iter: int = _UNSET
    drops: int = _UNSET

    def __init__(self, solver_file: str, level: int = 0, stages: Sequence[str] = ()) -> None:
        self.param = param = prototxt.read_solver(solver_file)
        creation_log.write_message("Initializing solver from parameters: ", param)
        if level:
            param.train_state.level = level
        param.train_state.stage.extend(stages)
        self._source = str(solver_file)
        self.turn = Turn(self._source)
        if param.snapshot:
            snapshots.check_folder(self._source, param.snapshot_prefix)
        with self._located():
            settings.check(param)
        for doubt in settings.doubts(param):
            logger.warning("%s: %s", self._source, doubt)
        self.check()
        if param.random_seed >= 0:
            context.set_random_seed(param.random_seed + context.solver_rank())
        self.iter = self.drops = 0
        self.passes = Passes(param)
        self.requested_action: Callable[[], str | None] = lambda: None
        self._stopped = False
        self._losses: list = []
        self._callbacks = SolverCallbacks(self._source)
        self._has_warned = False
        self._progress = display.Progress()
        self.net = nets.train_net(param, self._source)
        self.test_nets = nets.test_nets(param, self._source, self.net)
        with self._located():
            settings.check_regularization(param, self.net.program)
        self._bookmark = bookmark.Bookmark([self.net, *self.test_nets])
        self._last = 0          # the iteration that step() goes on to
        self._is_continued = False      # and the next step() keeps the losses
        self._before_tests: dict[str, Any] | None = None
        logger.info("Solver scaffolding done.")
        learnable = [blob for blob, _ in self.net.program.learnable]
        place = f"{self._source}: the histories of the {len(learnable)} parameters"
        if context.device().type == "cpu":      # which gives memory first, and ends who uses it
            check_memory(VALUE_SIZE * self.histories * sum(blob.count for blob in learnable), place,
                         OutOfMemoryError)
        with out_of_memory.explaining(place, self.net.program):
            self.history = [torch.zeros_like(blob.data_tensor) for _ in range(self.histories)
                            for blob in learnable]

    def check(self) -> None:
        """Raise CaffeError for parameters that the rule cannot use."""

    def check_factor(self, field: str, lowest: float = 0) -> None:
        """Raise CaffeError where a history that is multiplied by that field of the prototxt would
        grow for ever. Values below 0, down to `lowest`, make it swing, and are as in Caffe."""
        value = getattr(self.param, field)
        if not (0 <= value < 1 or lowest < value < 0):
            raise CaffeError(f"{self._source}: {field} {value:g} makes the training diverge with "
                             f"the solver type {type(self).__name__.removesuffix('Solver')}: "
                             "expected at least 0 and below 1, such as 0.9")

    @property
    def max_iter(self) -> int:
        """The updates that `solve` goes on to."""
        return self.param.max_iter

    def share_weights(self, net: Net) -> None:
        """Have `net` use the weights of the net that learns."""
        net.share_with(self.net)

    # training

    @by_one_thread
    def solve(self, resume: str | None = None) -> None:
        """Train until max_iter, from the solverstate `resume` if given."""
        logger.info("Solving %s", self.net.name)
        logger.info("Learning Rate Policy: %s", self.param.lr_policy)
        if self.param.snapshot_after_train:
            snapshots.check_folder(self._source, self.param.snapshot_prefix)
        if resume is not None:
            logger.info("Restoring previous solver status from %s", resume)
            try:
                self.restore(resume)
            except WeightsError as error:
                raise WeightsError(f"{error}; {snapshots.whole_beside(resume)}") from error
        if self.iter >= self.param.max_iter:
            logger.warning("%s: nothing is trained: max_iter is %d, and the iteration %d",
                           self._source, self.param.max_iter, self.iter)
        self.step(self.param.max_iter - self.iter)
        if self.param.snapshot_after_train and not self._snapshot_due():
            self.snapshot()
        if self._stopped:
            logger.info("Optimization stopped early.")
            return
        if self._every(self.param.display):
            self._record(self.net.run_forward())
            logger.info("Iteration %d, loss = %g", self.iter, self.smoothed_loss)
        if self._every(self.param.test_interval):
            self._test_all()
        logger.info("Optimization Done.")

    @by_one_thread
    def step(self, iterations: int) -> None:
        """Run that many iterations of forward, backward and update."""
        if not self._is_continued:
            self._losses = []
        self._is_continued = self._stopped = False
        self._last = self.iter + iterations
        self._check_exchange()
        while self.iter < self._last and not self._stopped:
            self._iterate()

    def _iterate(self) -> None:
        self._before_tests = None
        self.net.clear_param_diffs()
        if self._every(self.param.test_interval) and (self.iter or self.param.test_initialization):
            self._test_all()
            if self._stopped and context.solver_count() == 1:
                return
            self._stopped, self._before_tests = False, None     # all stop after this iteration
        self._callbacks.on_start()
        self.net.debug_info.enabled = self._displays and self.param.debug_info
        loss: torch.Tensor | float = 0.0
        for number in range(self.param.iter_size):
            self.passes.seed_pass(number)
            loss = loss + self.net.run_forward()
            self._callbacks.on_forward(is_last=number == self.param.iter_size - 1)
            self.net.run_backward(release=True)
        self.passes.count(self.param.iter_size)
        self._record(loss / self.param.iter_size if self.param.iter_size else float("nan"))
        if self._displays:
            loss = self.smoothed_loss       # waits for the device, so that the time is right
            self._progress.show(self.iter, self.param.display, loss)
            display.show_outputs("Train", self.net, [(name, self.net.blobs[name].data)
                                                     for name in self.net.outputs])
        self._callbacks.on_gradients_ready()
        self.apply_update()
        action = self._callbacks.agreed_action(self.requested_action)
        if self._snapshot_due() or action == "snapshot":
            self.snapshot()
        self._stopped = action == "stop"

    def add_callback(self, on_start: Any, on_gradients: Callable[[], Any] | None = None) -> None:
        """Call `on_start()` before every iteration, `on_gradients()` before every update; or
        those methods, on_start and on_gradients_ready, of one object, such as a caffe.NCCL."""
        self._callbacks.add(on_start, on_gradients)

    def _check_exchange(self) -> None:
        """Warn of solvers that were told of others, and train alone on their share."""
        if context.solver_count() > 1 and not self._callbacks and not self._has_warned:
            logger.warning("%s: there are %d solvers, and this one exchanges no gradients with the "
                           "others: call solver.add_callback(nccl)", self._source,
                           context.solver_count())
            self._has_warned = True

    def place(self) -> dict[str, Any]:
        """Where the training stands, but for weights and histories, as values for JSON."""
        return {"iteration": self.iter, "drops": self.drops, "passes": self.passes.done,
                "pass_seed": self.passes.seed,
                "place in the data": self._bookmark.take_data(with_python=self.iter > 0)}

    def take_place(self, place: dict[str, Any]) -> None:
        """Go on from where another solver of the same prototxt stands, as `place` says."""
        self.iter, self.drops = place["iteration"], place["drops"]
        self.passes.done, self.passes.seed = place["passes"], place["pass_seed"]
        self._bookmark.put_data(place["place in the data"])

    @property
    def smoothed_loss(self) -> float:
        """The mean loss of the last `average_loss` iterations of this step(), with those before
        the snapshot that it continues."""
        return float(sum(self._losses) / len(self._losses)) if self._losses else float("nan")

    def _record(self, loss: torch.Tensor | float) -> None:
        self._losses = [*self._losses, loss][-self.param.average_loss:]

    def _every(self, interval: int) -> bool:
        return interval != 0 and self.iter % interval == 0

    def _snapshot_due(self) -> bool:
        return self.iter != 0 and self._every(self.param.snapshot)

    @property
    def _logs(self) -> bool:
        return context.solver_rank() == 0

    @property
    def _displays(self) -> bool:
        """Whether this iteration is shown. Nothing else reads from the net, and waits for a GPU."""
        return self._logs and self._every(self.param.display)

    # testing

    def _test_all(self) -> None:
        if not (self.test_nets and self._logs):
            return
        self._before_tests = self._marked()     # a run that is continued begins them anew
        for number in range(len(self.test_nets)):
            self._test(number)
            if self._stopped:
                return
        self._before_tests = None

    def _test(self, number: int) -> None:
        logger.info("Iteration %d, Testing net (#%d)", self.iter, number)
        net = self.test_nets[number]
        net.share_with(self.net)
        self._stopped = not display.show_test(net, self.param.test_iter[number],
                                              self.param.test_compute_loss, self._tests_on)

    def _tests_on(self) -> bool:
        """Whether nobody asks for an end before the next pass of a test."""
        action = self.requested_action()
        if action == "snapshot":
            self.snapshot()
        if action != "stop":
            self._callbacks.note(f"the test of iteration {self.iter}")
        return action != "stop"

    # updates

    @property
    def lr(self) -> float:
        """The rate that lr_policy gives the current iteration. Raises CaffeError."""
        with self._located():
            rates.check(self.param)
            self.drops = rates.count_drops(self.param, self.iter, self.drops)
            return rates.rate(self.param, self.iter, self.drops)

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Add the file to what is wrong with its settings."""
        try:
            yield
        except CaffeError as error:
            raise CaffeError(f"{self._source}: {error}") from None

    @torch.no_grad()
    def apply_update(self) -> None:
        """Update the weights from the gradients in `net.params`, which become the updates, and
        count the iteration."""
        rate = self.lr
        if self._displays:
            logger.info("Iteration %d, lr = %g", self.iter, rate)
        with out_of_memory.explaining(f"{self._source}: the update of iteration {self.iter}",
                                      self.net.program):
            self._clip_gradients()
            datas = [blob.data_tensor for blob, _ in self.net.program.learnable] * self.histories
            self.history = list(map(laid_out_as, self.history, datas))
            self.update_all(rate)
        self.net.weights_updated()
        self.iter += 1

    def update_all(self, rate: float) -> None:
        """Update every parameter, at a rate that is multiplied by its lr_mult."""
        for number, (_, spec) in enumerate(self.net.program.learnable):
            for data, diff, *history in self._pieces(number):
                if self.param.iter_size != 1:
                    diff.div_(self.param.iter_size)
                gradients.regularize(data, diff, self.param.weight_decay * spec.decay_mult,
                                     self.param.regularization_type)
                self.update(diff, rate * spec.lr_mult, *history)
                self.net.debug_info.before_update(number)
                data.sub_(diff)

    def _pieces(self, number: int) -> Iterable[tuple[torch.Tensor, ...]]:
        """What is updated together of a parameter: (data, diff, each history)."""
        learnable = self.net.program.learnable
        blob, histories = learnable[number][0], self.history[number::len(learnable)]
        # debug_info has a line for each parameter
        piece = blob.count if self.net.debug_info.enabled else gradients.PIECE
        return gradients.pieces(blob, histories, piece)

    def _clip_gradients(self) -> None:
        limit, learnable = self.param.clip_gradients, self.net.program.learnable
        if limit < 0 or not learnable:
            return
        norm, scale = gradients.clip([blob for blob, _ in learnable], limit)
        if self._displays and scale < 1:        # the original says so in every iteration
            logger.info("Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale "
                        "factor %g", norm, limit, scale)

    def update(self, diff: torch.Tensor, rate: float, *history: Any, **named: Any) -> None:
        """Turn the gradient `diff` into what is subtracted, and its histories into those of the
        next update, all in place. Elements do not depend on one another."""
        raise CaffeError(f"solver type '{self.param.type}' defines no update()")

    # snapshots

    @by_one_thread
    def snapshot(self) -> None:
        """Write <snapshot_prefix>_iter_<N>.caffemodel and .solverstate, or with snapshot_format
        HDF5 .caffemodel.h5 and .solverstate.h5; and beside the state a file that ends in .resume,
        with all that makes a continued training equal to one that was not interrupted.

        Of solvers that train together, the one of rank 0 writes; the others do nothing here."""
        if not self._logs:
            return
        self._callbacks.note(f"the snapshot of iteration {self.iter}")
        snapshots.write(self.param, self.net, self.iter, self.drops, self.history,
                        self._before_tests or self._marked())

    def _marked(self) -> dict[str, Any]:
        """What is written beside a solverstate."""
        goes_on = self.iter < self._last        # else the next step() begins with no losses
        passes = ({} if self.passes.seed is None
                  else {"passes": [self.passes.done, self.passes.seed]})
        return {**self._bookmark.take(), **passes, "type": self.param.type,
                "losses": values.encode(self._losses if goes_on else [])}

    @by_one_thread
    def restore(self, path: str) -> None:
        """Continue from a solverstate, binary or HDF5 (.h5), and the caffemodel that it names.

        The caffemodel is looked for where the state says, and then beside the state. Where a file
        that ends in .resume is beside the state, both have to be as they were written, and
        training goes on as if it had not been interrupted; without one, as in the original, data
        and random numbers begin anew. Raises WeightsError where a file is damaged, or does not
        fit the net; the solver is then unchanged.
        """
        path = str(path)
        read = snapshots.read(path, self.net, self.history)
        snapshots.check_rule(path, read, self.param.type, self.squares,
                             len(self.net.program.learnable))
        losses, put_mark = [], None
        passes = Passes(self.param, done=read.iteration * self.param.iter_size)
        if read.marked:
            with bookmark.reporting_damage(path):
                if "passes" in read.marked:
                    passes.done, passes.seed = map(int, read.marked["passes"])
                put_mark = self._bookmark.plan(read.marked)
                losses = [_on_device(loss) for loss in values.decode(read.marked["losses"])]
        read.put_weights()
        self.iter, self.drops, self.history = read.iteration, read.drops, read.history
        self._losses, self._is_continued = losses, bool(losses)
        self._before_tests = None
        self.passes = passes
        if put_mark:
            put_mark()


def _on_device(loss: torch.Tensor | float) -> torch.Tensor | float:
    return loss.to(context.device()) if isinstance(loss, torch.Tensor) else float(loss)
