"""Solvers: Caffe's training loop and its update rules."""

import os

import numpy as np
import torch

from .. import context, prototxt
from ..errors import CaffeError, WeightsError, nearest
from ..proto import caffe_pb2
from . import weights as weight_files
from .net import Net

_registry = {}


def register_solver(solver_type):
    """Class decorator: solver prototxts reach the class by `type: "<solver_type>"`."""
    def enter(cls):
        _registry[solver_type] = cls
        return cls
    return enter


def get_solver(solver_file):
    """The solver, of the type that it names, of a solver prototxt (pycaffe's `get_solver`)."""
    solver_type = prototxt.read_solver(solver_file).type
    if solver_type not in _registry:
        raise CaffeError(f"{solver_file}: unknown solver type '{solver_type}'"
                         + nearest(solver_type, _registry))
    return _registry[solver_type](solver_file)


class Solver:
    """Trains the net of a solver prototxt.

    Attributes
    ----------
    param : SolverParameter
    net : the Net that learns, in phase TRAIN
    test_nets : list of Net, in phase TEST, that use the weights of `net`
    iter : int, the iterations done
    lr : float, the learning rate of the coming iteration
    """

    def __init__(self, solver_file):
        self.param = param = prototxt.read_solver(solver_file)
        self._source = str(solver_file)
        self._folder = os.path.dirname(os.path.abspath(solver_file))
        self._check_snapshots()
        if param.random_seed >= 0:
            context.set_random_seed(param.random_seed)
        self.iter = 0
        self._losses = []
        self._callbacks = []
        self.net = self._train_net()
        self.test_nets = self._build_test_nets()
        self.history = [torch.zeros_like(blob.data_tensor) for blob, _ in self.net._learnable]

    # nets

    def _train_net(self):
        param = self.param
        given = [name for name in ("net", "net_param", "train_net", "train_net_param")
                 if param.HasField(name)]
        if len(given) != 1:
            raise CaffeError(f"{self._source}: one train net is needed in net, net_param, "
                             f"train_net or train_net_param; given: {given or 'none'}")
        return self._build_net(getattr(param, given[0]), context.TRAIN, param.train_state)

    def _build_test_nets(self):
        param = self.param
        sources = [*param.test_net_param, *param.test_net]
        common = param.net_param if param.HasField("net_param") else param.net
        sources += [common] * (len(param.test_iter) - len(sources)) if common else []
        if len(sources) != len(param.test_iter):
            raise CaffeError(f"{self._source}: {len(sources)} test nets, but "
                             f"{len(param.test_iter)} test_iter")
        states = list(param.test_state) or [caffe_pb2.NetState()] * len(sources)
        if len(states) != len(sources):
            raise CaffeError(f"{self._source}: {len(sources)} test nets, but "
                             f"{len(states)} test_state")
        nets = [self._build_net(*pair) for pair in
                zip(sources, [context.TEST] * len(sources), states)]
        for net in nets:
            net.share_with(self.net)
        return nets

    def _build_net(self, source, phase, state):
        name = self._source
        if isinstance(source, str):
            name = self._path(source)
            source = prototxt.read_net(name)
        param = caffe_pb2.NetParameter()
        param.CopyFrom(source)
        param.state.MergeFrom(state)
        param.state.phase = phase
        return Net._from_param(param, name)

    def _path(self, name):
        """Paths are the working directory's, as in Caffe, or else the solver prototxt's."""
        beside = os.path.join(self._folder, name)
        return beside if not os.path.exists(name) and os.path.exists(beside) else name

    # training

    def solve(self, resume=None):
        """Train until max_iter, from the solverstate `resume` if given."""
        if resume is not None:
            self.restore(resume)
        self.step(self.param.max_iter - self.iter)
        if self.param.snapshot_after_train and not self._snapshot_due():
            self.snapshot()

    def step(self, iterations):
        """Run that many iterations of forward, backward and update."""
        for _ in range(iterations):
            self._test_if_due()
            for on_start, _ in self._callbacks:
                on_start()
            self.net.clear_param_diffs()
            loss = 0.0
            for _ in range(self.param.iter_size):
                loss = loss + self.net._forward(0, len(self.net.layers) - 1)
                self.net._backward(len(self.net.layers) - 1, 0)
            self._record(loss / self.param.iter_size)
            for _, on_gradients in self._callbacks:
                on_gradients()
            self.apply_update()
            self.iter += 1
            if self._snapshot_due():
                self.snapshot()

    def add_callback(self, on_start, on_gradients):
        """Call `on_start()` before every iteration, `on_gradients()` before every update."""
        self._callbacks.append((on_start, on_gradients))

    @property
    def smoothed_loss(self):
        """The mean loss of the last `average_loss` iterations."""
        return float(sum(self._losses) / len(self._losses)) if self._losses else float("nan")

    def _record(self, loss):
        window = self.param.average_loss
        self._losses = [*self._losses, loss][-window:]
        if self.param.display and self.iter % self.param.display == 0:
            print(f"Iteration {self.iter}, loss = {self.smoothed_loss:g}, lr = {self.lr:g}",
                  flush=True)

    def _snapshot_due(self):
        return self.param.snapshot and self.iter and self.iter % self.param.snapshot == 0

    def _test_if_due(self):
        interval = self.param.test_interval
        if interval and self.iter % interval == 0 and (self.iter or self.param.test_initialization):
            for number in range(len(self.test_nets)):
                self._test(number)

    def _test(self, number):
        net = self.test_nets[number]
        sums = {}
        for _ in range(self.param.test_iter[number]):
            for name, value in net.forward().items():
                sums[name] = sums.get(name, 0.0) + np.array(value)
        for name, total in sums.items():
            for value in np.ravel(total / self.param.test_iter[number]):
                print(f"Test net #{number}, iteration {self.iter}: {name} = {value:g}", flush=True)

    @property
    def lr(self):
        """base_lr under lr_policy (caffe.proto gives the formulas) at the current iteration."""
        p, i = self.param, self.iter
        policies = {
            "fixed": lambda: p.base_lr,
            "step": lambda: p.base_lr * p.gamma ** self._steps_passed(),
            "multistep": lambda: p.base_lr * p.gamma ** self._steps_passed(),
            "exp": lambda: p.base_lr * p.gamma ** i,
            "inv": lambda: p.base_lr * (1 + p.gamma * i) ** -p.power,
            "poly": lambda: p.base_lr * (1 - i / p.max_iter) ** p.power,
            "sigmoid": lambda: p.base_lr / (1 + np.exp(-p.gamma * (i - p.stepsize))),
        }
        if p.lr_policy not in policies:
            raise CaffeError(f"{self._source}: unknown lr_policy '{p.lr_policy}'"
                             + nearest(p.lr_policy, policies))
        return float(policies[p.lr_policy]())

    def _steps_passed(self):
        if self.param.lr_policy == "step":
            return self.iter // self.param.stepsize
        return sum(self.iter >= value for value in self.param.stepvalue)

    @torch.no_grad()
    def apply_update(self):
        """Update the weights from the gradients in `net.params`, which become the updates."""
        rate = self.lr
        self._clip_gradients()
        self.history = [h.to(context.device()) for h in self.history]
        for number, (blob, spec) in enumerate(self.net._learnable):
            if not spec.lr_mult:
                continue
            data, diff = blob.data_tensor, blob.diff_tensor
            if self.param.iter_size > 1:
                diff.div_(self.param.iter_size)
            self._regularize(data, diff, self.param.weight_decay * spec.decay_mult)
            self.update(number, diff, rate * spec.lr_mult)
            data.sub_(diff)

    def _regularize(self, data, diff, decay):
        kind = self.param.regularization_type
        if kind not in ("L1", "L2"):
            raise CaffeError(f"{self._source}: unknown regularization_type '{kind}'")
        if decay:
            diff.add_(data if kind == "L2" else data.sign(), alpha=decay)

    def _clip_gradients(self):
        limit = self.param.clip_gradients
        if limit < 0:
            return
        diffs = [blob.diff_tensor for blob, _ in self.net._learnable]
        norm = torch.stack([diff.square().sum() for diff in diffs]).sum().sqrt()
        if norm > limit:
            for diff in diffs:
                diff.mul_(limit / norm)

    def update(self, number, diff, rate):
        """Turn the gradient `diff` of parameter `number` into what is subtracted, in place."""
        raise CaffeError(f"solver type '{self.param.type}' defines no update()")

    # snapshots

    def snapshot(self):
        """Write <snapshot_prefix>_iter_<N>.caffemodel and .solverstate."""
        if self.param.snapshot_format == caffe_pb2.SolverParameter.HDF5:
            raise CaffeError(f"{self._source}: snapshot_format HDF5 is not supported; "
                             "use BINARYPROTO, the default")
        prefix = f"{self.param.snapshot_prefix}_iter_{self.iter}"
        self.net.save(prefix + ".caffemodel")
        state = caffe_pb2.SolverState(iter=self.iter, learned_net=prefix + ".caffemodel",
                                      current_step=self._steps_passed())
        weight_files.write_solverstate(prefix + ".solverstate", state,
                                       [h.cpu().numpy() for h in self.history])

    def _check_snapshots(self):
        """Raise WeightsError before the training, not at its first snapshot."""
        folder = os.path.dirname(os.path.abspath(self.param.snapshot_prefix))
        if self.param.snapshot and not os.access(folder, os.W_OK):
            raise WeightsError(f"{self._source}: snapshots cannot be written to {folder}: it is "
                               "not a folder, or not writable")

    def restore(self, path):
        """Continue from a solverstate and the caffemodel that it names.

        The caffemodel is looked for where the state says, and then beside the state. Raises
        WeightsError where the history does not fit the net; the solver is then unchanged.
        """
        state, history = weight_files.read_solverstate(path)
        if len(history) != len(self.history):
            raise WeightsError(f"{path}: holds {len(history)} histories, the net needs "
                               f"{len(self.history)}")
        for number, (mine, theirs) in enumerate(zip(self.history, history)):
            if not weight_files.same_shape(theirs.shape, tuple(mine.shape)):
                raise WeightsError(f"{path}: history {number} has the shape {theirs.shape}, the "
                                   f"net needs {tuple(mine.shape)}")
        if state.learned_net:
            model = state.learned_net
            beside = os.path.join(os.path.dirname(path), os.path.basename(model))
            self.net.copy_from(model if os.path.exists(model) else beside)
        self.history = [torch.from_numpy(np.array(theirs, np.float32).reshape(mine.shape))
                        for mine, theirs in zip(self.history, history)]
        self.iter = state.iter


@register_solver("SGD")
class SGDSolver(Solver):
    """Momentum SGD. V ← μV + lr·(g + λw); w ← w − V, the rate inside the history."""

    def update(self, number, diff, rate):
        history = self.history[number]
        history.mul_(self.param.momentum).add_(diff, alpha=rate)
        diff.copy_(history)
