"""RNN, LSTM and LSTMUnit against loops over streams and steps."""

import numpy as np
import pytest

from caffe.errors import LayerError
from layer_checks import backward, check_gradient, check_refused, normal, output

T, N, D = 4, 3, 2
PARAM = ('recurrent_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } '
         'bias_filler { type: "gaussian" std: 0.5 } }')
SHAPES = {"RNN": [(2, 5), (2,), (2, 2), (2, 2), (2,)], "LSTM": [(8, 5), (8,), (8, 2)]}
STATES = {"RNN": 1, "LSTM": 2}
CONT = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow(kind, params, x, cont, states, static=None):
    """(o, final states), stream by stream and step by step, in float64."""
    params = [blob.data.astype(float) for blob in params]
    w_x, b, *params = params
    w_static = params.pop(0) if static is not None else None
    tops = np.zeros((*cont.shape, D))
    states = [state.astype(float).copy() for state in states]
    for n in range(cont.shape[1]):
        for t in range(cont.shape[0]):
            h = states[0][n] * cont[t, n]
            inputs = w_x @ x[t, n].ravel() + b + params[0] @ h
            if static is not None:
                inputs += w_static @ static[n].ravel()
            if kind == "RNN":
                states[0][n] = np.tanh(inputs)
                tops[t, n] = np.tanh(params[1] @ states[0][n] + params[2])
            else:
                i, f, o, g = inputs.reshape(4, D)
                c = cont[t, n] * sigmoid(f) * states[1][n] + sigmoid(i) * np.tanh(g)
                states[1][n] = c
                tops[t, n] = states[0][n] = sigmoid(o) * np.tanh(c)
    return tops, states


def zeros(kind, streams=N):
    return [np.zeros((streams, D)) for _ in range(STATES[kind])]


@pytest.fixture(params=STATES)
def kind(request):
    return request.param


def sequence(kind):
    return f'type: "{kind}" bottom: "x" bottom: "cont" top: "y" {PARAM}'


def test_step_by_step(build, kind):
    x = normal(T, N, 5)
    net = build(sequence(kind), x=x, cont=CONT)
    assert [blob.shape for blob in net.params["layer"]] == SHAPES[kind]
    expected, _ = slow(kind, net.params["layer"], x, CONT, zeros(kind))
    np.testing.assert_allclose(output(net), expected, rtol=1e-4, atol=1e-6)


def test_gradients(build, kind):
    check_gradient(build, sequence(kind), {"x": (T, N, 5)}, fixed={"cont": CONT},
                   values=lambda rng, count: 0.5 * rng.normal(size=count))


def test_states_go_on_from_one_forward_to_the_next(build, kind):
    """Two halves of a sequence give what the whole gives."""
    x, cont = normal(2 * T, N, 5), np.vstack([CONT, CONT | 1])
    net = build(sequence(kind), x=x[:T], cont=cont[:T])
    expected, _ = slow(kind, net.params["layer"], x, cont, zeros(kind))
    net.forward()
    first = net.blobs["y"].data.copy()
    net.forward(x=x[T:], cont=cont[T:])
    np.testing.assert_allclose(np.vstack([first, net.blobs["y"].data]), expected, rtol=1e-4,
                               atol=1e-6)


def test_static_input(build, kind):
    x, static = normal(T, N, 5), normal(N, 2, 3, seed=1)
    layer = sequence(kind).replace('top: "y"', 'bottom: "s" top: "y"')
    net = build(layer, x=x, cont=CONT, s=static)
    assert [blob.shape for blob in net.params["layer"]] == [
        *SHAPES[kind][:2], (SHAPES[kind][0][0], 6), *SHAPES[kind][2:]]
    expected, _ = slow(kind, net.params["layer"], x, CONT, zeros(kind), static)
    np.testing.assert_allclose(output(net), expected, rtol=1e-4, atol=1e-6)
    check_gradient(build, layer, {"x": (T, N, 5), "s": (N, 2, 3)}, fixed={"cont": CONT},
                   values=lambda rng, count: 0.5 * rng.normal(size=count))


def exposed(kind):
    names = "hc"[:STATES[kind]]
    bottoms = " ".join(f'bottom: "{name}0"' for name in names)
    tops = " ".join(f'top: "{name}T"' for name in names)
    return sequence(kind).replace('top: "y"', f'{bottoms} top: "y" {tops}').replace(
        "num_output", "expose_hidden: true num_output")


def test_exposed_states(build, kind):
    x, cont = normal(T, N, 5), np.ones((T, N))
    start = [normal(1, N, D, seed=seed) for seed in range(STATES[kind])]
    given = {f"{name}0": state for name, state in zip("hc", start)}
    net = build(exposed(kind), x=x, cont=cont, **given)
    for _ in range(2):      # nothing goes on by itself
        expected, final = slow(kind, net.params["layer"], x, cont, [s[0] for s in start])
        np.testing.assert_allclose(output(net), expected, rtol=1e-4, atol=1e-6)
        for name, state in zip("hc", final):
            np.testing.assert_allclose(net.blobs[f"{name}T"].data, state[None], rtol=1e-4,
                                       atol=1e-6)


