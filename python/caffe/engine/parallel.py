"""NCCL: solvers in several processes train one net (pycaffe's name; here over torch.distributed,
with gloo on CPUs and NCCL on GPUs)."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import time
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from .. import context
from ..errors import CaffeError, DeviceError
from .program import Step
from .runners.observer import Observer
from .workers import meeting
from .workers.beats import Beats
from .workers.reduction import Reduction
from .workers.statistics import Statistics

if TYPE_CHECKING:
    from .net import Net
    from .solvers.solver import Solver

FOREVER = timedelta(days=7)     # for the backend; who waits too long is noticed here
CONNECTING = timedelta(seconds=30)      # for ranks that have met to connect to each other
PEEK = timedelta(seconds=1)     # between two looks at what the others do

# of a solver's prototxt, what ranks may have differently
FREE = ("device_id", "solver_mode", "snapshot_prefix", "display", "debug_info", "test_iter",
        "test_interval", "net", "train_net", "test_net", "net_param", "train_net_param",
        "test_net_param", "weights")

ACTIONS = "stop", "snapshot"        # the first that somebody wants is done


class NCCL(Observer):
    """Averages the gradients of solvers in several processes, each of which has a share of the
    data: `solver_count()` of them, of which this is number `solver_rank()`.

    Each process makes its solver, and then

        nccl = caffe.NCCL(solver, uid)
        nccl.bcast()                        # the weights of rank 0 for all
        solver.add_callback(nccl)
        if solver.param.layer_wise_reduce:  # send gradients while the backward pass goes on
            solver.net.after_backward(nccl)
        solver.step(solver.param.max_iter)

    Parameters
    ----------
    solver : the process's Solver
    uid : what `NCCL.new_uid()` returned, in one process; the same for all

    Attributes
    ----------
    agreed_action : what some rank's solver.requested_action() asked for in the last exchange, for
        all to do after its update: "stop", "snapshot" or None
    waited : seconds for which this process has waited for exchanges, in all
    timeout : seconds without progress of a rank after which those that wait for it end

    Raises CaffeError where ranks do not come, do not fit together, or leave; and DeviceError where
    the device cannot exchange gradients.
    """

    timeout = 300.0

    def __init__(self, solver: Solver, uid: bytes | str) -> None:
        if uid is None or solver is None:
            raise CaffeError("expected caffe.NCCL(solver, uid), with a solver and what "
                             "caffe.NCCL.new_uid() returned")
        meeting.check_available()
        device = context.device()
        if device.type == "cuda" and not dist.is_nccl_available():
            raise DeviceError("this build of PyTorch has no NCCL, so that GPUs cannot exchange "
                              "gradients: train on one GPU, or on CPUs (CAFFE_MODE=cpu)")
        self._solver, self._has_checked_start = solver, False
        rank, count = context.solver_rank(), context.solver_count()
        self._meeting = meeting.Meeting(uid, rank, count, self.timeout, _about(solver))
        _check_alike(self._meeting)
        self._beats = Beats(self._meeting)
        weakref.finalize(self, self._beats.stop)
        self._works: list = []
        self.waited = 0.0
        self._connect()
        self._reduction = Reduction(solver.net.program, self._send)
        self._statistics = Statistics(solver.net.program, rank, count)
        self._is_last_pass = False
        self.agreed_action: str | None = None
        self._gathered = ""     # the name under which this rank gave its last value

    @staticmethod
    def new_uid() -> bytes:
        """A name for the solvers that are to train together, b"caffe:HOST:PORT:TOKEN". This
        process serves their meeting place, and has to go on running; no GPU is touched, so that it
        may be forked afterwards."""
        return meeting.new_uid()

    @staticmethod
    def uid_from_environment() -> bytes | None:
        """The uid of processes that torchrun has started; None elsewhere."""
        return meeting.uid_from_environment()

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self._meeting.rank

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self._meeting.count

    def bcast(self) -> None:
        """Have all solvers go on from where rank 0 is: its weights and update histories, its
        iteration, and its place in the data."""
        self.note("the broadcast of the weights")
        solver, options = self._solver, dist.BroadcastOptions()
        options.rootRank = options.rootTensor = 0
        places = self.gather(solver.place() if self.rank == 0 else None)
        self._beats.round += 1
        for tensor in [*(blob.data_tensor for blob, _ in solver.net.program.learnable),
                       *solver.history]:
            self._works.append(self._group.broadcast([_flat(tensor)], options))
        self._wait("the broadcast of the weights")
        if self.rank:
            solver.take_place(places[0])

    def batch(self) -> str:
        """A sentence that says what the batch becomes."""
        net, param = self._solver.net, self._solver.param
        sizes = [step.top[0].shape[0] for step in net.program.steps
                 if not step.bottom and step.top and step.top[0].shape]
        size = sizes[0] if sizes else 1
        own = size * param.iter_size
        solvers = ("1 solver trains" if self.count == 1 else
                   f"{self.count} solvers train together")
        return (f"{solvers}: each update averages over {self.count} x "
                f"{own} = {self.count * own} samples (batch {size}, iter_size {param.iter_size}), "
                f"one process over {own}. Rate, momentum and max_iter are those of the prototxt")

    # a callback of the solver

    def on_start(self) -> None:
        """Called before every iteration."""
        if not self._has_checked_start:
            self._check_start()
        self._beats.check_store()
        self._statistics.begin()
        self.note(f"the forward pass of iteration {self._solver.iter}")

    def on_forward(self, is_last: bool) -> None:
        """Called after each forward pass of an iteration."""
        self._statistics.take()
        self._is_last_pass = is_last
        self.note(f"the backward pass of iteration {self._solver.iter}")

    def on_gradients_ready(self) -> None:
        """Called before every update: the gradients become the averages."""
        self._is_last_pass = False
        self._beats.round += 1
        self._reduction.advance(0)
        if (measured := self._statistics.to_send()) is not None:
            self._send(measured)
        wish = self._solver.requested_action()
        wishes = torch.tensor([wish == action for action in ACTIONS], dtype=torch.float32,
                              device=context.device())
        self._send(wishes)
        self._wait(f"the exchange of the gradients of iteration {self._solver.iter}")
        self._reduction.finish(self.count)
        self._statistics.finish()
        self.agreed_action = next((action for action, count in zip(ACTIONS, wishes.tolist())
                                   if count), None)
        self.note(f"the update of iteration {self._solver.iter}")

    # an observer of the net

    @property
    def cuts(self) -> tuple[int, ...]:
        return self._reduction.cuts

    def notice(self, event: str, step: Step) -> None:
        if event == "after_backward" and self._is_last_pass:
            self._reduction.advance(step.number)

    # what else ranks may want of each other

    def note(self, doing: str) -> None:
        """Have the messages of other ranks, which wait for this one, say that it was in `doing`;
        and count that as progress."""
        self._beats.note(doing)

    def gather(self, value: Any) -> list[Any]:
        """What each rank gave for `value`, something small for JSON, in the order of the ranks.
        All ranks have to call this. Raises CaffeError where one does not come."""
        self._beats.round += 1
        names = [f"gathered/{self._beats.round}/{rank}" for rank in range(self.count)]
        self._meeting.store.set(names[self.rank], json.dumps(value))
        since, what = time.monotonic(), "an exchange of values"
        for _ in meeting.pauses():
            if self._meeting.store.check(names):
                break
            self._beats.check_others(what, since, self.timeout)
        found = [json.loads(text) for text in self._meeting.store.multi_get(names)]
        if self._gathered:      # everybody has come here, and so has read what was given before
            self._meeting.store.delete_key(self._gathered)
        self._gathered = names[self.rank]
        return found

    def _send(self, tensor: torch.Tensor) -> None:
        self._works.append(self._group.allreduce([tensor], dist.AllreduceOptions()))    # adds

    def _connect(self) -> None:
        """Connect the ranks to each other, and exchange a number, since libraries connect in the
        first exchange. Raises CaffeError where that fails."""
        what, store = "the connection of the ranks to each other", self._meeting.connect()
        try:
            self._group = _group(context.device(), dist.PrefixStore("gradients", store),
                                 self.rank, self.count)
        except RuntimeError as error:
            raise self._beats.broken(what, meeting.first_line(error)) from None
        number = torch.ones(1, device=context.device())
        self._send(number)
        weakref.finalize(self, _let_go, self._group, self._works, os.getpid())
        self._wait(what)
        if number.item() != self.count:
            raise DeviceError(f"{self.count} ranks that each give 1 have added up "
                              f"{number.item():g}: the exchange of gradients does not work on "
                              "these devices")

    def _wait(self, what: str) -> None:
        """Wait until all that was begun is done. Raises CaffeError if that will not be."""
        since = time.monotonic()
        try:
            for work in self._works:
                while not _is_done(work):
                    self._beats.check_others(what, since, self.timeout)
        except RuntimeError as error:
            if isinstance(error, CaffeError):
                raise
            raise self._beats.broken(what, meeting.first_line(error)) from None
        self._works.clear()
        self.waited += time.monotonic() - since

    def _check_start(self) -> None:
        """Raise CaffeError unless all ranks begin with the same weights, and at one place."""
        solver = self._solver
        found = self.gather({**solver.place(), "weights": _digest_of_weights(solver.net)})
        self._has_checked_start = True
        for rank, each in enumerate(found):
            for name, value in each.items():
                if value != found[0][name]:
                    raise CaffeError(
                        f"{self._meeting.places[rank]} does not begin with the same {name} as "
                        "rank 0, so that their updates would not fit together: call nccl.bcast() "
                        "in all processes after their solvers were made, or restored")


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """The memory of a tensor that fills it, as a line."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _digest_of_weights(net: Net) -> str:
    found = hashlib.sha256()
    for blob, _ in net.program.learnable:
        found.update(blob.data_to_read.contiguous().cpu().numpy().data)
    return found.hexdigest()


