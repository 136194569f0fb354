"""The processes of a run: one, several on this machine, or those that torchrun starts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any

from fcn.solvers.console.errors import report_errors, reported
from fcn.solvers.console.signals import SIGNALS, Stopped, handling_signals, stop
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.listing import Listing
from fcn.solvers.inference.task import Tally, Task, choose_inputs
from fcn.solvers.inference.work import opened_work
from fcn.solvers.processes import torchrun
from fcn.start import is_launched


@dataclass(frozen=True)
class Team:
    """rank, count : of this process, and how many there are

    starts : processes that this one is to start; 0 where it works itself
    on_machine : processes that share this machine's memory, or a GPU's
    gpu : of this process
    """
    rank: int = 0
    count: int = 1
    starts: int = 0
    on_machine: int = 1
    gpu: int | None = None

    @property
    def is_torchrun(self) -> bool:
        return not self.starts and is_launched()


def team(args: Namespace) -> Team:
    """What the command line and the environment say of processes. Raises InferError."""
    gpus = args.gpu or []
    if is_launched():
        if args.workers:
            raise InferError("--workers starts processes, and torchrun has already: leave it out, "
                             "or leave torchrun out")
        place = torchrun.place()
        gpu = gpus[place.local_rank % len(gpus)] if gpus else None
        return Team(place.rank, place.count, 0, place.local_count, gpu)
    starts = args.workers or len(gpus)
    if starts <= 1:
        return Team(gpu=gpus[0] if gpus else None)
    return Team(starts=starts, on_machine=-(-starts // len(gpus)) if gpus else starts)


# processes on this machine

def start(task: Task, listing: Listing, count: int) -> tuple[Tally, list[str]]:
    """Have processes segment the images of a list. Returns what they did, and messages on those
    that ended too early."""
    count = min(count, listing.count)
    context = multiprocessing.get_context("spawn")
    processes, pipes, tally, messages = [], [], Tally(), list[str]()
    with _threads_divided(count):
        for rank in range(count):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_process, args=(there, task, listing.path, rank,
                                                             count))
            with _deaf_to_interrupts():
                process.start()
            there.close()
            processes.append(process)
            pipes.append(here)
    try:
        left: dict[Any, int] = dict(zip(pipes, range(count)))
        while left:
            for pipe in wait(list(left)):
                rank = left.pop(pipe)
                found = _received(pipe, processes[rank], rank)
                if isinstance(found, Tally):
                    tally = tally.plus(found)
                else:
                    messages.append(found)
    except BaseException:
        _end(processes)
        raise
    for process in processes:
        process.join()
    return tally, list(dict.fromkeys(messages))


def _end(processes: Iterable[Any]) -> None:
    """Have processes finish what they are writing, and end; at once at a second signal."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            process.kill()
        raise


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Have a process that is started here not hear Ctrl-C, from its very beginning on: who started
    it ends it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _received(pipe: Any, process: Any, rank: int) -> Tally | str:
    try:
        return pipe.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        why = (f"was ended by {signal.Signals(-code).name}" if code < 0
               else f"ended with status {code}")
        lack = ", as the system does where memory lacks" * (code == -getattr(signal, "SIGKILL", 9))
        return f"worker {rank} {why}{lack}; what it has not done is left"


@contextmanager
def _threads_divided(count: int) -> Iterator[None]:
    """Have the processes started here share the processors, unless OMP_NUM_THREADS is set."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // count))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


def _process(pipe: Connection, task: Task, path: Path, rank: int, count: int) -> None:
    """One process: sends its Tally, or a message."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    listing, gpus = Listing(path), task.args.gpu or [None]
    try:
        with report_errors(), handling_signals(_stop_once):
            try:
                inputs = choose_inputs(task, listing.count)
                with opened_work(task, inputs, rank, gpus[rank % len(gpus)], rank == 0) as work:
                    tally = work.do(listing.jobs(rank, count))
                pipe.send(tally)
            except reported() as error:
                pipe.send(f"error: {error}")
            except Stopped:
                sys.exit(1)
    finally:
        pipe.close()


def _stop_once(number: int, frame: FrameType | None) -> None:
    """Stop, and ignore all later signals. A signal to the whole group reaches this process twice:
    directly, and as SIGTERM from its parent. If the user sends another one, the parent kills."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    stop(number, frame)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
