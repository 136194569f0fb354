"""Crop, Concat, Slice, Reshape, Flatten, Tile, Filter, BatchReindex, Split and Silence: values
that move, or go nowhere."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blob import Blob
from ..memory import DIFF
from .axes import canonical_axis, check_indices
from .base import TensorLayer
from .registry import register
from .types import Blobs, Flags, Shape, Shapes, Tops


@register("Crop")
class Crop(TensorLayer):
    """Bottom 0 cut, from `axis` on, to the size of bottom 1, which gives its shape alone, and may
    have further axes.

    The window begins at `offset`: one for all these axes (default 0), or one for each.
    """

    bottoms = (2, 2)
    shape_bottoms = (1,)

    def shapes(self, bottom: Shapes) -> Shapes:
        shape, reference = bottom[0], bottom[1][:len(bottom[0])]
        if len(shape) != len(reference):
            raise self.error("expected the second bottom to have at least the axes of the first, "
                             f"got {shape} and {reference}")
        start = canonical_axis(self, self.layer_param.crop_param.axis, shape)
        offsets = self.offsets(len(shape) - start)
        if any(n < offset + size for n, offset, size
               in zip(shape[start:], offsets, reference[start:])):
            raise self.error("invalid crop parameters, the crop is out-of-bounds: a window of "
                             f"{reference[start:]} at offset {offsets} reaches beyond "
                             f"{shape[start:]}; lower the offset, which caffe.coord_map.crop "
                             "computes, or pad the trunk more (the first convolution's pad: 100)")
        return [shape[:start] + reference[start:]]

    def offsets(self, axes: int) -> tuple[int, ...]:
        """Where the window begins on each of the last `axes` axes."""
        given = tuple(self.layer_param.crop_param.offset) or (0,)
        if len(given) not in (1, axes):
            raise self.error(f"expected 1 or {axes} offsets, got {len(given)}")
        return given if len(given) == axes else given * axes

    def compute(self, x: Tensor, reference: Tensor) -> Tensor:
        start = self.layer_param.crop_param.axis % x.dim()
        sizes = reference.shape[start:x.dim()]
        # as negative padding, whose gradient is filled with zeros once, not once for each axis
        around = [(-offset, offset + size - n) for n, offset, size
                  in zip(x.shape[start:], self.offsets(len(sizes)), sizes)]
        return F.pad(x, [side for sides in reversed(around) for side in sides])

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """The gradient of bottom 1, which gives its shape alone, is left as it is."""
        super().backward(top, (propagate_down[0], False), bottom)


def _joint_axis(layer: TensorLayer, p: Any, legacy: str, shape: Shape) -> int:
    """`axis`, or under its older name concat_dim or slice_dim, counted from the front."""
    if not p.HasField(legacy):
        return canonical_axis(layer, p.axis, shape)
    if p.HasField("axis"):
        raise layer.error(f"expected axis or {legacy}, got both")
    return canonical_axis(layer, getattr(p, legacy), shape)


class JoiningLayer(TensorLayer):
    """Several blobs on one side and one on the other. With one on both sides, these share values
    and gradient, and there is nothing to run."""

    needs_overwritten = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        if len(bottom) == len(top):
            # a Flatten above replaces the gradient that both share while the pass runs, so that
            # a recording would read the wrong memory
            self.recordable = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(bottom, top)
        if len(bottom) == len(top):
            share_memory(bottom[0], top[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        if len(bottom) != len(top):
            super().forward(bottom, top)

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        if len(bottom) != len(top):
            super().backward(top, propagate_down, bottom)

    def release(self, bottom: Blobs, top: Blobs) -> None:
        if len(bottom) != len(top):
            super().release(bottom, top)


@register("Concat")
class Concat(JoiningLayer):
    """The bottoms one after the other along `axis`; their other axes agree."""

    bottoms = (1, None)

    def shapes(self, bottom: Shapes) -> Shapes:
        axis = self.axis = _joint_axis(self, self.layer_param.concat_param, "concat_dim", bottom[0])
        first, *others = ((*shape[:axis], *shape[axis + 1:]) for shape in bottom)
        if any(around != first for around in others):
            raise self.error("All inputs must have the same shape, except at concat_axis: "
                             f"expected shapes that differ on axis {axis} alone, "
                             f"got {' and '.join(map(str, bottom))}; crop or pool them to one "
                             "size")
        total = sum(shape[axis] for shape in bottom)
        return [bottom[0][:axis] + (total,) + bottom[0][axis + 1:]]

    def compute(self, *bottoms: Tensor) -> Tensor:
        return torch.cat(bottoms, self.axis)


@register("Slice")
class Slice(JoiningLayer):
    """The bottom cut along `axis` at each slice_point, or without any into equal parts."""

    tops = (1, None)

    def shapes(self, bottom: Shapes) -> Shapes:
        shape = bottom[0]
        axis = self.axis = _joint_axis(self, self.layer_param.slice_param, "slice_dim", shape)
        self.sizes = self._sizes(shape[axis], len(self.layer_param.top))
        return [shape[:axis] + (size,) + shape[axis + 1:] for size in self.sizes]

    def _sizes(self, total: int, count: int) -> list[int]:
        points = list(self.layer_param.slice_param.slice_point)
        if not points:
            if total % count:
                raise self.error(f"axis {self.axis} of size {total} does not divide into "
                                 f"{count} equal tops")
            return [total // count] * count
        if len(points) != count - 1:
            raise self.error(f"expected {count - 1} slice_point for {count} tops, "
                             f"got {len(points)}")
        sizes = [end - begin for begin, end in zip([0, *points], [*points, total])]
        if any(size < 1 for size in sizes):
            raise self.error(f"expected increasing slice_point between 0 and {total}, got {points}")
        return sizes

    def compute(self, x: Tensor) -> Tops:
        return x.split(self.sizes, self.axis)


class SharedMemoryLayer(TensorLayer):
    """A layer whose tops are the memory of its bottom, as in Caffe: whoever writes to one of them
    writes to all, also in a pass in which the layer itself does not run.

    `compute` says what it does for those who take the layer out of the net (caffe.to_torch).
    """

    def release(self, bottom: Blobs, top: Blobs) -> None:
        """The memory is the bottom's."""


