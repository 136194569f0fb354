"""Pooling: the maximum or the average of each window of an image."""

import torch
import torch.nn.functional as F

from ...proto.caffe_pb2 import PoolingParameter
from .base import TensorLayer, register

LOWEST = torch.finfo(torch.float32).min


@register("Pooling")
class Pooling(TensorLayer):
    """Max or average pooling. The number of windows rounds up, unless round_mode is FLOOR.

    A second top of max pooling is the index y * width + x of each maximum, the first one where
    several are equal. An average divides by the part of its window inside the padded image.
    """

    tops = (1, 2)

    def setup(self, bottom, top):
        p = self.layer_param.pooling_param
        if p.pool == PoolingParameter.STOCHASTIC:
            raise self.error("stochastic pooling is not supported; expected pool: MAX or AVE")
        if len(top) == 2 and p.pool != PoolingParameter.MAX:
            raise self.error("only max pooling has a second top, the index of the maximum")
        self.stride, self.pad = self._pair("stride"), self._pair("pad")
        self.kernel = self._pair("kernel", "kernel_size")
        if p.global_pooling:
            self._check_global()
        elif min(self.kernel + self.stride) < 1 or any(map(int.__ge__, self.pad, self.kernel)):
            raise self.error(f"expected a kernel and stride of at least 1 and a pad below the "
                             f"kernel, got {self.kernel}, {self.stride} and {self.pad}")

    def _pair(self, stem, field=None):
        """(vertical, horizontal): given once for both, or as `stem`_h and `stem`_w."""
        p, field = self.layer_param.pooling_param, field or stem
        pair = f"{stem}_h", f"{stem}_w"
        given = [p.HasField(name) for name in pair]
        if not any(given):
            return (getattr(p, field),) * 2
        if not all(given) or p.HasField(field):
            raise self.error(f"expected either {field} or both {pair[0]} and {pair[1]}")
        return tuple(getattr(p, name) for name in pair)

    def _check_global(self):
        if self.kernel != (0, 0) or self.pad != (0, 0) or self.stride != (1, 1):
            raise self.error("global_pooling takes the whole image: expected no kernel, pad 0 and "
                             f"stride 1, got {self.kernel}, {self.pad} and {self.stride}")

    def shapes(self, bottom):
        shape = bottom[0]
        if len(shape) != 4:
            raise self.error(f"expected a bottom of 4 axes, got {shape}")
        sizes = tuple(size for size, _ in self._windows(shape[2:]))
        if min(sizes) < 1:
            raise self.error(f"kernel {self.kernel} with pad {self.pad} does not fit into "
                             f"{shape}: top would be {sizes}")
        return [shape[:2] + sizes] * len(self.layer_param.top)

    def _kernel(self, image):
        return tuple(image) if self.layer_param.pooling_param.global_pooling else self.kernel

    def _windows(self, image):
        """For each direction, the number of windows and how far the last reaches over the image."""
        up = self.layer_param.pooling_param.round_mode == PoolingParameter.CEIL
        for n, k, s, pad in zip(image, self._kernel(image), self.stride, self.pad):
            count = (n + 2 * pad - k + (s - 1) * up) // s + 1
            if any(self.pad) and (count - 1) * s >= n + pad:
                count -= 1     # the last window would hold padding alone
            yield count, max(0, (count - 1) * s + k - n - pad)

    def compute(self, x):
        average = self.layer_param.pooling_param.pool == PoolingParameter.AVE
        kernel = self._kernel(x.shape[2:])
        if not self._torch_agrees(x.shape[2:], kernel):
            return self._average(x, kernel) if average else self._maximum(x, kernel)
        options = {"stride": self.stride, "padding": self.pad, "ceil_mode":
                   self.layer_param.pooling_param.round_mode == PoolingParameter.CEIL}
        if average:
            return F.avg_pool2d(x, kernel, **options)
        return self._with_index(*F.max_pool2d(x, kernel, return_indices=True, **options))

    def _with_index(self, y, index):
        return (y, index.to(y.dtype)) if len(self.layer_param.top) == 2 else y

    def _torch_agrees(self, image, kernel):
        """torch allows a pad of half the kernel, and has no windows without any of the image."""
        return all(2 * pad <= k and (count - 1) * s < n + pad for n, k, s, pad, (count, _)
                   in zip(image, kernel, self.stride, self.pad, self._windows(image)))

    def _maximum(self, x, kernel):
        padded = self._padded(x, LOWEST)
        y, index = F.max_pool2d(padded, kernel, self.stride, return_indices=True)
        row, column = index // padded.shape[3] - self.pad[0], index % padded.shape[3] - self.pad[1]
        return self._with_index(y, row * x.shape[3] + column)

    def _average(self, x, kernel):
        sums = F.avg_pool2d(self._padded(x, 0), kernel, self.stride, divisor_override=1)
        lengths = []
        for n, k, s, pad, count in zip(x.shape[2:], kernel, self.stride, self.pad, sums.shape[2:]):
            start = torch.arange(count, device=x.device, dtype=x.dtype) * s - pad
            lengths.append((start + k).clamp(max=n + pad) - start)
        return sums / torch.outer(*lengths)

    def _padded(self, x, value):
        (_, below), (_, right) = self._windows(x.shape[2:])
        return F.pad(x, (self.pad[1], right, self.pad[0], below), value=value)
