"""What is played on both sides: nets, solvers and data layers, by pycaffe's public names.

The worker of the original imports this module, too, so it needs NumPy alone. Each play takes the
module `caffe` of its side and yields what can be read after each operation, {what: array}. Values
are drawn from seeds where they are written, by the shape that the blob has there.
"""

import tempfile
from pathlib import Path

import numpy as np


def drawn(filling, shape, seed):
    """An array of float32. `filling` is ("normal",), ("positive",), ("zeros",), ("choice",) of 0
    and 1, not all 0, ("whole", first, behind the last), ("classes", how many), ("regions", of how
    many items) as ROIPooling takes them, or ("boxes",), with variances, as PriorBox gives them."""
    rng, (kind, *details) = np.random.default_rng(seed), filling
    if kind == "classes":
        values = rng.integers(0, details[0], size=shape)
    elif kind == "whole":
        values = rng.integers(*details, size=shape)
    elif kind == "regions":
        corners = np.sort(rng.uniform(-5, 140, (shape[0], 2, 2)), 1).reshape(shape[0], 4)
        values = np.column_stack([rng.integers(0, details[0], shape[0]), corners])
    elif kind == "boxes":
        centres, halves = rng.uniform(0, 1, (shape[2] // 4, 2)), rng.uniform(0.02, 0.3, (2, 1))
        values = np.stack([np.hstack([centres - halves[0], centres + halves[1]]).ravel(),
                           rng.choice([0.1, 0.2], shape[2])])[None]
    elif kind == "choice":
        values = rng.integers(0, 2, size=shape)
        values.flat[:1] = 1
    elif kind == "zeros":
        values = np.zeros(shape)
    else:
        values = rng.normal(size=shape)
        if kind == "positive":
            values = abs(values) + 0.1
    return np.asarray(values, np.float32)


def play_net(caffe, text, phase, operations):
    """A net of this prototxt; `operations` are (name of a method of NetPlay, arguments...)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text)
        play = NetPlay(caffe.Net(str(path), phase))
    for name, *arguments in operations:
        yield getattr(play, name)(*arguments) or {}


class NetPlay:
    """What can be done with a net. Layers, blobs and parameters are named by any number, which
    counts around the list of them, so that a case can be drawn before the net is there."""

    def __init__(self, net):
        self.net = net

    def _blob(self, number):
        return list(self.net.blobs)[number % len(self.net.blobs)]

    def _has_loss_weight(self, name):
        return bool(self.net.blob_loss_weights.get(name))

    def _param(self, number):
        """A parameter, or None."""
        every = [(name, blob) for name, blobs in self.net.params.items() for blob in blobs
                 if self._type(name) != "BatchNorm"]
        return every[number % len(every)][1] if every else None

    def _type(self, name):
        return self.net.layers[list(self.net._layer_names).index(name)].type

    def fill_params(self, seed):
        for name, blobs in self.net.params.items():
            for i, blob in enumerate(blobs):
                seed += 1
                values = 0.5 * drawn(("normal",), blob.data.shape, seed)
                if self._type(name) == "BatchNorm":     # mean, variance, and by what they count
                    values = [values, abs(values) + 0.3, 1.5][i]
                elif self._type(name) == "BN" and i == 3:   # the running variance
                    values = abs(values) + 0.3
                blob.data[...] = values

    def write(self, name, kind, filling, seed):
        array = getattr(self.net.blobs[name], kind)
        array[...] = drawn(filling, array.shape, seed)

    def write_some(self, number, kind, seed, limited):
        """Any blob, but not an input in `limited` nor a branch of it, whose values are indices, and
        no gradient that is the weight of a loss."""
        name = self._blob(number)
        if not name.startswith(limited) and not (kind == "diff" and self._has_loss_weight(name)):
            self.write(name, kind, ("normal",), seed)

    def write_output_diffs(self, seed):
        for name in self.net.outputs:
            if not self._has_loss_weight(name):
                seed += 1
                self.write(name, "diff", ("normal",), seed)

    def write_param(self, number, kind, seed):
        blob = self._param(number)
        if blob is not None:
            getattr(blob, kind)[...] = 0.5 * drawn(("normal",), blob.data.shape, seed)

    def save(self, path):
        self.net.save(path)

    def copy_from(self, path):
        self.net.copy_from(path)

    def forward(self):
        return copied(self.net.forward())

    def backward(self):
        return copied(self.net.backward())

    def forward_part(self, first, last):
        first, last = self._part(first, last)
        return copied(self.net.forward(start=first, end=last))

    def backward_part(self, first, last):
        first, last = self._part(first, last)
        return copied(self.net.backward(start=last, end=first))

    def _part(self, first, last):
        names = list(self.net._layer_names)
        return [names[i] for i in sorted((first % len(names), last % len(names)))]

    def clear_param_diffs(self):
        self.net.clear_param_diffs()

    def zero_param_diffs(self):
        for blobs in self.net.params.values():
            for blob in blobs:
                blob.diff[...] = 0

    def resize(self, shapes):
        """The inputs get other shapes. Gradients in memory that grew are old ones or zeros, so all
        are written."""
        for name, shape in shapes.items():
            self.net.blobs[name].reshape(*shape)
        self.net.reshape()

    def write_all_diffs(self):
        for name, blob in self.net.blobs.items():
            blob.diff[...] = self.net.blob_loss_weights.get(name) or 0

    def read(self, number, kind):
        name = self._blob(number)
        return copied({f"{kind} of {name}": getattr(self.net.blobs[name], kind)})

    def read_all(self, *kinds):
        found = {f"{kind} of {name}": getattr(blob, kind)
                 for name, blob in self.net.blobs.items() for kind in kinds}
        found.update({f"{kind} of {name}[{i}]": getattr(blob, kind)
                      for name, blobs in self.net.params.items()
                      for i, blob in enumerate(blobs) for kind in kinds})
        return copied(found)


def copied(arrays):
    return {name: np.array(array) for name, array in arrays.items()}


def play_solver(caffe, folder, net, solver, seed, steps, snapshot_at, restored=None):
    """A solver of these prototxts, one step at a time; with `restored`, the path of a snapshot at
    that iteration, the steps after it."""
    folder = Path(folder)
    folder.mkdir()
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" snapshot_prefix: "{folder}/s" {solver}')
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    if restored:
        solver.restore(str(restored))
    else:
        NetPlay(solver.net).fill_params(seed)
    for step in range(snapshot_at if restored else 0, steps):
        if step == snapshot_at and not restored:
            solver.snapshot()
        for name in ("x", "t"):
            blob = solver.net.blobs[name]
            blob.data[...] = drawn(("normal",), blob.data.shape, [seed, step, ord(name)])
        solver.step(1)
        yield copied({"iter": np.array(solver.iter), "loss": solver.net.blobs["loss"].data,
                      **{f"{name}[{i}]": blob.data for name, blobs in solver.net.params.items()
                         for i, blob in enumerate(blobs)}})


def play_data(caffe, path, passes, phase=1, unread=()):
    """The batches of a data layer, without the blobs in `unread`."""
    net = caffe.Net(str(path), phase)
    for _ in range(passes):
        net.forward()
        yield copied({name: blob.data for name, blob in net.blobs.items() if name not in unread})


PLAYS = {"net": play_net, "solver": play_solver, "data": play_data}
