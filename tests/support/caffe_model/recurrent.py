"""LSTM and RNN: sequences (steps, streams, ...), step by step. The indicators (steps, streams) are
0 where a stream begins anew. A forward pass goes on from the states after the one before; gradients
go to the sequence and all parameters, whether or not they are asked for."""

import numpy as np

from .layer import Layer, register
from .neurons import sigmoid


class Recurrent(Layer):

    no_gradient = (1,)
    never_forced = 1
    states = 1

    def read_settings(self):
        self.outputs = self.spec.recurrent_param.num_output
        self.last = None

    def shapes(self, x, indicators):
        return [(*x[:2], self.outputs)]

    def rows(self, x):
        return x.data.reshape(*x.shape[:2], -1)

    def forward(self, bottom, top):
        streams = bottom[0].shape[1]
        if self.last is None or len(self.last[0]) < streams:
            self.last = [np.zeros((streams, self.outputs))] * self.states
        states = [state[:streams] for state in self.last]
        weights, bias, *others = (blob.data for blob in self.params)
        inputs, self.kept, tops = self.rows(bottom[0]) @ weights.T + bias, [], []
        for step, begins in zip(inputs, bottom[1].data[..., None]):
            y, states, kept = self.step(step, begins.copy(), states, *others)
            tops.append(y)
            self.kept.append(kept)
        self.last = states
        top[0].data[...] = tops

    def backward(self, top, down, bottom):
        kept, (weights, *_) = self.needs(self.kept), (blob.data for blob in self.params)
        by_states = [0] * self.states
        by_inputs = []
        for dy, step in zip(top[0].diff[::-1].copy(), kept[::-1]):
            by_input, by_states = self.step_back(dy, by_states, *step)
            by_inputs.append(by_input)
        by_inputs = np.array(by_inputs[::-1])
        x = self.rows(bottom[0])
        self.params[0].diff[...] += np.einsum("tno,tni->oi", by_inputs, x)
        self.params[1].diff[...] += by_inputs.sum((0, 1))
        bottom[0].diff[...] = (by_inputs @ weights).reshape(bottom[0].shape)


@register("LSTM")
class LSTM(Recurrent):
    """c' = i g + cont f c, h' = o tanh(c'), of the gates i, f, o, g = W x + b + H cont h."""

    states = 2

    def setup(self, x, indicators):
        gates = 4 * self.outputs
        return [(gates, int(np.prod(x[2:]))), (gates,), (gates, self.outputs)]

    def step(self, inputs, cont, states, recurrent):
        hidden, cell = states
        i, f, o, g = np.split(inputs + (cont * hidden) @ recurrent.T, 4, 1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        new = i * g + cont * f * cell
        y = o * np.tanh(new)
        return y, [y, new], (cont, hidden, cell, i, f, o, g, new)

    def step_back(self, dy, by_states, cont, hidden, cell, i, f, o, g, new):
        by_hidden, by_cell = dy + by_states[0], by_states[1]
        squashed = np.tanh(new)
        by_cell = by_cell + by_hidden * o * (1 - squashed ** 2)
        by_gates = np.concatenate([by_cell * g * i * (1 - i), by_cell * cont * cell * f * (1 - f),
                                   by_hidden * squashed * o * (1 - o), by_cell * i * (1 - g ** 2)],
                                  1)
        recurrent = self.params[2]
        recurrent.diff[...] += by_gates.T @ (cont * hidden)
        return by_gates, [cont * (by_gates @ recurrent.data), by_cell * cont * f]


@register("RNN")
class RNN(Recurrent):
    """h' = tanh(W x + b + H cont h), y = tanh(O h' + c)."""

    def setup(self, x, indicators):
        n = self.outputs
        return [(n, int(np.prod(x[2:]))), (n,), (n, n), (n, n), (n,)]

    def step(self, inputs, cont, states, recurrent, out, bias):
        hidden = np.tanh(inputs + (cont * states[0]) @ recurrent.T)
        y = np.tanh(hidden @ out.T + bias)
        return y, [hidden], (cont, states[0], hidden, y)

    def step_back(self, dy, by_states, cont, before, hidden, y):
        _, _, recurrent, out, bias = self.params
        by_sum = dy * (1 - y ** 2)
        out.diff[...] += by_sum.T @ hidden
        bias.diff[...] += by_sum.sum(0)
        by_inputs = (by_sum @ out.data + by_states[0]) * (1 - hidden ** 2)
        recurrent.diff[...] += by_inputs.T @ (cont * before)
        return by_inputs, [cont * (by_inputs @ recurrent.data)]
