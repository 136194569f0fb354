"""Solver: Caffe's training loop. Its subclasses are the update rules in rules.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from ... import context
from ...errors import CaffeError, OutOfMemoryError, WeightsError, did_you_mean
from ...formats import prototxt
from ...formats.reading import check_memory
from ...log import logger
from ...proto import caffe_pb2
from .. import creation_log, out_of_memory, values
from ..blob import VALUE_SIZE
from ..net import Net
from ..one_thread import Turn, by_one_thread
from ..precision import laid_out_as
from . import bookmark, display, rates, settings, snapshots

PIECE = 1 << 17     # values of an array that are updated before the next ones

_UNSET: Any = None      # of the class alone; each solver has its own
_registry: dict[str, type[Solver]] = {}


def register_solver(solver_type: str) -> Callable[[type[Solver]], type[Solver]]:
    """Class decorator: solver prototxts reach the class by `type: "<solver_type>"`."""
    def enter(cls: type[Solver]) -> type[Solver]:
        _registry[solver_type] = cls
        return cls
    return enter


def solver_types() -> list[str]:
    """The names of all solver types, sorted."""
    from . import rules  # noqa: F401  registers its classes
    return sorted(_registry)


def get_solver(solver_file: str, level: int = 0, stages: Sequence[str] = ()) -> Solver:
    """The solver, of the type that it names, of a solver prototxt (pycaffe's `get_solver`).

    level, stages : added to the train_state, as the command line's --level and --stage
    """
    if isinstance(stages, str):
        raise CaffeError(f"{solver_file}: stages is a list, stages=['{stages}'], not a text")
    solver_type = prototxt.read_solver(solver_file).type
    if solver_type not in solver_types():
        raise CaffeError(f"{solver_file}: unknown solver type '{solver_type}'"
                         + did_you_mean(solver_type, solver_types()))
    return _registry[solver_type](solver_file, level, stages)


class Callback(NamedTuple):
    """Two functions that a solver calls in each iteration."""

    on_start: Callable[[], Any]
    on_gradients_ready: Callable[[], Any]


class Solver:
    """Trains the net of a solver prototxt.

    Attributes
    ----------
    param : SolverParameter
    net : the Net that learns, in phase TRAIN
    test_nets : list of Net, in phase TEST, that use the weights of `net`
    iter : int, the updates done
    drops : int, how often the rate had dropped when it was last asked for
    passes : int, the training passes of all solvers that train together
    pass_seed : what the random numbers of each pass follow from; None in a process for itself
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
        self._folder = os.path.dirname(os.path.abspath(solver_file))
        if param.snapshot:
            snapshots.check_folder(self._source, param.snapshot_prefix)
        self._check_settings()
        self.check()
        if param.random_seed >= 0:
            context.set_random_seed(param.random_seed + context.solver_rank())
        self.iter = self.drops = self.passes = 0
        self.pass_seed = self._own_pass_seed()
        self.requested_action: Callable[[], str | None] = lambda: None
        self._stopped = False
        self._losses: list = []
        self._callbacks: list[Any] = []
        self._has_warned = False
        self._progress = display.Progress()
        self.net = self._train_net()
        self.test_nets = self._build_test_nets()
        self._check_decay()
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

    def _own_pass_seed(self) -> int | None:
        """A seed where solvers train together, or may; None where random numbers follow one upon
        the other, as ever in a process for itself."""
        if not context.is_multiprocess():
            return None
        given = self.param.random_seed
        return given if given >= 0 else int(torch.randint(2 ** 62, ()).item())

    def check(self) -> None:
        """Raise CaffeError for parameters that the rule cannot use."""

    def check_decay(self, field: str, lowest: float = 0) -> None:
        """Raise CaffeError where a history that is multiplied by that field of the prototxt would
        grow for ever. Values below 0, down to `lowest`, make it swing, and are as in Caffe."""
        value = getattr(self.param, field)
        if not (0 <= value < 1 or lowest < value < 0):
            raise CaffeError(f"{self._source}: {field} {value:g} makes the training diverge with "
                             f"the solver type {type(self).__name__.removesuffix('Solver')}: "
                             "expected at least 0 and below 1, such as 0.9")

    def _check_settings(self) -> None:
        """Raise CaffeError before the training, not at its first update."""
        with self._located():
            settings.check_finite(self.param)
            if self.param.HasField("lr_policy"):
                rates.check(self.param)
            if self.param.average_loss < 1:
                raise CaffeError("expected average_loss of at least 1, "
                                 f"got {self.param.average_loss}")
        for doubt in settings.doubts(self.param):
            logger.warning("%s: %s", self._source, doubt)

    def _check_decay(self) -> None:
        """Raise CaffeError for a regularization_type that is unknown, and used."""
        kinds, given = ("L1", "L2"), self.param.regularization_type
        used = any(self.param.weight_decay * spec.decay_mult
                   for _, spec in self.net.program.learnable)
        if used and given not in kinds:
            raise CaffeError(f"{self._source}: unknown regularization_type '{given}'"
                             + did_you_mean(given, kinds))

    @property
    def max_iter(self) -> int:
        return self.param.max_iter

    # nets

    def _train_net(self) -> Net:
        param = self.param
        given = [name for name in ("net", "net_param", "train_net", "train_net_param")
                 if param.HasField(name)]
        if len(given) != 1:
            raise CaffeError(f"{self._source}: one train net is needed in net, net_param, "
                             f"train_net or train_net_param; given: {given or 'none'}")
        source = getattr(param, given[0])
        logger.info("Creating training net %s", f"from {given[0]} file: {source}"
                    if isinstance(source, str) else f"specified in {given[0]}.")
        net = self._build_net(source, context.TRAIN, param.train_state)
        for files in param.weights:
            for name in files.split(","):
                logger.info("Finetuning from %s", name.strip())
                net.copy_from(self._path(name.strip()))
        return net

    def _build_test_nets(self) -> list[Net]:
        param = self.param
        sources: list[str | caffe_pb2.NetParameter] = [*param.test_net_param, *param.test_net]
        common = param.net_param if param.HasField("net_param") else param.net
        sources += [common] * (len(param.test_iter) - len(sources)) if common else []
        if len(sources) != len(param.test_iter):
            raise CaffeError(f"{self._source}: {len(sources)} test nets, but "
                             f"{len(param.test_iter)} test_iter")
        states = list(param.test_state) or [caffe_pb2.NetState()] * len(sources)
        if len(states) != len(sources):
            raise CaffeError(f"{self._source}: {len(sources)} test nets, but "
                             f"{len(states)} test_state")
        if sources and param.test_interval < 1:
            raise CaffeError(f"{self._source}: a test net needs a test_interval of at least 1, "
                             f"got {param.test_interval}; without tests, leave test_iter out")
        if sources and min(param.test_iter) < 1:
            raise CaffeError(f"{self._source}: expected each test_iter to be at least 1, "
                             f"got {list(param.test_iter)}")
        files = ["test_net_param"] * len(param.test_net_param) \
            + ["test_net file"] * len(param.test_net)
        nets = []
        for number, (source, state) in enumerate(zip(sources, states)):
            field = files[number] if number < len(files) else \
                "net_param" if param.HasField("net_param") else "net file"
            logger.info("Creating test net (#%d) specified by %s", number,
                        f"{field}: {source}" if isinstance(source, str) else field)
            nets.append(self._build_net(source, context.TEST, state))
            nets[-1].share_with(self.net)
        return nets

    def _build_net(self, source: str | caffe_pb2.NetParameter, phase: int,
                   state: caffe_pb2.NetState) -> Net:
        name = self._source
        if isinstance(source, str):
            name = self._path(source)
            source = prototxt.read_net(name)
        param = caffe_pb2.NetParameter()
        param.CopyFrom(source)
        merged = caffe_pb2.NetState(phase=phase)
        for given in (param.state, state):      # a phase that is given counts, as in Caffe
            merged.MergeFrom(given)
        param.state.CopyFrom(merged)
        try:
            settings.check_multipliers(param)
        except CaffeError as error:
            raise CaffeError(f"{name}: {error}") from None
        return Net.from_param(param, name)

    def _path(self, name: str) -> str:
        """Paths are the working directory's, as in Caffe, or else the solver prototxt's."""
        beside = os.path.join(self._folder, name)
        return beside if not os.path.exists(name) and os.path.exists(beside) else name

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
        for callback in self._callbacks:
            callback.on_start()
        self.net.debug_info.enabled = self._displays and self.param.debug_info
        loss: torch.Tensor | float = 0.0
        for number in range(self.param.iter_size):
            self._seed_pass(number)
            loss = loss + self.net.run_forward()
            self._tell_forward(is_last=number == self.param.iter_size - 1)
            self.net.run_backward(release=True)
        self.passes += self.param.iter_size * context.solver_count()
        self._record(loss / self.param.iter_size if self.param.iter_size else float("nan"))
        if self._displays:
            loss = self.smoothed_loss       # waits for the device, so that the time is right
            self._progress.show(self.iter, self.param.display, loss)
            display.show_outputs("Train", self.net, [(name, self.net.blobs[name].data)
                                                     for name in self.net.outputs])
        for callback in self._callbacks:
            callback.on_gradients_ready()
        self.apply_update()
        action = self._agreed_action()
        if self._snapshot_due() or action == "snapshot":
            self.snapshot()
        self._stopped = action == "stop"

    def add_callback(self, on_start: Any, on_gradients: Callable[[], Any] | None = None) -> None:
        """Call `on_start()` before every iteration, `on_gradients()` before every update; or
        those methods, on_start and on_gradients_ready, of one object, such as a caffe.NCCL."""
        callback = on_start if on_gradients is None else Callback(on_start, on_gradients)
        missing = [name for name in ("on_start", "on_gradients_ready")
                   if not callable(getattr(callback, name, None))]
        if missing:
            raise CaffeError(f"{self._source}: expected add_callback(on_start, on_gradients), two "
                             "functions, or an object with the methods on_start and "
                             f"on_gradients_ready, got {callback!r}, without {missing}")
        self._callbacks.append(callback)

    def _tell_forward(self, is_last: bool) -> None:
        """Callbacks that exchange something between solvers want to know of each pass."""
        for callback in self._callbacks:
            if hasattr(callback, "on_forward"):
                callback.on_forward(is_last)

    def _note(self, doing: str) -> None:
        """Say what this solver does while others may wait for it."""
        for callback in self._callbacks:
            if hasattr(callback, "note"):
                callback.note(doing)

    def _check_exchange(self) -> None:
        """Warn of solvers that were told of others, and train alone on their share."""
        if context.solver_count() > 1 and not self._callbacks and not self._has_warned:
            logger.warning("%s: there are %d solvers, and this one exchanges no gradients with the "
                           "others: call solver.add_callback(nccl)", self._source,
                           context.solver_count())
            self._has_warned = True

    def _agreed_action(self) -> str | None:
        """What this solver, or one of those that train together, is asked to do."""
        agreed = [callback.agreed_action for callback in self._callbacks
                  if hasattr(callback, "agreed_action")]
        return agreed[0] if agreed else self.requested_action()

    def _seed_pass(self, number: int) -> None:
        """Have what a pass draws at random, such as dropout, follow from its place among the
        passes of all solvers, so that it does not matter how many of them share these."""
        if self.pass_seed is not None:
            place = self.passes + number * context.solver_count() + context.solver_rank()
            seed = np.random.SeedSequence([self.pass_seed, place]).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0]))

    def place(self) -> dict[str, Any]:
        """Where the training stands, but for weights and histories, as values for JSON."""
        return {"iteration": self.iter, "drops": self.drops, "passes": self.passes,
                "pass_seed": self.pass_seed,
                "place in the data": self._bookmark.take_data(with_python=self.iter > 0)}

    def take_place(self, place: dict[str, Any]) -> None:
        """Go on from where another solver of the same prototxt stands, as `place` says."""
        self.iter, self.drops = place["iteration"], place["drops"]
        self.passes, self.pass_seed = place["passes"], place["pass_seed"]
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
        net, passes = self.test_nets[number], self.param.test_iter[number]
        net.share_with(self.net)
        sums = display.OutputSums()
        loss: torch.Tensor | float = 0.0
        for _ in range(passes):
            action = self.requested_action()
            if action == "snapshot":
                self.snapshot()
            if action == "stop":
                self._stopped = True
                logger.info("Test interrupted.")
                return
            self._note(f"the test of iteration {self.iter}")
            loss = loss + net.run_forward()
            for name in net.outputs:
                sums.add(name, net.blobs[name].data_to_read)
        if self.param.test_compute_loss:
            logger.info("Test loss: %g", loss / passes)
        display.show_outputs("Test", net, [(name, mean.cpu().numpy())
                                           for name, mean in sums.means(passes)])

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
                self._regularize(data, diff, self.param.weight_decay * spec.decay_mult)
                self.update(diff, rate * spec.lr_mult, *history)
                self.net.debug_info.before_update(number)
                data.sub_(diff)

    def _pieces(self, number: int) -> Iterable[tuple[torch.Tensor, ...]]:
        """(data, diff, each history) of a parameter, by rows that fit a CPU's cache together."""
        learnable = self.net.program.learnable
        blob, _ = learnable[number]
        whole = blob.data_tensor, blob.diff_tensor, *self.history[number::len(learnable)]
        if (blob.count <= PIECE or blob.data_tensor.device.type != "cpu"
                or self.net.debug_info.enabled):
            return [whole]
        rows = max(1, PIECE * blob.shape[0] // blob.count)
        return zip(*(array.split(rows) for array in whole))

    def _regularize(self, data: torch.Tensor, diff: torch.Tensor, decay: float) -> None:
        if decay:
            squared = self.param.regularization_type == "L2"
            diff.add_(data if squared else data.sign(), alpha=decay)

    def _clip_gradients(self) -> None:
        limit = self.param.clip_gradients
        if limit < 0:
            return
        diffs = [blob.diff_tensor for blob, _ in self.net.program.learnable]
        if not diffs:
            return
        norm = torch.stack([diff.square().sum() for diff in diffs]).sum().sqrt()
        scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
        for diff in diffs:
            diff.mul_(scale)
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
        self._note(f"the snapshot of iteration {self.iter}")
        snapshots.write(self.param, self.net, self.iter, self.drops, self.history,
                        self._before_tests or self._marked())

    def _marked(self) -> dict[str, Any]:
        """What is written beside a solverstate."""
        goes_on = self.iter < self._last        # else the next step() begins with no losses
        passes = {} if self.pass_seed is None else {"passes": [self.passes, self.pass_seed]}
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
        self._check_rule(path, read)
        losses, put_mark = [], None
        passes, pass_seed = read.iteration * self.param.iter_size, self._own_pass_seed()
        if read.marked:
            with bookmark.reporting_damage(path):
                if "passes" in read.marked:
                    passes, pass_seed = map(int, read.marked["passes"])
                put_mark = self._bookmark.plan(read.marked)
                losses = [_on_device(loss) for loss in values.decode(read.marked["losses"])]
        read.put_weights()
        self.iter, self.drops, self.history = read.iteration, read.drops, read.history
        self._losses, self._is_continued = losses, bool(losses)
        self._before_tests = None
        self.passes, self.pass_seed = passes, pass_seed
        if put_mark:
            put_mark()


    def _check_rule(self, path: str, read: snapshots.Snapshot) -> None:
        """Raise WeightsError where the histories of a snapshot are another rule's. Those of SGD and
        Nesterov mean the same."""
        mine, written = self.param.type, (read.marked or {}).get("type", self.param.type)
        if written != mine and not {written, mine} <= {"SGD", "Nesterov"}:
            raise WeightsError(f"{path}: its histories are those of the solver type {written}, and "
                               f"this one is {mine}; {snapshots.OTHER}")
        count = len(self.net.program.learnable)
        for kind in self.squares:
            for number in range(kind * count, (kind + 1) * count):
                if (read.history[number] < 0).any():
                    raise WeightsError(f"{path}: history {number} has values below 0, and the "
                                       f"solver type {mine} takes it for sums of squares; "
                                       f"{snapshots.OTHER}")


def _on_device(loss: torch.Tensor | float) -> torch.Tensor | float:
    return loss.to(context.device()) if isinstance(loss, torch.Tensor) else float(loss)
