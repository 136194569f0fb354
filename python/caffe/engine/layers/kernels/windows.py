"""Windows: those that a pooling slides over an image, and what it makes of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True)
class Windows:
    """Windows over an image; each of kernel, stride and pad is (vertical, horizontal).

    With `up`, their number is rounded up, and the last may reach beyond the image. Sizes may be
    torch's symbols, as torch.export traces them: what follows from them is computed without a
    comparison of two, which would tie the trace to its outcome.
    """

    kernel: tuple
    stride: tuple
    pad: tuple
    up: bool = True

    def spans(self, image: Sequence[int]) -> Iterator[tuple[int, int]]:
        """For each direction, the number of windows and how far the last reaches over the image."""
        for n, k, s, pad in zip(image, self.kernel, self.stride, self.pad):
            count = (n + 2 * pad - k + (s - 1) * self.up) // s + 1
            if self._is_symbolic or any(self.pad):      # no window holds padding alone
                count = torch.sym_min(count, (n + pad - 1) // s + 1)
            over = (count - 1) * s + k - n - pad
            yield count, torch.sym_max(0, over) if self.up or pad else 0

    def maximum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maximum of each window, and its index y * width + x: of equals that of the first,
        -1 for a window without any of the image."""
        if self._is_symbolic:
            return self._tiles_maximum(x)
        if self.torch_agrees(x.shape[2:]):
            return F.max_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=self.up,
                                return_indices=True)
        padded = self._padded(x, LOWEST)
        y, index = F.max_pool2d(padded, self.kernel, self.stride, return_indices=True)
        row, column = index // padded.shape[3] - self.pad[0], index % padded.shape[3] - self.pad[1]
        inside = (row >= 0) & (row < x.shape[2]) & (column >= 0) & (column < x.shape[3])
        return y, (row * x.shape[3] + column).where(inside, -1)

    def average(self, x: Tensor) -> Tensor:
        """The average over the part of each window inside the padded image."""
        if self._is_symbolic:
            return self.over_lengths(self._tiles(x, 0).sum((4, 5)), x)
        if self.torch_agrees(x.shape[2:]):
            return F.avg_pool2d(x, self.kernel, self.stride, self.pad, ceil_mode=self.up)
        return self.over_lengths(
            F.avg_pool2d(self._padded(x, 0), self.kernel, self.stride, divisor_override=1), x)

    def over_lengths(self, sums: Tensor, x: Tensor) -> Tensor:
        """The sums of windows on x, divided by the parts of them inside the padded image."""
        lengths = []
        for n, k, s, pad, count in zip(x.shape[2:], self.kernel, self.stride, self.pad,
                                       sums.shape[2:]):
            start = torch.arange(count, device=x.device, dtype=x.dtype) * s - pad
            lengths.append((start + k).clamp(max=n + pad) - start)
        return sums / torch.outer(*lengths)

    def drawn(self, x: Tensor) -> Tensor:
        """A value of each window, drawn with a probability proportional to it."""
        values = self._values(x)
        with torch.no_grad():
            below = values.clamp(min=0).cumsum(-1)
            level = torch.rand_like(below[..., :1]) * below[..., -1:]
            index = (below < level).sum(-1, keepdim=True)
        return values.gather(-1, index).squeeze(-1)

    def expected(self, x: Tensor) -> Tensor:
        """What `drawn` gives on average: sum(x**2) / sum(x), 0 where the sum is 0."""
        values = self._values(x)
        total = values.sum(-1)
        return values.square().sum(-1) / total.where(total > 0, torch.inf)

    def _values(self, x: Tensor) -> Tensor:
        """The values of each window on a last axis, zeros beyond the image."""
        (height, width), (down, right) = self.kernel, self.stride
        windows = self._padded(x, 0).unfold(2, height, down).unfold(3, width, right)
        return windows.contiguous().flatten(4)

    def torch_agrees(self, image: Sequence[int]) -> bool:
        """Whether torch's own pooling takes these windows: it allows a pad of half the kernel, and
        has no window that sees nothing of the image."""
        if any(2 * pad > k for k, pad in zip(self.kernel, self.pad)):
            return False
        if not self.up or all(s <= k - pad for k, s, pad
                              in zip(self.kernel, self.stride, self.pad)):
            return True
        return all(isinstance(n, int) and (count - 1) * s < n + pad for n, s, pad, (count, _)
                   in zip(image, self.stride, self.pad, self.spans(image)))

    @property
    def _is_symbolic(self) -> bool:
        """Whether torch's own pooling, whose kernels are numbers, would take a symbol for one; the
        windows then touch each other, as those of the whole image and of pyramids do."""
        return not all(isinstance(k, int) for k in self.kernel)

    def _tiles(self, x: Tensor, value: float) -> Tensor:
        """Windows that touch: x (N, C, H, W) as (N, C, rows, columns, *kernel), with `value`
        beyond the image."""
        (rows, below), (columns, right) = self.spans(x.shape[2:])
        (height, width), (up, left) = self.kernel, self.pad
        x = F.pad(x, (left, right, up, below), value=value)[:, :, :rows * height, :columns * width]
        return x.reshape(*x.shape[:2], rows, height, columns, width).transpose(3, 4)

    def _tiles_maximum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, index = self._tiles(x, LOWEST).flatten(4).max(-1)
        places = []
        for axis, place in ((2, index // self.kernel[1]), (3, index % self.kernel[1])):
            start = torch.arange(y.shape[axis], device=x.device) * self.stride[axis - 2]
            places.append(place + (start - self.pad[axis - 2]).reshape(-1, *(1,) * (3 - axis)))
        return y, places[0] * x.shape[3] + places[1]

    def _padded(self, x: Tensor, value: float) -> Tensor:
        (_, below), (_, right) = self.spans(x.shape[2:])
        if not self.up and not any(self.pad):
            return x
        return F.pad(x, (self.pad[1], right, self.pad[0], below), value=value)
