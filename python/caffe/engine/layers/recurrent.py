"""RNN, LSTM and LSTMUnit: sequences, step by step.

A sequence of T steps of N streams is (T, N, ...). Its indicators (T, N) are 0 where a stream
begins anew, 1 elsewhere; they cut what a step takes from the step before.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import TensorLayer
from .formulas import KeepingLayer
from .registry import register
from .types import Blobs, Flags, Gradients, Shapes, Tensors, Tops


def lstm_step(gates: Tensor, cell: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """(cell, hidden) after one step of an LSTM, of gates (..., 4 D) in the order i, f, o, g.

    c' = cont f c + i g, h' = o tanh(c'); i, f, o are sigmoids, g is a tanh.
    """
    i, f, o, g = gates.chunk(4, -1)
    cell = cont * f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return cell, o.sigmoid() * cell.tanh()


class Recurrent(TensorLayer):
    """Bottoms: a sequence x, its indicators, and optionally (N, ...) that every step sees.

    With expose_hidden, further bottoms give the states (1, N, D) before the first step, and
    further tops those after the last. As in Caffe no gradient passes through either. Otherwise
    the states after one forward are those before the next. T is fixed, N may change: of fewer
    streams the first go on, more streams all begin at zero.
    """

    bottoms, tops = (2, None), (1, None)
    no_gradient = (1,)
    keeps_state = True      # every step
    recordable = False
    states = 0          # how many arrays a step hands on
    gates = 1           # how many values per output the input is projected to

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.recurrent_param
        self.outputs = p.num_output
        if not self.outputs:
            raise self.error("expected num_output of at least 1")
        self.exposed = self.states * p.expose_hidden
        self.has_static = len(bottom) > 2 + self.exposed
        if len(bottom) != 2 + self.exposed + self.has_static or len(top) != 1 + self.exposed:
            raise self.error(f"expected {2 + self.exposed} bottoms, or one more of static input, "
                             f"and {1 + self.exposed} tops, got {len(bottom)} and {len(top)}")
        self.steps = bottom[0].shape[:1]
        width = self.gates * self.outputs
        self._add(p, width, math.prod(bottom[0].shape[2:]))
        self._add_bias(p, width)
        if self.has_static:
            self._add(p, width, math.prod(bottom[2].shape[1:]))
        self._add(p, width, self.outputs)
        self._carried: list[Tensor] = []

    def step(self, inputs: Tensor, cont: Tensor, states: list[Tensor], *weights: Any
             ) -> tuple[Tensor, list[Tensor]]:
        """The top and the states after one step of the projected inputs."""
        raise self.error(f"layer type '{self.type}' defines no step()")

    def _add(self, p: Any, outputs: int, inputs: int) -> None:
        self.add_param((outputs, inputs), p.weight_filler)

    def _add_bias(self, p: Any, outputs: int) -> None:
        self.add_param((outputs,), p.bias_filler)

    def shapes(self, bottom: Shapes) -> Shapes:
        x, cont, *rest = bottom
        if len(x) < 3 or not x[0]:
            raise self.error(f"expected a sequence (steps, streams, values ...), got {x}")
        streams = x[1]
        if x[:1] != self.steps:
            raise self.error(f"the number of steps changed from {self.steps[0]} to {x[0]}")
        if cont != x[:2]:
            raise self.error(f"expected indicators {x[:2]}, got {cont}")
        if self.has_static and (len(rest[0]) < 2 or rest[0][0] != streams):
            raise self.error(f"expected static input ({streams}, values ...), got {rest[0]}")
        inputs = [math.prod(x[2:])] + ([math.prod(rest[0][1:])] if self.has_static else [])
        for blob, count in zip(self.blobs[::2], inputs):
            if blob.shape[1] != count:
                raise self.error(f"expected {blob.shape[1]} values, as in the weights of shape "
                                 f"{blob.shape}, got {count}")
        state = (1, streams, self.outputs)
        for given in rest[self.has_static:]:
            if given != state:
                raise self.error(f"expected a state {state}, got {given}")
        return [(*x[:2], self.outputs)] + [state] * self.exposed

    def compute(self, x: Tensor, cont: Tensor, *rest: Tensor) -> Tops:
        w_x, b, *weights = self.weights
        projected = F.linear(x.flatten(2), w_x, b)
        if self.has_static:
            projected = projected + F.linear(rest[0].flatten(1), weights.pop(0))
        states = [state[0].detach() for state in rest[self.has_static:]] or self._last(x)
        tops = []
        for inputs, step_cont in zip(projected, cont[..., None].clone()):
            top, states = self.step(inputs, step_cont, states, *weights)
            tops.append(top)
        final = [state.detach() for state in states]
        if not torch.compiler.is_compiling():       # a trace keeps nothing
            self._carried = final
        return (torch.stack(tops), *(state[None] for state in final[:self.exposed]))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """As in Caffe, a backward pass gives the gradients by the sequence, the static input and
        all parameters, whether or not the net asks for them."""
        if self.propagate_down:
            self.propagate_down = self._takes_gradient
            self.param_propagate_down = (True,) * len(self.blobs)
        super().forward(bottom, top)

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        for blob, leaf in zip((bottom[0], *bottom[2:]), (self._inputs[:1] + self._inputs[2:])):
            if blob.data_to_read.data_ptr() != leaf.data_ptr():
                raise self.error("a bottom was computed anew after the forward pass; backward "
                                 "needs another forward pass")
        super().backward(top, self._takes_gradient, bottom)

    @property
    def _takes_gradient(self) -> tuple[bool, ...]:
        count = len(self.layer_param.bottom)
        return tuple(i == 0 or i == 2 and self.has_static for i in range(count))

    def resume_state(self) -> list[torch.Tensor]:
        """The states after the last forward."""
        return list(self._carried)

    def resume_from(self, state: list[torch.Tensor]) -> None:
        """Go on from what `resume_state` gave."""
        if any(array.shape[1:] != (self.outputs,) for array in state):
            raise self.error(f"expected states (streams, {self.outputs}), got "
                             f"{[tuple(array.shape) for array in state]}")
        self._carried = state

    def _last(self, x: Tensor) -> list[Tensor]:
        """The states after the forward before; zeros at first, or if those were fewer streams, or
        in a trace."""
        streams = x.shape[1]
        if self._carried and not torch.compiler.is_compiling() \
                and len(self._carried[0]) >= streams:
            return [state[:streams].to(x.device) for state in self._carried]
        return [x.new_zeros(streams, self.outputs) for _ in range(self.states)]


@register("RNN")
class RNN(Recurrent):
    """h' = tanh(W_hh cont h + W_xh x + b_h), o = tanh(W_ho h' + b_o); the state is h.

    Parameters: W_xh (D, inputs), b_h (D,), with static input W_xh_static, W_hh (D, D), W_ho (D, D),
    b_o (D,).
    """

    states = 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        p = self.layer_param.recurrent_param
        self._add(p, self.outputs, self.outputs)
        self._add_bias(p, self.outputs)

    def step(self, inputs: Tensor, cont: Tensor, states: list[Tensor], w_hh: Tensor, w_ho: Tensor,
             b_o: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = (inputs + F.linear(cont * states[0], w_hh)).tanh()
        return F.linear(hidden, w_ho, b_o).tanh(), [hidden]


@register("LSTM")
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; as in Donahue et al. 2015).

    The gates i, f, o, g are W_xc x + b_c + W_hc cont h; the states are h and c, the top is h.
    Parameters: W_xc (4 D, inputs), b_c (4 D,), with static input W_xc_static, W_hc (4 D, D).
    """

    states = 2
    gates = 4

    def step(self, inputs: Tensor, cont: Tensor, states: list[Tensor], w_hc: Tensor
             ) -> tuple[Tensor, list[Tensor]]:
        hidden, cell = states
        cell, hidden = lstm_step(inputs + F.linear(cont * hidden, w_hc), cell, cont)
        return hidden, [hidden, cell]


