"""Python layers of the analyses."""

import ast

import caffe
import numpy as np


class DilatedMaxPooling(caffe.Layer):
    """Max pooling at stride 1 with its taps apart; forward only.

    param_str: kernel, taps along a side; dilation, samples between taps; pad, samples on each side
    that never are the maximum.
    """

    def setup(self, bottom, top):
        params = ast.literal_eval(self.param_str)
        self.pad = params["pad"]
        self.shifts = params["dilation"] * np.arange(params["kernel"])

    def reshape(self, bottom, top):
        number, channels, *sides = bottom[0].data.shape
        self.sides = [side + 2 * self.pad - int(self.shifts[-1]) for side in sides]
        if min(self.sides) < 1:
            raise ValueError(f"max pooling over {self.shifts[-1] + 1} samples of a blob of shape "
                             f"{tuple(bottom[0].data.shape)}, pad {self.pad}")
        top[0].reshape(number, channels, *self.sides)

    def forward(self, bottom, top):
        """The kernel is a square: the maximum of columns, then that of rows."""
        edges = [(0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)]
        data = np.pad(bottom[0].data, edges, constant_values=-np.inf)
        for axis in (2, 3):
            data = self.largest(data, axis)
        top[0].data[...] = data

    def largest(self, data, axis):
        parts = [np.take(data, range(shift, shift + self.sides[axis - 2]), axis)
                 for shift in self.shifts]
        return np.maximum.reduce(parts)
