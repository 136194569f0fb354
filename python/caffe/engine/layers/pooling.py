"""Pooling and SPP: the maximum, the average or a random value of each window of an image."""

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ...context import TRAIN
from ...errors import LayerError
from ...formats.reading import check_memory
from ...proto import caffe_pb2
from ...proto.caffe_pb2 import PoolingParameter
from ..blob import Blob
from .base import TensorLayer
from .kernels.pooling import largest, suits, total
from .kernels.windows import Windows
from .registry import register
from .types import Blobs, Flags, Shape, Shapes, Tops

MAX, AVE, STOCHASTIC = PoolingParameter.MAX, PoolingParameter.AVE, PoolingParameter.STOCHASTIC


class Pool(TensorLayer):
    """What Pooling and SPP share: windows that fit, and a method."""

    @property
    def pool_param(self) -> Any:
        """A Pooling- or SPPParameter."""
        raise self.error(f"layer type '{self.type}' defines no pool_param")

    @property
    def method(self) -> int:
        """MAX, AVE or STOCHASTIC."""
        return self.pool_param.pool

    @property
    def keeps_state(self) -> bool:
        """All but the average keep where each value came from."""
        return self.method != AVE

    def places(self, windows: Windows, method: int, shape: Shape) -> tuple[int, ...]:
        """The numbers of windows on a bottom of `shape`. Raises the layer's error if they do not
        fit it, or the method."""
        kernel, stride, pad = windows.kernel, windows.stride, windows.pad
        if len(shape) != 4:
            raise self.error(f"expected a bottom of 4 axes, got {shape}")
        if any(size < 1 for size in kernel + stride) or any(map(operator.ge, pad, kernel)):
            raise self.error(f"expected a kernel and stride of at least 1 and a pad below the "
                             f"kernel, got kernel {kernel}, stride {stride} and pad {pad}")
        if method == STOCHASTIC and any(pad):
            raise self.error(f"stochastic pooling knows no padding, got {pad}")
        sizes = tuple(count for count, _ in windows.spans(shape[2:]))
        if any(size < 1 for size in sizes):
            raise self.error(f"kernel {kernel} with pad {pad} does not fit into {shape}: "
                             f"top would be {sizes}")
        if all(map(isinstance, kernel, (int, int))):        # else torch traces the layer
            values = math.prod(shape[:2]) * math.prod(sizes)
            self.check_work(kernel, values)
            if method == STOCHASTIC:        # which lays out all windows, and their sums
                check_memory(8 * values * math.prod(kernel), f"all windows of {kernel}", LayerError)
        return sizes

    def pooled(self, windows: Windows, method: int, x: Tensor) -> Tensor:
        """One value for each window."""
        fast = not self.use_plain_torch_ops and suits(x, windows)
        if method == MAX:
            return largest(x, windows) if fast else windows.maximum(x)[0]
        if method == AVE:
            if fast and not x.requires_grad:
                return windows.over_lengths(total(x, windows), x)
            return windows.average(x)
        return windows.drawn(x) if self.phase == TRAIN else windows.expected(x)