def share_memory(bottom: Blob, top: Blob) -> None:
    """Have a top hold the values and the gradient of a bottom."""
    top.share_data(bottom)
    top.share_diff(bottom)


@register("Reshape")
class Reshape(SharedMemoryLayer):
    """The bottom in another shape, for `num_axes` axes from `axis` on (-1: all to the end).

    A dim of 0 copies the bottom's, and one dim of -1 takes what remains. Bottom and top share
    values and gradient.
    """

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(bottom, top)
        share_memory(bottom[0], top[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """The values are there already."""

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """The gradient is there already."""

    def shapes(self, bottom: Shapes) -> Shapes:
        shape, p = bottom[0], self.layer_param.reshape_param
        start = p.axis if p.axis >= 0 else len(shape) + 1 + p.axis
        end = len(shape) if p.num_axes == -1 else start + p.num_axes
        if not 0 <= start <= end <= len(shape):
            raise self.error(f"axis {p.axis} and num_axes {p.num_axes} do not fit shape {shape}")
        given = list(p.shape.dim)
        if given.count(-1) > 1 or min(given, default=0) < -1:
            raise self.error(f"expected dims of at least 0 and at most one -1, got {given}")
        dims = self._copied(given, shape[start:])
        self.target = shape[:start] + self._inferred(dims, shape[start:end]) + shape[end:]
        return [self.target]

    def _copied(self, dims: list[int], source: Shape) -> list[int]:
        if 0 in dims[len(source):]:
            raise self.error(f"shape {dims} copies an axis (0) that the bottom does not have")
        return [source[i] if dim == 0 else dim for i, dim in enumerate(dims)]

    def _inferred(self, dims: list[int], source: Shape) -> Shape:
        sizes = [dim for dim in dims if dim != -1]
        # an empty batch: what remains is what one of its items has
        known, total = (math.prod(filter(None, each)) if 0 in sizes else math.prod(each)
                        for each in (sizes, source))
        if total % known or (-1 not in dims and known != total):
            raise self.error(f"output count must match input count: {total} values {source} "
                             f"do not fit shape {dims}; let one dim be -1")
        return tuple(total // known if dim == -1 else dim for dim in dims)

    def compute(self, x: Tensor) -> Tensor:
        return x.reshape(self.target)


@register("Flatten")
class Flatten(SharedMemoryLayer):
    """The axes from `axis` to `end_axis` as one. Bottom and top share their values from the first
    forward pass on, their gradient from the first backward pass on."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        top[0].share_data(bottom[0])

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        bottom[0].share_diff(top[0])

    def shapes(self, bottom: Shapes) -> Shapes:
        shape, p = bottom[0], self.layer_param.flatten_param
        start, end = (canonical_axis(self, axis, shape) for axis in (p.axis, p.end_axis))
        if start > end:
            raise self.error(f"expected axis up to end_axis, got {p.axis} and {p.end_axis}")
        return [shape[:start] + (math.prod(shape[start:end + 1]),) + shape[end + 1:]]

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.flatten_param
        return x.flatten(p.axis, p.end_axis)


@register("Tile")
class Tile(TensorLayer):
    """The bottom `tiles` times, one after the other along `axis`."""

    needs_overwritten = False

    def shapes(self, bottom: Shapes) -> Shapes:
        p, shape = self.layer_param.tile_param, bottom[0]
        self.axis = canonical_axis(self, p.axis, shape)
        if p.tiles < 1:
            raise self.error(f"expected tiles of at least 1, got {p.tiles}")
        return [shape[:self.axis] + (p.tiles * shape[self.axis],) + shape[self.axis + 1:]]

    def compute(self, x: Tensor) -> Tensor:
        return torch.cat([x] * self.layer_param.tile_param.tiles, self.axis)


@register("Filter")
class Filter(TensorLayer):
    """Of each bottom but the last the items (axis 0) at which the last, the selector, is not 0.

    How many these are, possibly none, follows from the selector's values; when the net is built,
    before there are any, the tops have all items.
    """

    bottoms, tops = (2, None), (1, None)
    keeps_state = True      # which items it has passed on
    recordable = False
    _counts = False     # whether the selector has values to count

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        if len(top) != len(bottom) - 1:
            raise self.error(f"expected a top for each bottom but the selector, "
                             f"{len(bottom) - 1}, got {len(top)}")
        self.no_gradient = (len(bottom) - 1,)

    def shapes(self, bottom: Shapes) -> Shapes:
        *items, selector = bottom
        if selector[:1] != (math.prod(selector),) or any(x[:1] != selector[:1] for x in items):
            raise self.error(f"expected a selector with one value for each item, got {selector} "
                             f"for {' and '.join(map(str, items))}")
        return items

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        shapes = self.shapes([blob.shape for blob in bottom])
        selector = bottom[-1]
        count = int(selector.data_tensor.count_nonzero()) if self._counts else selector.shape[0]
        for blob, shape in zip(top, shapes):
            blob.reshape(count, *shape[1:])
        self._counts = True

    def compute(self, *bottoms: Tensor) -> Tops:
        *items, selector = bottoms
        chosen = selector.flatten().nonzero().flatten()
        return tuple(x[chosen] for x in items)


@register("BatchReindex")
class BatchReindex(TensorLayer):
    """The items (axis 0) of bottom 0 at the indices in bottom 1, in that order, also repeatedly;
    the gradients of a repeated item add up."""

    bottoms = (2, 2)
    no_gradient = (1,)
    validated_bottom = 1

    def shapes(self, bottom: Shapes) -> Shapes:
        items, index = bottom
        if not items or len(index) != 1:
            raise self.error(f"expected items on axis 0 and a bottom of indices with 1 axis, "
                             f"got {items} and {index}")
        return [index + items[1:]]

    def validate(self, bottom: Blobs) -> None:
        check_indices(self, bottom[1], bottom[0].shape[0], "items")

    def compute(self, x: Tensor, index: Tensor) -> Tensor:
        return x[index.long()]


@register("Split")
class Split(SharedMemoryLayer):
    """The bottom, for several users; their gradients add up. All share the bottom's values from
    the first forward pass on."""

    tops = (1, None)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(bottom, top)
        for blob in top:
            blob.plane = bottom[0].plane

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        for blob in top:
            blob.share_data(bottom[0])

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        if not propagate_down[0]:
            return
        given = [blob.diff_tensor for blob in top if not blob.memories[DIFF].is_clear]
        if len(given) < 2:
            bottom[0].set_diff(given[0].clone() if given else torch.zeros_like(top[0].diff_tensor))
            return
        total = given[0] + given[1]
        for diff in given[2:]:
            total += diff
        bottom[0].set_diff(total)

    def compute(self, x: Tensor) -> Tops:
        return (x,) * len(self.layer_param.top)


@register("Silence")
class Silence(TensorLayer):
    """Takes bottoms that nobody else wants, so that they are no outputs of the net."""

    bottoms, tops = (1, None), (0, 0)

    def shapes(self, bottom: Shapes) -> Shapes:
        return []

    def compute(self, *bottoms: Tensor) -> Tops:
        return ()
