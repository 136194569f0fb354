"""train, test, time and device_query."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..context import TEST, TRAIN
from ..errors import CaffeError
from ..formats import prototxt
from ..log import log
from ..proto import caffe_pb2
from . import workers
from .flags import file, files, flag, gpus, names, positive, use_device

if TYPE_CHECKING:
    from ..engine.net import Net
    from ..engine.program import Step


def train(args: argparse.Namespace) -> int | None:
    """Train, or finetune, the net of a solver prototxt.

    With several GPUs (--gpu 0,1 or all), or with --cpu_workers, as many processes train together:
    their gradients are averaged, so that the batch becomes as many times larger.

    SIGINT and SIGHUP have the original's effects; SIGTERM finishes the iteration, writes a snapshot
    and ends with exit status 143. A second signal to stop does so at once.
    """
    if args.snapshot and args.weights:
        raise CaffeError("give --snapshot to resume or --weights to finetune, not both")
    param = prototxt.read_solver(args.solver)
    if not args.gpu and not args.cpu_workers and param.HasField("solver_mode") \
            and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        args.gpu = str(param.device_id)
    worker = workers.current()
    if worker is None and (count := workers.wanted(args.gpu, args.cpu_workers)):
        return workers.train_together(args.arguments, count)
    _train(args, worker)
    return None


def _train(args: argparse.Namespace, worker: workers.Worker | None) -> None:
    """Train in this process, which may be one of several."""
    import caffe
    if worker:
        caffe.set_solver_count(worker.count)
        caffe.set_solver_rank(worker.rank)
        caffe.set_multiprocess(True)
        args.all_gpus = args.gpu
        if args.gpu:
            args.gpu = str(workers.gpu_numbers(args.gpu)[worker.rank])
    use_device(args.gpu, args.precision)
    solver = caffe.get_solver(args.solver, args.level, args.stage)
    for name in args.weights:
        log(f"Finetuning from {name}")
    solver.net.load_weights(args.weights)
    effects = {"SIGINT": args.sigint_effect, "SIGHUP": args.sighup_effect, "SIGTERM": "stop"}
    signals = Signals({getattr(signal, name): effect for name, effect in effects.items()
                       if hasattr(signal, name)})       # Windows has no SIGHUP
    solver.requested_action = signals.requested_action
    if args.snapshot:
        log(f"Resuming from {args.snapshot}")
    if worker:
        if args.snapshot:
            solver.restore(args.snapshot)
        _join(solver, worker)
    log("Starting Optimization")
    solver.solve(None if worker else args.snapshot)
    if signals.stopped == signal.SIGTERM:
        _end_after_sigterm(solver, args)
    log("Optimization Done.")


def _join(solver: Any, worker: workers.Worker) -> None:
    """Have the solver train together with those of the other processes."""
    import caffe
    nccl = caffe.NCCL(solver, worker.uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    if worker.rank == 0:
        log(nccl.batch())


class Signals:
    """Has signals take effect after an iteration, as `requested_action` of a solver does it.

    stopped : the number of the signal to stop that came, 0 for none
    """

    def __init__(self, effects: dict[int, str]) -> None:
        """effects : {signal: "stop", "snapshot" or "none"}; it is caught in any case"""
        self.stopped, self._asked = 0, False
        for number, effect in effects.items():
            signal.signal(number, self._handler(effect))

    def _handler(self, effect: str) -> Callable[[int, Any], None]:
        def handle(number: int, _: Any) -> None:
            if effect == "stop":
                if self.stopped:
                    raise SystemExit(128 + number)
                self.stopped = number
            self._asked = self._asked or effect == "snapshot"
        return handle

    def requested_action(self) -> str | None:
        """ "stop" or "snapshot", if a signal has asked for it since the last call."""
        asked, self._asked = self._asked, False
        return "stop" if self.stopped else "snapshot" if asked else None


def _end_after_sigterm(solver: Any, args: argparse.Namespace) -> None:
    """Write a snapshot, unless solve() has; say how to go on; end with exit status 143.

    At a multiple of `snapshot` solve() leaves it to step(), which has written none where the
    stop came in the test of the iteration that the training began or was resumed at.
    """
    param, iteration = solver.param, solver.iter
    if not param.snapshot_after_train or (param.snapshot and iteration % param.snapshot == 0):
        solver.snapshot()
    suffix = ".h5" if param.snapshot_format == caffe_pb2.SolverParameter.HDF5 else ""
    state = f"{param.snapshot_prefix}_iter_{iteration}.solverstate{suffix}"
    if worker := workers.current():
        if worker.rank:
            raise SystemExit(128 + signal.SIGTERM)
        args.gpu = args.all_gpus
    same = {"gpu": args.gpu, "cpu_workers": args.cpu_workers, "precision": args.precision,
            "level": args.level, "stage": ",".join(args.stage)}
    words = ["caffe", "train", "--solver", args.solver, "--snapshot", state,
             *(f"--{name}={value}" for name, value in same.items() if value)]
    print(f"stopped by SIGTERM; continue with\n    {shlex.join(words)}", file=sys.stderr)
    raise SystemExit(128 + signal.SIGTERM)


def test(args: argparse.Namespace) -> None:
    """Score a model: the mean of each output over some iterations."""
    from ..engine.solvers.display import OutputSums
    if not args.weights:
        raise CaffeError("need --weights to score")
    net = _net(args, TEST)
    log(f"Running for {args.iterations} iterations.")
    sums = OutputSums()
    loss = 0.0
    for i in range(args.iterations):
        loss += float(net.run_forward())
        for name in net.outputs:
            values = net.blobs[name].data
            sums.add(name, values)
            for value in np.ravel(values):
                log(f"Batch {i}, {name} = {value:g}")
    log(f"Loss: {loss / args.iterations:g}")
    for name, mean in sums.means(args.iterations):
        weight = net.blob_loss_weights[name]
        for value in np.ravel(mean):
            share = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            log(f"{name} = {value:g}{share}")


def time(args: argparse.Namespace) -> None:
    """Time a model, layer by layer, forward and backward.

    As in the original, the backward pass of every layer is timed, also where there is no loss: then
    it gives the gradients of the parameters alone.
    """
    from ..engine import contention, graph
    from ..engine.runners.plain import PlainRunner
    from ..engine.timer import Timer
    net = _net(args, TEST if args.phase == "TEST" else TRAIN)
    backward_steps = _with_backward(net)
    runner = PlainRunner(net.program)       # layers as they are: nothing elided, nothing recorded

    def run_backward(step: Step) -> None:
        with net.program.locating_errors(step):
            graph.check_gradients(step.spec, step.layer, step.propagate_down)
            runner.backward_step(step)

    log("Performing Forward")
    log(f"Initial loss: {float(runner.forward(range(len(net.layers)))):g}")
    log("Performing Backward")
    for step in backward_steps:
        run_backward(step)
    log("*** Benchmark begins ***")
    log(f"Testing for {args.iterations} iterations.")
    spent = {"forward": [0.0] * len(net.layers), "backward": [0.0] * len(net.layers)}
    timer, total = Timer(), Timer()
    total.start()
    for i in range(args.iterations):
        before = sum(map(sum, spent.values()))
        for number in range(len(net.layers)):
            timer.start()
            runner.forward([number])
            timer.stop()
            spent["forward"][number] += timer.ms
        for step in backward_steps:
            timer.start()
            run_backward(step)
            timer.stop()
            spent["backward"][step.number] += timer.ms
        contention.watch.look()
        passed = sum(map(sum, spent.values())) - before
        log(f"Iteration: {i + 1} forward-backward time: {passed:g} ms.")
    total.stop()
    _tell_times([step.name for step in net.program.steps], spent, total.ms, args.iterations)


def _tell_times(layers: Sequence[str], spent: Mapping[str, Sequence[float]], total: float,
                iterations: int) -> None:
    """Log milliseconds in so many iterations.

    layers : names; spent : {"forward" and "backward": of each layer}; total : of all, and between
    """
    log("Average time per layer: ")
    for number, name in enumerate(layers):
        for kind, times in spent.items():
            log(f"{name:>10}\t{kind}: {times[number] / iterations:g} ms.")
    forward, backward = (sum(times) / iterations for times in spent.values())
    log(f"Average Forward pass: {forward:g} ms.")
    log(f"Average Backward pass: {backward:g} ms.")
    log(f"Average Forward-Backward: {total / iterations:g} ms.")
    log(f"Total Time: {total:g} ms.")
    log("*** Benchmark ends ***")


def _with_backward(net: Net) -> list[Step]:
    """The steps of a net that have a backward pass, from the last to the first, and those that
    training would not run made ready to give the gradients of their parameters."""
    from ..engine import graph
    from ..engine.layers import TensorLayer
    for step in net.program.steps:
        if isinstance(step.layer, TensorLayer) and not step.runs_backward:
            step.layer.propagate_down = graph.possible_gradients(step.layer, step.propagate_down)
            step.layer.param_propagate_down = graph.learning(step.spec, step.layer)
    return [step for step in reversed(net.program.steps)
            if isinstance(step.layer, TensorLayer) or step.runs_backward]


def device_query(args: argparse.Namespace) -> None:
    """Show the GPUs."""
    import torch
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = range(count) if args.gpu in ("", "all") else map(int, names(args.gpu))
    if not count:
        raise CaffeError("PyTorch sees no GPU")
    for number in wanted:
        if not 0 <= number < count:
            raise CaffeError(f"there is no GPU {number}: PyTorch sees {count}")
        device = torch.cuda.get_device_properties(number)
        print(f"Device id:                     {number}\n"
              f"Major revision number:         {device.major}\n"
              f"Minor revision number:         {device.minor}\n"
              f"Name:                          {device.name}\n"
              f"Total global memory:           {device.total_memory}\n"
              f"Number of multiprocessors:     {device.multi_processor_count}")


def _net(args: argparse.Namespace, phase: int) -> Net:
    import caffe
    use_device(args.gpu, args.precision)
    net = caffe.Net(args.model, phase, level=args.level, stages=args.stage)
    net.load_weights(args.weights)
    return net


def _run_flags(parser: argparse.ArgumentParser, trains: bool = False) -> None:
    flag(parser, "gpu", type=gpus, default="", metavar="N",
         help="run on GPU N (default: the CPU)" + ", or on several: N,N,... or all" * trains)
    flag(parser, "precision", choices=("fp32", "tf32", "bf16"), default="",
         help="of convolutions and matrix products (default tf32; on CPUs that is fp32 with "
              "Winograd's method, and fp32 keeps plain sums)")
    flag(parser, "level", type=int, default=0, help="the net's level")
    flag(parser, "stage", type=names, default=[], help="the net's stages, separated by commas")
    flag(parser, "weights", type=files, default=[], metavar="FILE[,FILE]",
         help="caffemodels to start from" if trains else "caffemodels with the weights")


def _train_flags(parser: argparse.ArgumentParser) -> None:
    flag(parser, "solver", type=file, required=True, metavar="PROTOTXT",
         help="the solver's prototxt")
    flag(parser, "cpu_workers", type=positive, metavar="N",
         help="train in N processes on the CPU, which average their gradients")
    flag(parser, "snapshot", type=file, metavar="SOLVERSTATE", help="continue from here")
    for name, default in (("sigint", "stop"), ("sighup", "snapshot")):
        flag(parser, f"{name}_effect", choices=("snapshot", "stop", "none"), default=default,
             help=f"what to do on {name.upper()} (default {default})")
    _run_flags(parser, trains=True)


def _model_flags(parser: argparse.ArgumentParser) -> None:
    flag(parser, "model", type=file, required=True, metavar="PROTOTXT", help="the net's prototxt")
    flag(parser, "iterations", type=positive, default=50, help="default 50")
    _run_flags(parser)


def _time_flags(parser: argparse.ArgumentParser) -> None:
    _model_flags(parser)
    flag(parser, "phase", choices=("TRAIN", "TEST"), default="TRAIN", help="default TRAIN")


def _query_flags(parser: argparse.ArgumentParser) -> None:
    flag(parser, "gpu", type=gpus, default="all", metavar="N", help="these GPUs alone")


COMMANDS = {train: _train_flags, test: _model_flags, time: _time_flags,
            device_query: _query_flags}
