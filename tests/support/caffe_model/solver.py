"""SGD with momentum: what one iteration does to the parameters of a net."""

import math

import numpy as np


class Solver:
    """v <- momentum v + rate (g + decay w), w <- w - v; g is the sum of `iter_size` passes over
    their number, and is made shorter first where the whole sum is longer than `clip`.

    Afterwards each parameter's gradient is what was subtracted from it.
    """

    def __init__(self, net, rate, momentum=0.0, decay=0.0, iter_size=1, clip=-1.0):
        self.net, self.rate, self.momentum, self.decay = net, rate, momentum, decay
        self.iter_size, self.clip = iter_size, clip
        self.history = [np.zeros(blob.shape) for blob, _, _ in net.learnable]

    def step(self):
        self.net.clear_param_diffs()
        for _ in range(self.iter_size):
            self.net.forward()
            self.net.backward()
        length = math.sqrt(sum((blob.diff ** 2).sum() for blob, _, _ in self.net.learnable))
        share = self.clip / length if 0 <= self.clip < length else 1
        for (blob, lr_mult, decay_mult), history in zip(self.net.learnable, self.history):
            gradient = blob.diff * share / self.iter_size
            if self.decay * decay_mult:
                gradient = gradient + self.decay * decay_mult * blob.data
            history *= self.momentum
            history += self.rate * lr_mult * gradient
            blob.diff[...] = history
            blob.data[...] -= history
