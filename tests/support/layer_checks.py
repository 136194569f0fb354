"""What the tests of all layers share: running a net of one layer, slopes, refusals."""

import math

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError

X, Z = 'bottom: "x" top: "y"', 'bottom: "x" bottom: "z" top: "y"'
IMAGE = {"x": (1, 3, 5, 6)}


def output(net, top="y"):
    """What a forward pass leaves in a blob, of the shape that the net promised before."""
    net.reshape()
    shape = net.blobs[top].shape
    net.forward()
    assert net.blobs[top].shape == shape
    return net.blobs[top].data.copy()


def backward(net, **diffs):
    """The net's gradients by its blobs, given those of its tops."""
    for name, diff in diffs.items():
        net.blobs[name].diff[...] = diff
    net.backward()
    return {name: blob.diff.copy() for name, blob in net.blobs.items()}


def spread_out(rng, *shape):
    """Values in random order, none nearer than 0.1 to 0 or to another."""
    count = math.prod(shape)
    values = (np.arange(count) - count // 2 + 0.5) / 5
    return rng.permutation(values).reshape(shape).astype(np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x, axis=1):
    e = np.exp(x.astype(float) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def check_gradient(build, layer, shapes, phase=caffe.TEST, values=spread_out, fixed=None):
    """Hold every gradient of a layer with the top "y" against its slope in random directions.

    Parameters
    ----------
    build : the fixture
    layer : the layer's text
    shapes : {bottom: shape}
    values : values(rng, count) for bottoms and parameters
    fixed : {bottom: array} of bottoms without a gradient
    """
    rng = np.random.default_rng(3)
    net = build(layer, phase, **{name: np.zeros(shape) for name, shape in shapes.items()},
                **(fixed or {}))
    variables = [net.blobs[name] for name in shapes] + list(net.params.get("layer", []))
    for blob, part in zip(variables, np.split(
            values(rng, sum(blob.count for blob in variables)),
            np.cumsum([blob.count for blob in variables])[:-1])):
        scale = 1 if blob.count < 100 else 0.2     # keeps the rounding of sums small
        blob.data[...] = scale * part.reshape(blob.shape)
    weights = rng.normal(size=output(net).shape)
    backward(net, y=weights)
    gradients = [blob.diff.copy() for blob in variables]    # some layers' forward writes there
    for blob, gradient in zip(variables, gradients):
        for _ in range(3):
            direction = rng.choice([-1, 1], size=blob.shape)
            expected = slope(net, blob, direction, weights)
            actual = (gradient * direction).sum()
            assert actual == pytest.approx(expected, rel=1e-2, abs=1e-2)


def slope(net, blob, direction, weights, step=1 / 64):
    """The change of sum(weights * y) along a direction of `blob`."""
    here = blob.data.copy()
    sums = []
    for sign in (1, -1):
        blob.data[...] = here + sign * step * direction
        sums.append((output(net).astype(float) * weights).sum())
    blob.data[...] = here
    return (sums[0] - sums[1]) / (2 * step)


def check_refused(build, layer, shapes, facts):
    """The layer raises a LayerError that holds the layer's name and all `facts`."""
    with pytest.raises(LayerError) as caught:
        build(layer, **{name: np.zeros(shape) for name, shape in shapes.items()})
    for fact in ["'layer'", *facts]:
        assert fact in str(caught.value)