@register("LSTMUnit")
class LSTMUnit(KeepingLayer):
    """One step of an LSTM: (c (1, N, D), gates (1, N, 4 D), indicators (1, N)) -> (c', h')."""

    bottoms, tops = (3, 3), (2, 2)
    no_gradient = (2,)
    keeps_state = False

    def shapes(self, bottom: Shapes) -> Shapes:
        cell, gates, cont = bottom
        if len(cell) != 3 or cell[0] != 1 or gates != (1, cell[1], 4 * cell[2]) \
                or cont != (1, cell[1]):
            raise self.error(f"expected (1, N, D), (1, N, 4 D) and (1, N), got {bottom}")
        return [cell, cell]

    def compute(self, cell: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
        return lstm_step(gates, cell, cont[..., None])

    def run(self, *bottom: Tensor) -> tuple[Tops, object]:
        return self.compute(*bottom), None

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        cell, gates, cont = bottom
        by_cell, by_hidden = diffs
        i, f, o, g = gates.chunk(4, -1)
        i, f, o, g = i.sigmoid(), cont[..., None] * f.sigmoid(), o.sigmoid(), g.tanh()
        squashed = top[0].tanh()
        through = by_cell + by_hidden * o * (1 - squashed.square())
        by_gates = through * g * i * (1 - i), through * cell * f * (1 - f), \
            by_hidden * squashed * o * (1 - o), through * i * (1 - g.square())
        return [through * f if wanted[0] else None,
                torch.cat(by_gates, -1) if wanted[1] else None]
