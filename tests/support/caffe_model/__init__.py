"""A model of Caffe: what a net computes, in NumPy and double precision, as plainly as possible.

A test that compares two ways of the engine with each other finds no fault that both have. This
package is a second opinion: it reads the same prototxt, and from there on does everything itself.
It inserts the splits, gives blobs their shapes, decides which layers run backward, and computes
values, gradients and updates, each layer by its formula. It imports nothing of caffe.engine, only
the schema of prototxts (caffe.proto). It is slow, and it knows only the layer types and fields that
tests/support/random_nets.py uses.

    blob            values and gradients, which blobs may share
    layer           the registry, and what all layers have
    convolution, pooling, neurons, arithmetic, normalisation, losses, shape, recurrent
                    the layers, one file for each family
    net             the net: splits, the plan of the backward pass, shared parameters, passes
    solver          an iteration of SGD

What somebody can observe of Caffe is where values are *stored*, so each blob has a place for its
values and one for its gradient, and layers write there: in place, into what a Split shares, into a
gradient that nobody asked for. A backward pass uses the values that it finds, not those of the last
forward pass, except for what a layer `kept` of it.
"""

from . import (  # noqa: F401 importing a file of layers enters them into the registry
    arithmetic,
    convolution,
    losses,
    neurons,
    normalisation,
    pooling,
    recurrent,
    shape,
)
from .layer import Refused as Refused
from .net import Net as Net
from .solver import Solver as Solver
