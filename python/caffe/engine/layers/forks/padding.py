"""Padding and MatWrite, of DeepLab's first release."""

from __future__ import annotations

import os

import torch.nn.functional as F
from torch import Tensor

from ....formats.atomic import replacing
from ....formats.text import read_text
from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Flags, Shapes


@register("Padding")
class Padding(TensorLayer):
    """Rows and columns of zeros, pad_beg above and left, pad_end below and right; negative ones
    take rows and columns away. Both have one sign."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.padding_param
        if p.pad_beg * p.pad_end < 0:
            raise self.error("expected pad_beg and pad_end both to pad or both to crop, got "
                             f"{p.pad_beg} and {p.pad_end}")

    def shapes(self, bottom: Shapes) -> Shapes:
        p, shape = self.layer_param.padding_param, bottom[0]
        if len(shape) != 4 or min(shape[2:]) + p.pad_beg + p.pad_end < 1:
            raise self.error("expected a bottom of 4 axes of which a row and a column stay, got "
                             f"{shape} with pad_beg {p.pad_beg} and pad_end {p.pad_end}")
        return [shape[:2] + tuple(n + p.pad_beg + p.pad_end for n in shape[2:])]

    def compute(self, x: Tensor) -> Tensor:
        p = self.layer_param.padding_param
        return F.pad(x, (p.pad_beg, p.pad_end) * 2)


@register("MatWrite")
class MatWrite(TensorLayer):
    """Writes each bottom i of every period-th pass as the MATLAB file PREFIX + NAME + _blob_i.mat:
    `data` of single precision, (width, height, channels, N).

    NAME is the first word of the next line of `source`, without its last `strip` characters; where
    there is no source, iter_ and the number of the pass.
    """

    bottoms, tops = (1, None), (0, 0)
    is_function = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.mat_write_param
        if p.period < 1 or p.strip < 0:
            raise self.error(f"expected a period of at least 1 and a strip of at least 0, got "
                             f"{p.period} and {p.strip}")
        folder = os.path.dirname(os.path.abspath(f"{p.prefix}x"))
        if not p.prefix or not os.path.isdir(folder):
            raise self.error(f"expected a prefix in an existing folder, got '{p.prefix}'")
        self.names = self.read_names(p.source, p.strip) if p.source else None
        self.passes = 0

    def read_names(self, source: str, strip: int) -> list[str]:
        """The names in a list, shortened."""
        names = [line.split()[0] for line in read_text(source).splitlines() if line.strip()]
        if short := [name for name in names if len(name) <= strip]:
            raise self.error(f"strip {strip} leaves nothing of the name '{short[0]}' in {source}")
        return [name[:len(name) - strip] for name in names]

    def shapes(self, bottom: Shapes) -> Shapes:
        if max(map(len, bottom)) > 4:
            raise self.error(f"expected bottoms of at most 4 axes, got {bottom}")
        return []

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        p, number = self.layer_param.mat_write_param, self.passes
        self.passes += 1
        if number % p.period:
            return
        if self.names is not None and number >= len(self.names):
            raise self.error(f"pass {number + 1} has no name: {p.source} has {len(self.names)}")
        name = f"iter_{number}" if self.names is None else self.names[number]
        from scipy.io import savemat  # here, since it takes long to load
        for i, blob in enumerate(bottom):
            values = blob.data.reshape(blob.shape + (1,) * (4 - len(blob.shape)))
            with replacing(f"{p.prefix}{name}_blob_{i}.mat") as file:
                savemat(file, {"data": values.T})

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """Nothing comes back from a file."""