def test_no_gradient_passes_through_exposed_states(build, kind):
    given = {f"{name}0": normal(1, N, D) for name in "hc"[:STATES[kind]]}
    net = build(exposed(kind), x=normal(T, N, 5), cont=np.ones((T, N)), **given)
    net.forward()
    gradients = backward(net, y=0, hT=1)
    assert not gradients["h0"].any() and not gradients["x"].any()


def feed(net, x, cont):
    """The top for a sequence of another number of streams."""
    net.blobs["x"].reshape(*x.shape)
    net.blobs["cont"].reshape(*cont.shape)
    net.blobs["x"].data[...], net.blobs["cont"].data[...] = x, cont
    return output(net)


def test_of_fewer_streams_the_first_go_on_and_more_begin_at_zero(build, kind):
    x = normal(T, N, 5)
    net = build(sequence(kind), x=x, cont=CONT)
    net.forward()
    params = net.params["layer"]
    _, last = slow(kind, params, x, CONT, zeros(kind))
    for streams, states in ((2, [state[:2] for state in last]), (4, zeros(kind, 4))):
        x, cont = normal(T, streams, 5, seed=streams), np.ones((T, streams))
        expected, _ = slow(kind, params, x, cont, states)
        np.testing.assert_allclose(feed(net, x, cont), expected, rtol=1e-4, atol=1e-6)


def test_the_number_of_steps_may_not_change(build, kind):
    net = build(sequence(kind), x=normal(T, N, 5), cont=CONT)
    with pytest.raises(LayerError, match="'layer'.*number of steps changed from 4 to 5"):
        feed(net, normal(5, N, 5), np.ones((5, N)))


def test_no_gradient_passes_to_the_sequence_before(build, kind):
    """Of two equal sequences in a row, the second has the gradient of one that begins there."""
    x, cont = normal(T, N, 5), np.ones((T, N))
    net = build(sequence(kind), x=x, cont=cont)
    _, states = slow(kind, net.params["layer"], x, cont, zeros(kind))
    given = {f"{name}0": state[None] for name, state in zip("hc", states)}
    other = build(exposed(kind), x=x, cont=cont, **given)
    for mine, theirs in zip(other.params["layer"], net.params["layer"]):
        mine.data[...] = theirs.data
    net.forward()
    net.forward()
    other.forward()
    np.testing.assert_allclose(backward(net, y=1)["x"], backward(other, y=1)["x"], rtol=1e-4,
                               atol=1e-6)
    for mine, theirs in zip(other.params["layer"], net.params["layer"]):
        np.testing.assert_allclose(mine.diff, theirs.diff, rtol=1e-4, atol=1e-5)


UNIT = 'type: "LSTMUnit" bottom: "c" bottom: "x" bottom: "cont" top: "c1" top: "y"'


def test_lstm_unit(build):
    c, x, cont = normal(1, N, D), normal(1, N, 4 * D, seed=1), np.array([[1, 0, 1]])
    net = build(UNIT, c=c, x=x, cont=cont)
    i, f, o, g = x.reshape(N, 4, D).transpose(1, 0, 2)
    cell = cont.T * sigmoid(f) * c[0] + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(output(net)[0], sigmoid(o) * np.tanh(cell), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(net.blobs["c1"].data[0], cell, rtol=1e-5, atol=1e-7)
    check_gradient(build, UNIT, {"c": (1, N, D), "x": (1, N, 4 * D)}, fixed={"cont": cont})


@pytest.mark.parametrize("layer, shapes, facts", [
    (sequence("LSTM"), {"x": (4, 3, 5), "cont": (4, 2)}, ["(4, 3)", "(4, 2)"]),
    (sequence("RNN"), {"x": (4, 3), "cont": (4, 3)}, ["values", "(4, 3)"]),
    (sequence("RNN"), {"x": (0, 3, 5), "cont": (0, 3)}, ["steps", "(0, 3, 5)"]),
    (sequence("LSTM"), {"x": (), "cont": ()}, ["steps", "()"]),
    (sequence("LSTM").replace('top: "y"', 'bottom: "s" top: "y"'),
     {"x": (4, 3, 5), "cont": (4, 3), "s": (3,)}, ["static", "(3, values ...)", "(3,)"]),
    (sequence("RNN").replace("num_output: 2", ""), {"x": (4, 3, 5), "cont": (4, 3)},
     ["num_output"]),
    (exposed("LSTM"), {"x": (4, 3, 5), "cont": (4, 3), "h0": (1, 3, 2), "c0": (1, 3, 3)},
     ["(1, 3, 2)", "(1, 3, 3)"]),
    (exposed("LSTM").replace('top: "cT"', ""),
     {"x": (4, 3, 5), "cont": (4, 3), "h0": (1, 3, 2), "c0": (1, 3, 2)}, ["3 tops", "and 2"]),
    (UNIT, {"c": (1, 3, 2), "x": (1, 3, 6), "cont": (1, 3)}, ["(1, N, 4 D)", "(1, 3, 6)"])])
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)
