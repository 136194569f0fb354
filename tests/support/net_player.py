"""Random sequences of what a user can do with nets, the same with each of them."""

import numpy as np

from caffe.errors import LayerError

SIZES = (12, 9), (9, 14), (6, 6)
REMEDIES = "elide_padding = False", "cuda_graphs = False"       # what errors have to name


class Player:
    """Does the same to several nets, and compares what they show."""

    def __init__(self, nets, seed, remedies=REMEDIES):
        self.remedies = remedies
        self.nets, self.rng = nets, np.random.default_rng(seed)
        self.log, self.held = [], []
        names = [step.name for step in nets[0].program.steps]
        self.layers, self.blobs = names, list(nets[0].blobs)

    def play(self, count):
        self.set_data()
        self.each(lambda net: net.forward())
        for _ in range(count):
            action = self.rng.choice([
                self.set_data, self.passes, self.forward, self.forward_part, self.backward,
                self.backward, self.backward_again, self.backward_part, self.read_data,
                self.read_diff, self.write_data, self.write_diff, self.write_param, self.update,
                self.reshape, self.clear_param_diffs, self.hold, self.read_held, self.write_held])
            self.log.append(action.__name__)
            if self.is_refused(action):
                return
        for name in self.blobs:
            self.compare(name, "data")
        for name in self.nets[0].params:
            for i in range(len(self.nets[0].params[name])):
                self.equal([net.params[name][i].diff for net in self.nets], f"{name}/{i}")
        for name in self.blobs:
            if self.is_refused(lambda name=name: self.compare(name, "diff")):
                return

    def is_refused(self, action):
        """Whether the first net refuses what it has left out, or what a replay has used up, or
        all refuse to pass on a gradient; then the sequence ends."""
        try:
            action()
        except LayerError as error:
            assert any(remedy in str(error) for remedy in self.remedies), (str(error), self.log)
            return True
        return False

    def each(self, action):
        for net in self.nets:
            action(net)

    def equal(self, arrays, what):
        first, *others = arrays
        for other in others:
            limit = 1e-9 * max(1, np.abs(other).max(initial=0))
            np.testing.assert_allclose(first, other, rtol=0, atol=limit,
                                       err_msg=f"{what} after {self.log}")

    def compare(self, name, kind):
        self.equal([getattr(net.blobs[name], kind) for net in self.nets], f"{kind} of {name}")

    def values(self, shape):
        return self.rng.normal(size=shape)

    def place(self, name, kind):
        values = self.values(self.nets[0].blobs[name].shape)
        for net in self.nets:
            getattr(net.blobs[name], kind)[...] = values

    def blob(self):
        return self.rng.choice(self.blobs)

    # what is done

    def set_data(self):
        self.place("data", "data")

    def forward(self):
        self.set_data()
        self.each(lambda net: net.forward())

    def passes(self):
        """Enough for them to be recorded, and replayed; gradients of parameters add up."""
        for _ in range(3):
            self.forward()
            self.backward()

    def forward_part(self):
        first, last = sorted(self.rng.integers(len(self.layers), size=2))
        self.each(lambda net: net.forward(start=self.layers[first], end=self.layers[last]))

    def backward(self):
        for name in self.nets[0].outputs:
            if not self.nets[0].blob_loss_weights[name]:
                self.place(name, "diff")
        self.backward_again()

    def backward_again(self):
        """With the gradients that are there, as a net of a solver does, or otherwise."""
        release = bool(self.rng.integers(2))
        self.each(lambda net: net.run_backward(release=release))

    def backward_part(self):
        first, last = sorted(self.rng.integers(len(self.layers), size=2))
        self.each(lambda net: net.backward(start=self.layers[last], end=self.layers[first]))

    def read_data(self):
        self.compare(self.blob(), "data")

    def read_diff(self):
        self.compare(self.blob(), "diff")

    def write_data(self):
        self.place(self.blob(), "data")

    def write_diff(self):
        self.place(self.blob(), "diff")

    def write_param(self):
        name = self.rng.choice(list(self.nets[0].params))
        factor = self.rng.uniform(0.5, 1.5)
        for net in self.nets:
            net.params[name][0].data[...] *= factor

    def update(self):
        """What a solver does after a backward pass."""
        for net in self.nets:
            for blob, _ in net.program.learnable:
                blob.diff_tensor.mul_(0.1)
                blob.data_tensor.sub_(blob.diff_tensor)
            net.weights_updated()

    def hold(self):
        name, kind = self.blob(), self.rng.choice(["data", "diff"])
        self.held.append((f"{kind} of {name}",
                          [getattr(net.blobs[name], kind) for net in self.nets]))

    def read_held(self):
        for what, views in self.held:
            self.equal(views, what)

    def write_held(self):
        for _, views in self.held[-1:]:
            values = self.values(views[0].shape)
            for view in views:
                view[...] = values

    def reshape(self):
        self.held = []
        size = SIZES[self.rng.integers(len(SIZES))]
        for net in self.nets:
            net.blobs["data"].reshape(1, 2, *size)
            net.reshape()
        self.forward()

    def clear_param_diffs(self):
        self.each(lambda net: net.clear_param_diffs())
