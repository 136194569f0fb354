"""What all layers of the model have, and the table of their types."""

import numpy as np

from .blob import Blob

TYPES = {}


def register(kind):
    """Class decorator: prototxts reach the class by this type."""
    def enter(cls):
        TYPES[kind] = cls
        return cls
    return enter


class Refused(Exception):
    """Caffe would end, or compute from memory that it never set; the engine has to say so."""


class Layer:
    """One layer. `spec` is its LayerParameter.

    Subclasses define `setup` (the shapes of the parameters, from those of the bottoms), `shapes`
    (those of the tops), and two functions of arrays:

    values(*arrays) : the arrays of the tops, from those of the bottoms and the parameters
    slopes(diffs, *arrays) : the gradients by the bottoms and the parameters, from those by the tops

    Where Caffe's gradient is not the mathematical one, or more than that can be observed, they
    define `forward` and `backward` in place of these two.
    """

    loss = False            # whether the first top has a loss weight of 1 where none is given
    no_gradient = ()        # indices of bottoms by which there is no gradient
    never_forced = None     # the index of the bottom of which force_backward asks nothing

    def __init__(self, spec, phase):
        self.spec, self.phase = spec, phase
        self.params = []
        self.params_down = []       # for each parameter, whether its gradient is computed
        self.kept = None            # of the last forward pass
        self.read_settings()

    def read_settings(self):
        """Take from the spec what is needed later."""

    def setup(self, *shapes):
        """The shapes of the parameters."""
        return []

    def build(self, bottom):
        """Parameters begin with zeros; tests give them their values."""
        self.params = [Blob(*shape) for shape in self.setup(*(blob.shape for blob in bottom))]

    def rate(self, lr_mult):
        """The lr_mult that a solver takes for a parameter, given that of the prototxt."""
        return lr_mult

    def shapes(self, *bottom):
        """The shapes of the tops."""
        return [bottom[0]] * len(self.spec.top)

    def reshape(self, bottom, top):
        for blob, shape in zip(top, self.shapes(*(blob.shape for blob in bottom))):
            blob.reshape(*shape)

    def forward(self, bottom, top):
        for blob, array in zip(top, self.values(*self._arrays(bottom))):
            blob.data[...] = array

    def backward(self, top, down, bottom):
        wanted = [*down, *self.params_down]
        if not any(wanted):
            return
        slopes = self.slopes([blob.diff.copy() for blob in top], *self._arrays(bottom))
        for i, (blob, slope) in enumerate(zip([*bottom, *self.params], slopes)):
            if wanted[i] and i < len(bottom):
                blob.diff[...] = slope
            elif wanted[i]:
                blob.diff[...] += slope

    def _arrays(self, bottom):
        return [blob.data.copy() for blob in [*bottom, *self.params]]

    def needs(self, kept):
        """`kept`, unless there was no forward pass to keep it."""
        if kept is None:
            raise Refused("needs a forward pass of this layer first")
        return kept


def axis_of(axis, shape):
    return axis % len(shape)


def each_axis(given, count, default):
    """The values of a repeated field for `count` axes."""
    given = list(given) or [default]
    return given if len(given) == count else given * count


def sum_to(array, shape):
    """The sum of `array` over the axes along which `shape`, of as many axes, was spread."""
    axes = tuple(i for i, (n, m) in enumerate(zip(array.shape, shape)) if m == 1 and n != 1)
    return np.sum(array, axis=axes, keepdims=True)
