"""Values that move: Split, Concat, Slice, Reshape, Flatten, Crop, Tile, Interp, Filter, Silence."""

import math

import numpy as np

from .layer import Layer, axis_of, register


@register("Input")
class Input(Layer):
    """Users write its tops and give them their shapes."""

    def reshape(self, bottom, top):
        if not self.kept:
            for blob, shape in zip(top, self.spec.input_param.shape):
                blob.reshape(*shape.dim)
        self.kept = True

    def forward(self, bottom, top):
        """The values are there."""

    def backward(self, top, down, bottom):
        """Nothing is below."""


@register("Split")
class Split(Layer):
    """The same values for several readers, whose gradients add up."""

    def forward(self, bottom, top):
        for blob in top:
            blob.share_data(bottom[0])

    def backward(self, top, down, bottom):
        if down[0]:
            bottom[0].diff[...] = sum(blob.diff for blob in top)


class Joint(Layer):
    """Several blobs on one side. One on both sides are the same values and gradients."""

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        if len(bottom) == len(top):
            share(bottom[0], top[0])

    def forward(self, bottom, top):
        if len(bottom) != len(top):
            super().forward(bottom, top)

    def backward(self, top, down, bottom):
        if len(bottom) != len(top):
            super().backward(top, down, bottom)


def share(bottom, top):
    top.share_data(bottom)
    top.share_diff(bottom)


@register("Concat")
class Concat(Joint):

    def shapes(self, *bottom):
        axis = self.axis = axis_of(self.spec.concat_param.axis, bottom[0])
        return [(*bottom[0][:axis], sum(x[axis] for x in bottom), *bottom[0][axis + 1:])]

    def values(self, *arrays):
        return [np.concatenate(arrays, self.axis)]

    def slopes(self, diffs, *arrays):
        return np.split(diffs[0], np.cumsum([x.shape[self.axis] for x in arrays])[:-1], self.axis)


@register("Slice")
class Slice(Joint):

    def shapes(self, x):
        p, count = self.spec.slice_param, len(self.spec.top)
        axis = self.axis = axis_of(p.axis, x)
        points = list(p.slice_point) or [x[axis] // count * i for i in range(1, count)]
        self.points = points
        return [(*x[:axis], end - begin, *x[axis + 1:])
                for begin, end in zip([0, *points], [*points, x[axis]])]

    def values(self, x):
        return np.split(x, self.points, self.axis)

    def slopes(self, diffs, x):
        return [np.concatenate(diffs, self.axis)]


@register("Reshape")
class Reshape(Layer):
    """The same values in another shape: dims of 0 are the bottom's, one of -1 is the rest."""

    def shapes(self, x):
        dims = [dim or x[i] for i, dim in enumerate(self.spec.reshape_param.shape.dim)]
        rest = math.prod(x) // math.prod(dim for dim in dims if dim > 0)
        return [tuple(rest if dim == -1 else dim for dim in dims)]

    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        share(bottom[0], top[0])

    def forward(self, bottom, top):
        """The values are there."""

    def backward(self, top, down, bottom):
        """The gradient is there."""


@register("Flatten")
class Flatten(Layer):
    """The axes from `axis` to `end_axis` as one. A pass in either direction shares what it passes
    on."""

    def shapes(self, x):
        begin, end = (axis_of(axis, x) for axis in (self.spec.flatten_param.axis,
                                                    self.spec.flatten_param.end_axis))
        return [(*x[:begin], math.prod(x[begin:end + 1]), *x[end + 1:])]

    def forward(self, bottom, top):
        top[0].share_data(bottom[0])

    def backward(self, top, down, bottom):
        bottom[0].share_diff(top[0])


@register("Crop")
class Crop(Layer):
    """The part of bottom 0 from an offset on that has the size of bottom 1."""

    def _window(self, x, like):
        p, axis = self.spec.crop_param, axis_of(self.spec.crop_param.axis, x)
        offsets = list(p.offset) or [0]
        offsets = offsets if len(offsets) == len(x) - axis else offsets * (len(x) - axis)
        return (..., *(slice(o, o + n) for o, n in zip(offsets, like[axis:])))

    def shapes(self, x, like):
        axis = axis_of(self.spec.crop_param.axis, x)
        return [x[:axis] + like[axis:]]

    def values(self, x, like):
        return [x[self._window(x.shape, like.shape)]]

    def backward(self, top, down, bottom):
        if down[0]:
            dy = top[0].diff.copy()
            bottom[0].diff[...] = 0
            bottom[0].diff[self._window(bottom[0].shape, bottom[1].shape)] = dy


@register("Tile")
class Tile(Layer):

    def read_settings(self):
        self.p = self.spec.tile_param

    def shapes(self, x):
        axis = self.axis = axis_of(self.p.axis, x)
        return [(*x[:axis], x[axis] * self.p.tiles, *x[axis + 1:])]

    def values(self, x):
        return [np.concatenate([x] * self.p.tiles, self.axis)]

    def slopes(self, diffs, x):
        return [sum(np.split(diffs[0], self.p.tiles, self.axis))]


@register("Interp")
class Interp(Layer):
    """Bilinear interpolation to height and width; corners lie on corners."""

    def shapes(self, x):
        return [(*x[:2], self.spec.interp_param.height, self.spec.interp_param.width)]

    def _matrices(self, x):
        """What the rows and the columns of x are multiplied by."""
        return [interpolation(size, wanted) for size, wanted
                in zip(x.shape[2:], self.shapes(x.shape)[0][2:])]

    def values(self, x):
        rows, columns = self._matrices(x)
        return [rows @ x @ columns.T]

    def slopes(self, diffs, x):
        rows, columns = self._matrices(x)
        return [rows.T @ diffs[0] @ columns]


def interpolation(size, wanted):
    """(wanted, size): the weights of `size` values in each of the wanted ones."""
    places = np.linspace(0, size - 1, wanted) if wanted > 1 else np.zeros(1)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(size)))


@register("Filter")
class Filter(Layer):
    """Of the bottoms before the last the items at which the last is not 0."""

    def read_settings(self):
        self.no_gradient = (len(self.spec.bottom) - 1,)
        self.is_built = False

    def reshape(self, bottom, top):
        """When it is built there are no values to count."""
        selector = bottom[-1].data.reshape(-1)
        self.kept = np.flatnonzero(selector) if self.is_built else np.arange(len(selector))
        self.is_built = True
        for blob, x in zip(top, bottom):
            blob.reshape(len(self.kept), *x.shape[1:])

    def values(self, *arrays):
        return [x[self.kept] for x in arrays[:-1]]

    def slopes(self, diffs, *arrays):
        slopes = [np.zeros_like(x) for x in arrays[:-1]]
        for slope, dy in zip(slopes, diffs):
            slope[self.kept] = dy
        return slopes


@register("Silence")
class Silence(Layer):
    """Takes what nobody reads; gradients become 0."""

    def shapes(self, *bottom):
        return []

    def forward(self, bottom, top):
        """Nothing is computed."""

    def backward(self, top, down, bottom):
        for blob, wanted in zip(bottom, down):
            if wanted:
                blob.diff[...] = 0
