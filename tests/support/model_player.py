"""Random sequences of what a user can do with a net, done to the engine's and to that of
caffe_model: after each, what can be read is what the model says, or an error that says what to do.

A Case is all of it, so that it can be played again, and made smaller.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import caffe
import caffe_model
from random_nets import TEST, TRAIN, RandomNet

# what an error has to say, where the model has values
REMEDIES = ("elide_padding = False", "cuda_graphs = False", "needs a forward pass of this layer",
            "needs another forward pass", "propagate_down: false", "read it before")
ACTIONS = {     # {name of a method: how often it is drawn}
    "set_data": 1, "forward": 3, "forward_part": 2, "backward": 4, "backward_again": 2,
    "backward_part": 1, "passes": 1, "in_batches": 1, "read_data": 1, "read_diff": 1,
    "read_param": 1, "read_param_diff": 1, "write_data": 1, "write_diff": 1,
    "write_param": 1, "write_param_diff": 1, "clear_param_diffs": 1, "hold": 1,
    "read_held": 1, "write_held": 1,
    "drop": 1, "reshape": 1, "resize": 2, "step": 3, "save": 1, "copy_from": 1, "share_with": 1,
    "switch": 1, "precision": 1, "watch": 0.2}


class Ended(Exception):
    """Both sides refuse, or the engine does and says what to do."""


@dataclass(frozen=True)
class Case:
    """A net, and what is done with it.

    lines : of the prototxt
    fillings, shapes, phase, sizes : those of the RandomNet
    solver : settings of an SGDSolver that the net is in; None without one
    actions : [(name of a method of Player, seed of what it draws)]
    digits : how well numbers agree
    """

    lines: list
    fillings: dict
    shapes: dict
    phase: int
    sizes: int
    solver: dict | None
    actions: list
    seed: int
    digits: float = 1e-8

    def __str__(self):
        played = ", ".join(f"{name} ({seed})" for name, seed in self.actions)
        return "\n".join([f"{'TRAIN' if self.phase == TRAIN else 'TEST'}, solver {self.solver}",
                          *self.lines, played])


def draw(seed, count, digits=1e-8, without=()):
    """The Case of this seed, of `count` actions; with few digits, its net is a smooth one."""
    rng = np.random.default_rng(seed)
    solver = None
    if rng.random() < 0.4:
        solver = {"base_lr": 1 / 64, "momentum": rng.choice([0, 0.875]),     # floats hold these
                  "weight_decay": rng.choice([0, 0.125]), "iter_size": rng.integers(1, 3),
                  "clip_gradients": rng.choice([-1, 0.5])}
    net = RandomNet(rng, TRAIN if solver else int(rng.integers(2)), is_smooth=digits > 1e-6,
                    sizes=int(rng.choice([1, 3])))
    return Case(net.lines, net.fillings, net.shapes, net.phase, net.sizes, solver,
                draw_actions(rng, count, without), seed, digits)


def draw_actions(rng, count, without=()):
    """[(name, seed)] of so many actions, none of which is in `without`."""
    weights = np.array([0 if name in without else often for name, often in ACTIONS.items()])
    names = rng.choice(list(ACTIONS), count, p=weights / weights.sum())
    return [(str(name), int(rng.integers(1 << 30))) for name in names]


def smaller(case, fails: Callable[[Case], bool]):
    """A case that fails, too, with fewer actions and layers: each that is not needed is gone."""
    for field in ("actions", "lines", "actions"):
        for i in reversed(range(len(getattr(case, field)))):
            parts = getattr(case, field)
            less = replace(case, **{field: parts[:i] + parts[i + 1:]})
            if fails(less):
                case = less
    return case


class Player:
    """The engine's net and the model's, and what can be done with both.

    `elided` says whether a pass left something out, `refusals` counts how sequences ended.
    """

    def __init__(self, case, folder):
        self.case, self.folder = case, Path(folder)
        self.rng = np.random.default_rng(case.seed)
        self.names = [line.split('"')[1] for line in case.lines if line.startswith("layer")]
        self.solver = self.model_solver = None
        text = "\n".join(case.lines)
        self.model = caffe_model.Net(text, case.phase)
        self.net = self._net(text)
        self.donor = self.saved = None
        self.held = []
        self.size = 0
        self.elided = False
        self.blobs, self.layers = list(self.model.blobs), [step.name for step in self.model.steps]
        assert list(self.net.blobs) == self.blobs and list(self.net.layer_dict) == self.layers
        for name in self.blobs:
            assert self.net.blobs[name].shape == self.model.blobs[name].shape, name
        assert list(self.net.outputs) == self.model.outputs
        assert dict(self.net.blob_loss_weights) == self.model.loss_weights
        self._draw_params(self.net, self.model)

    def _net(self, text):
        path = self.folder / "net.prototxt"
        path.write_text(text)
        if self.case.solver is None:
            return caffe.Net(str(path), self.case.phase)
        settings = self.case.solver
        (self.folder / "solver.prototxt").write_text(
            f'net: "{path}" lr_policy: "fixed" max_iter: 1000 snapshot_prefix: "{self.folder}/s" '
            + " ".join(f"{name}: {value}" for name, value in settings.items()))
        self.solver = caffe.SGDSolver(str(self.folder / "solver.prototxt"))
        self.model_solver = caffe_model.Solver(
            self.model, settings["base_lr"], settings["momentum"], settings["weight_decay"],
            settings["iter_size"], settings["clip_gradients"])
        return self.solver.net

    def _draw_params(self, net, model):
        for step in model.steps:
            for i, blob in enumerate(step.layer.params):
                values = 0.5 * self.rng.normal(size=blob.shape)
                if step.spec.type == "BatchNorm":
                    values = [values, abs(values) + 0.3, np.full(blob.shape, 1.5)][i]
                blob.data[...] = values
                net.params[step.name][i].data[...] = values

    def play(self):
        try:
            self._refill()
            self._forward()
            for name, seed in self.case.actions:
                self.rng = np.random.default_rng(seed)
                getattr(self, name)()
            for name in self.blobs:
                self._compare_data(name)
            self._compare_params("data")
            self._compare_params("diff")
            for name in self.blobs:
                self._compare_diff(name)
        except Ended as end:
            return str(end)
        return "whole"

    # both sides

    def both(self, of_net, of_model=lambda: None):
        """What both give. One side may refuse alone only if that is the engine, with a remedy."""
        error = refusal = found = wanted = None
        try:
            found = of_net()
        except caffe.CaffeError as raised:
            error = raised
        try:
            wanted = of_model()
        except caffe_model.Refused as raised:
            refusal = raised
        if refusal:
            assert error, f"the engine does not refuse: {refusal}"
            raise Ended("both refuse")
        if error:
            remedies = [remedy for remedy in REMEDIES if remedy in str(error)]
            assert remedies, f"an error without a remedy: {error}"
            raise Ended(remedies[0])
        return found, wanted

    def equal(self, found, wanted, what):
        found, wanted = np.asarray(found), np.asarray(wanted)
        assert found.shape == wanted.shape, f"{what}: {found.shape} is not {wanted.shape}"
        finite = abs(wanted[np.isfinite(wanted)])
        limit = self.case.digits * max(1, finite.max(initial=0))
        wrong = ~np.isclose(found, wanted, rtol=self.case.digits, atol=limit, equal_nan=True)
        wrong &= np.isfinite(found) | np.isfinite(wanted)   # the order of sums decides which it is
        if wrong.any() and self._has_diverged():
            raise Ended("a net that has diverged, where sums cancel out")
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(f"{what}: {wrong.sum()} of {wrong.size} are wrong, at {place} "
                                 f"{found[place]}, the model has {wanted[place]}")

    def _has_diverged(self):
        return any(not np.all(abs(values) < 1e8) for blob in self.model.blobs.values()
                   for values in (blob.data, blob.diff))

    def _compare_data(self, name):
        self._compare(self.net.blobs[name], self.model.blobs[name], "data", f"data of {name}")

    def _compare_diff(self, name):
        self._compare(self.net.blobs[name], self.model.blobs[name], "diff", f"diff of {name}")

    def _compare_param(self, name, i, kind):
        self._compare(self.net.params[name][i], self.model.params[name][i], kind,
                      f"{kind} of {name}[{i}]")

    def _compare_params(self, kind):
        for name in self.model.params:
            for i in range(len(self.model.params[name])):
                self._compare_param(name, i, kind)

    def _compare(self, blob, model, kind, what):
        found, wanted = self.both(lambda: getattr(blob, kind), lambda: getattr(model, kind))
        self.equal(found, wanted, what)

    def _write(self, blob, model, kind, values):
        def write():
            getattr(blob, kind)[...] = values
        self.both(write)
        getattr(model, kind)[...] = values

    def _some_blob(self):
        return str(self.rng.choice(self.blobs))

    def _some_param(self):
        """(layer, number), or None."""
        every = [(name, i) for name, blobs in self.model.params.items() for i in range(len(blobs))]
        return every[self.rng.integers(len(every))] if every else None

    def _new_values(self, name, shape):
        filling, *details = self.case.fillings.get(name, ("normal",))
        if filling == "classes":
            return self.rng.integers(0, details[0], size=shape).astype(float)
        if filling == "choice":
            values = self.rng.integers(0, 2, size=shape).astype(float)
            values.flat[0] = 1
            return values
        return self.rng.normal(size=shape)

    def _inputs(self):
        return [name for name in self.case.fillings if name in self.model.blobs]

    # passes

    def _refill(self):
        for name in self._inputs():
            self._write(self.net.blobs[name], self.model.blobs[name], "data",
                        self._new_values(name, self.model.blobs[name].shape))

    def set_data(self):
        self._refill()

    def forward(self):
        if self.rng.random() < 0.8:
            self._refill()
        self._forward()

    @contextmanager
    def _growing(self):
        """Where blobs grow, as tops of a Filter do in any pass: what their gradients gain are old
        values in the original, zeros in the engine. Here both become 0."""
        counts = {name: blob.count for name, blob in self.model.blobs.items()}
        yield
        for name in self.blobs:
            if self.model.blobs[name].count > counts[name] and not self.model.loss_weights[name]:
                self._write(self.net.blobs[name], self.model.blobs[name], "diff", 0)

    def _forward(self):
        with self._growing():
            loss, wanted = self.both(self.net.run_forward, self.model.forward)
        self.equal(float(loss), wanted, "loss")
        self.elided |= bool(self.net.elided_layers)

    def _part(self):
        """The names of its first and last layer."""
        first, last = sorted(self.rng.integers(len(self.layers), size=2))
        first *= int(self.rng.integers(2))
        return self.layers[first], self.layers[last]

    def forward_part(self):
        first, last = self._part()
        if self.rng.random() < 0.5:
            self._refill()
        with self._growing():
            self.both(lambda: self.net.forward(start=first, end=last),
                      lambda: self.model.forward(first, last))
        if self.rng.random() < 0.4:
            self.backward_again()

    def backward(self):
        """Somebody has written the gradients of the outputs before, or those of all blobs, which
        stay where no layer passes one down."""
        for name in self.model.outputs if self.rng.random() < 0.6 else self.blobs:
            if not self.model.loss_weights[name]:
                self._write_diff(name)
        self.backward_again()

    def backward_again(self):
        """With the gradients that are there, as a net of a solver does, or otherwise."""
        release = bool(self.rng.integers(2))
        self.both(lambda: self.net.run_backward(release=release), self.model.backward)
        if self.rng.random() < 0.5:
            self._compare_params("diff")
        looks = self.rng.random()
        if looks < 0.2:     # after somebody has written, which comes too late for the gradients
            self.write_data()
        if looks < 0.4:
            for name in self.rng.permutation(self.blobs):
                self._compare_diff(str(name))

    def backward_part(self):
        first, last = self._part()
        self.both(lambda: self.net.backward(start=last, end=first),
                  lambda: self.model.backward(last, first))

    def passes(self):
        """Enough for them to be recorded, and replayed; gradients of parameters add up."""
        for _ in range(3):
            self.forward()
            self.backward()

    def in_batches(self):
        """forward_all and forward_backward_all, where blobs have items."""
        outputs = self.model.outputs
        shapes = {name: self.model.blobs[name].shape for name in [*self._inputs(), *outputs]}
        items = {shape[:1] for shape in shapes.values()}
        if len(items) != 1 or () in items or any(map(self.model.loss_weights.get, outputs)) \
                or ("choice",) in self.case.fillings.values() \
                or set(outputs) & set(self._inputs()):
            return
        (size,), = items
        count = int(self.rng.integers(1, 2 * size + 1))
        arrays = {name: self._new_values(name, (count, *shapes[name][1:])) for name in shapes}
        parts = [{name: self._batch(array[begin:begin + size], size)
                  for name, array in arrays.items()} for begin in range(0, count, size)]
        found, wanted = self.both(
            lambda: self.net.forward_backward_all(diffs=["data"], **arrays),
            lambda: [self._pass_of_batch(part) for part in parts])
        for of_net, of_model in zip(found, zip(*wanted)):
            for name in of_model[0]:
                whole = np.concatenate([part[name] for part in of_model])[:count]
                self.equal(of_net[name], whole, f"{name} of a batch")

    @staticmethod
    def _batch(array, size):
        """With zeros up to the size of a batch."""
        return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]))])

    def _pass_of_batch(self, arrays):
        for name in self._inputs():
            self.model.blobs[name].data[...] = arrays[name]
        self.model.forward()
        outputs = {name: self.model.blobs[name].data.copy() for name in self.model.outputs}
        for name in self.model.outputs:
            self.model.blobs[name].diff[...] = arrays[name]
        self.model.backward()
        return outputs, {"data": self.model.blobs["data"].diff.copy()}

    def step(self):
        """One iteration of the solver."""
        if self.solver:
            with self._growing():
                self.both(lambda: self.solver.step(1), self.model_solver.step)

    # reading and writing

    def read_data(self):
        self._compare_data(self._some_blob())

    def read_diff(self):
        self._compare_diff(self._some_blob())

    def read_param(self):
        if param := self._some_param():
            self._compare_param(*param, "data")

    def read_param_diff(self):
        if param := self._some_param():
            self._compare_param(*param, "diff")

    def write_data(self):
        name = self._some_blob()
        if not self._is_limited(name):
            self._write(self.net.blobs[name], self.model.blobs[name], "data",
                        self.rng.normal(size=self.model.blobs[name].shape))

    def _is_limited(self, name):
        """Whether not every number may stand there: indices, and branches of them."""
        inputs = [each for each, (kind, *_) in self.case.fillings.items() if kind != "normal"]
        return name.startswith(tuple(inputs)) if inputs else False

    def _write_diff(self, name):
        self._write(self.net.blobs[name], self.model.blobs[name], "diff",
                    self.rng.normal(size=self.model.blobs[name].shape))

    def write_diff(self):
        name = self._some_blob()
        if not self.model.loss_weights[name]:
            self._write_diff(name)

    def write_param(self):
        if param := self._some_param():
            (name, i), factor = param, self.rng.uniform(0.7, 1.3)
            self.net.params[name][i].data[...] *= factor
            self.model.params[name][i].data[...] *= factor

    def write_param_diff(self):
        if param := self._some_param():
            name, i = param
            self._write(self.net.params[name][i], self.model.params[name][i], "diff", 0.25)

    def clear_param_diffs(self):
        self.both(self.net.clear_param_diffs, self.model.clear_param_diffs)

    # views that are kept

    def hold(self):
        kind = str(self.rng.choice(["data", "diff"]))
        if self.rng.random() < 0.2 and (param := self._some_param()):
            what, i = param
            blob, model = self.net.params[what][i], self.model.params[what][i]
        else:
            what = self._some_blob()
            blob, model = self.net.blobs[what], self.model.blobs[what]
        view, _ = self.both(lambda: getattr(blob, kind))
        self.held.append((what, kind, view, model))

    def read_held(self):
        for what, kind, view, model in self.held:
            self.equal(view, getattr(model, kind), f"view of {kind} of {what}")

    def write_held(self):
        for what, kind, view, model in self.held[-1:]:
            if not self._is_limited(what) and not (
                    kind == "diff" and self.model.loss_weights.get(what)):
                view[...] = values = self.rng.normal(size=view.shape)
                getattr(model, kind)[...] = values

    def drop(self):
        self.held = []

    # shapes

    def reshape(self):
        self.both(self.net.reshape, self.model.reshape)

    def resize(self):
        """All inputs get the shapes that belong to another shape of the data."""
        if self.case.sizes == 1:
            return
        self.held = []
        self.size = int(self.rng.integers(self.case.sizes))
        with self._growing():
            for name in self._inputs():
                shape = self.case.shapes[name][self.size]
                self.net.blobs[name].reshape(*shape)
                self.model.blobs[name].reshape(*shape)
            self.reshape()
            for name in self.blobs:     # what they gain may be old values or zeros
                if weight := self.model.loss_weights[name]:
                    self._write(self.net.blobs[name], self.model.blobs[name], "diff", weight)
            self._refill()
            self._forward()

    # parameters of others

    def save(self):
        self.saved = self.folder / f"{self.rng.integers(1 << 30)}.caffemodel"
        self.net.save(str(self.saved))
        # in the file they are floats
        self.values = {name: [blob.data.astype(np.float32) for blob in blobs]
                       for name, blobs in self.model.params.items()}

    def copy_from(self):
        if self.saved:
            self.net.copy_from(str(self.saved))
            for name, arrays in self.values.items():
                for blob, values in zip(self.model.params[name], arrays):
                    blob.data[...] = values

    def share_with(self):
        """Parameters of another net, which may then be written to there. Caffe's recurrent layers
        have copies of theirs, which do not follow."""
        if any(step.spec.type in ("RNN", "LSTM") for step in self.model.steps):
            return
        if self.donor is None:
            text = "\n".join(self.case.lines)
            path = self.folder / "donor.prototxt"
            path.write_text(text)
            self.donor = caffe.Net(str(path), TEST), caffe_model.Net(text, TEST)
            self._draw_params(*self.donor)
            self.held = []
            self.net.share_with(self.donor[0])
            for name, blobs in self.model.params.items():
                for blob, other in zip(blobs, self.donor[1].params[name]):
                    blob.share_data(other)
        elif param := self._some_param():
            name, i = param
            self.donor[0].params[name][i].data[...] *= 1.1
            self.donor[1].params[name][i].data[...] *= 1.1

    # switches

    def switch(self):
        which = str(self.rng.choice(["elide_padding", "cuda_graphs"]))
        setattr(self.net, which, not getattr(self.net, which))

    def precision(self):
        caffe.set_precision(str(self.rng.choice(["fp32", "tf32"])))

    def watch(self):
        """Somebody looks at the net after each layer."""
        self.net.after_forward(lambda number: None)


def played(cases):
    """Play cases; returns (how often each end came, how many cases left something out).

    A case that fails is made smaller, and shown.
    """
    ends, elided = Counter(), 0
    for case in cases:
        try:
            end, did_elide = _play(case)
        except Exception as error:      # whatever a user would see
            message = f"seed {case.seed}: {type(error).__name__}: {error}"
            less = smaller(case, partial(_fails, kind=type(error)))
            raise AssertionError(f"{message}\nIt fails, too, with:\n{less}") from error
        ends[end] += 1
        elided += did_elide
    return ends, elided


def _play(case):
    with tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        try:
            player = Player(case, folder)
        except caffe_model.Refused:
            return _refused(case, folder), False
        try:
            return player.play(), player.elided
        finally:
            caffe.set_precision("tf32")     # what it is at first


def _refused(case, folder):
    """The engine refuses to build a net that the model refuses."""
    path = Path(folder) / "net.prototxt"
    path.write_text("\n".join(case.lines))
    try:
        caffe.Net(str(path), case.phase)
    except caffe.CaffeError:
        return "not built"
    raise AssertionError("the engine builds a net that the model refuses")


def _fails(case, kind):
    """Whether playing it raises an error of this class."""
    try:
        _play(case)
    except Exception as error:
        return type(error) is kind
    return False