def _about(solver: Solver) -> dict[str, Any]:
    """What has to be the same for all ranks: {"solver": {field: text}, "net": [[name, digest of
    the layer's entry], ...]}."""
    settings = {field.name: f"{value:g}" if isinstance(value, float) else str(value)
                for field, value in solver.param.ListFields() if field.name not in FREE}
    layers = [[step.name, hashlib.sha256(step.spec.SerializeToString(deterministic=True))
               .hexdigest()] for step in solver.net.program.steps]
    return {"solver": settings, "net": layers, "source": solver.net.program.source}


def _check_alike(met: meeting.Meeting) -> None:
    """Raise CaffeError where ranks have different prototxts."""
    first = met.about[0]
    for place, other in zip(met.places, met.about):
        fields = [name for name in {**first["solver"], **other["solver"]}
                  if first["solver"].get(name) != other["solver"].get(name)]
        if fields:
            name = fields[0]
            raise CaffeError(f"{place} has another solver than rank 0: {name} is "
                             f"{other['solver'].get(name, 'not given')} there, and "
                             f"{first['solver'].get(name, 'not given')} for rank 0; give all "
                             "processes the same prototxt")
        if other["net"] != first["net"]:
            names = [mine[0] for mine, theirs in zip(other["net"], first["net"]) if mine != theirs]
            what = (f"the layer '{names[0]}' differs" if names else
                    f"it has {len(other['net'])} layers, that of rank 0 {len(first['net'])}")
            raise CaffeError(f"{place} has another net than rank 0: {what} ({other['source']}; "
                             f"{first['source']}); give all processes the same prototxt")


def _group(device: torch.device, store: dist.Store, rank: int, count: int) -> Any:
    """torch.distributed's group of the ranks, which does not end what it waits for by itself."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        options = dist.ProcessGroupNCCL.Options()
        options._timeout = FOREVER
        return dist.ProcessGroupNCCL(store, rank, count, options)
    group = dist.ProcessGroupGloo(store, rank, count, timeout=CONNECTING)
    group.set_timeout(FOREVER)
    return group


def _let_go(group: Any, works: list, process: int) -> None:
    """Let go of a group, unless that would wait for its threads for ever: where works are not done,
    these may wait for a rank that stands still; and a process that was forked has no such threads.
    """
    if works or os.getpid() != process:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))


def _is_done(work: Any) -> bool:
    """Wait for a work, a second at most; returns whether it is done."""
    if context.device().type == "cuda":
        work.wait()         # has the GPU wait, not this process
        last = time.monotonic() + PEEK.total_seconds()
        while not work.is_completed() and time.monotonic() < last:
            time.sleep(0.0002)
        return work.is_completed()
    try:
        work.wait(PEEK)
    except RuntimeError:
        if work.is_completed():     # so that this is no time-out
            raise
        return False
    return True