@register("Pooling")
class Pooling(Pool):
    """Max, average or stochastic pooling. The number of windows rounds up, unless round_mode is
    FLOOR.

    A second top of max pooling is the index y * width + x of each maximum, the first one where
    several are equal. An average divides by the part of its window inside the padded image.
    Stochastic pooling, of values of at least 0, draws one in proportion to it in training, and
    gives the mean of such draws in testing (Zeiler and Fergus 2013).
    """

    tops = (1, 2)

    @property
    def pool_param(self) -> caffe_pb2.PoolingParameter:
        return self.layer_param.pooling_param

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.pooling_param
        if len(top) == 2 and p.pool != MAX:
            raise self.error("only max pooling has a second top, the index of the maximum")
        if len(top) == 2:
            self.recordable = False     # its backward pass looks at the indices
        self.windows = Windows(self._pair("kernel", "kernel_size"), self._pair("stride"),
                               self._pair("pad"), self._rounds_up())
        given = self.windows.kernel, self.windows.pad, self.windows.stride
        if not p.global_pooling and given[0] == (0, 0):
            raise self.error("expected kernel_size, or kernel_h and kernel_w")
        sized = any(map(p.HasField, ("kernel_size", "kernel_h", "kernel_w")))
        if p.global_pooling and (sized or given[1:] != ((0, 0), (1, 1))):
            raise self.error("global_pooling takes the whole image: expected no kernel, pad 0 and "
                             f"stride 1, got {given[0]}, {given[1]} and {given[2]}")

    def _rounds_up(self) -> bool:
        """Of round_mode, or of ceil_mode, which it is called in forks."""
        p = self.layer_param.pooling_param
        up = p.round_mode == PoolingParameter.CEIL
        if p.HasField("round_mode") and p.HasField("ceil_mode") and p.ceil_mode != up:
            raise self.error("round_mode and ceil_mode contradict each other; one is enough")
        return p.ceil_mode if p.HasField("ceil_mode") else up

    def _pair(self, stem: str, field: str | None = None) -> tuple[int, int]:
        """(vertical, horizontal): given once for both, or as `stem`_h and `stem`_w."""
        p, field = self.layer_param.pooling_param, field or stem
        pair = f"{stem}_h", f"{stem}_w"
        given = [p.HasField(name) for name in pair]
        if not any(given):
            return (getattr(p, field),) * 2
        if field == "kernel_size" and p.HasField(field) and not all(given):
            return (p.kernel_size,) * 2     # as in Caffe, one of the two alone does not count
        if not all(given) or p.HasField(field):
            raise self.error(f"expected either {field} or both {pair[0]} and {pair[1]}")
        return tuple(getattr(p, name) for name in pair)

    def shapes(self, bottom: Shapes) -> Shapes:
        shape, method = bottom[0], self.layer_param.pooling_param.pool
        sizes = self.places(self._windows_on(shape[2:]), method, shape)
        return [shape[:2] + sizes] * len(self.layer_param.top)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        super().reshape(bottom, top)
        for mask in top[1:]:
            mask.plane = bottom[0].shape[2:]

    def _windows_on(self, image: Sequence[int]) -> Windows:
        if self.layer_param.pooling_param.global_pooling:
            return Windows(tuple(image), tuple(image), (0, 0))
        return self.windows

    def compute(self, x: Tensor) -> Tensor | Tops:
        windows = self._windows_on(x.shape[2:])
        if len(self.layer_param.top) == 1:
            return self.pooled(windows, self.layer_param.pooling_param.pool, x)
        y, index = windows.maximum(x)
        return y, index.to(x.dtype)

    @property
    def keeps_state(self) -> bool:
        """A second top holds where each value came from."""
        return super().keeps_state and len(self.layer_param.top) == 1

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        if len(top) == 1:
            super().backward(top, propagate_down, bottom)
        elif propagate_down[0]:
            bottom[0].set_diff(self._by_index(bottom[0], top))

    def _by_index(self, bottom: Blob, top: Blobs) -> Tensor:
        """The gradient by the bottom, from the indices that the second top holds now."""
        index, dy = top[1].data_to_read.long().flatten(2), top[0].diff_tensor.flatten(2)
        dx = torch.zeros(bottom.shape, device=dy.device)
        size = dx.shape[2] * dx.shape[3]
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise self.error(f"expected indices from 0 to {size - 1} in the second top, got "
                             f"{int(index.min())} to {int(index.max())}; somebody has written "
                             "there, and the gradient needs another forward pass")
        return dx.flatten(2).scatter_add_(2, index, dy).view(dx.shape)


@register("SPP")
class SPP(Pool):
    """Spatial pyramid pooling (He et al. 2014): levels 0 to pyramid_height - 1, of which level i
    pools 2^i x 2^i windows, each level flattened, one after the other on axis 1.

    The top is (batch, values); with a pyramid_height of 1 it is (batch, channels, 1, 1). The
    kernel of an axis of n in b windows is ceil(n / b), with a pad of half of what it is too
    long, rounded up; images too small for their windows are refused.
    """

    @property
    def pool_param(self) -> caffe_pb2.SPPParameter:
        return self.layer_param.spp_param

    def shapes(self, bottom: Shapes) -> Shapes:
        p, shape = self.layer_param.spp_param, bottom[0]
        if not p.pyramid_height:
            raise self.error("expected pyramid_height of at least 1, got 0")
        sizes = [self.places(windows, p.pool, shape) for windows in self._levels(shape[2:])]
        if p.pyramid_height == 1:
            return [shape[:2] + sizes[0]]
        return [(shape[0], shape[1] * sum(height * width for height, width in sizes))]

    def _levels(self, image: Sequence[int]) -> Iterator[Windows]:
        """The windows of each level."""
        for level in range(self.layer_param.spp_param.pyramid_height):
            kernel = tuple(-(-n // 2 ** level) for n in image)
            pad = tuple((k * 2 ** level - n + 1) // 2 for k, n in zip(kernel, image))
            yield Windows(kernel, kernel, pad)

    def compute(self, x: Tensor) -> Tensor:
        levels = [self.pooled(windows, self.layer_param.spp_param.pool, x)
                  for windows in self._levels(x.shape[2:])]
        return torch.cat([y.flatten(1) for y in levels], 1) if len(levels) > 1 else levels[0]
