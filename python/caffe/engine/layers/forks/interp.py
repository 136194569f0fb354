"""Interp, of DeepLab and PSPNet: bilinear interpolation whose corners meet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Flags, Shapes


@register("Interp")
class Interp(TensorLayer):
    """Each channel in another size, (height, width): value i of n on an axis of m values is read
    at i (m - 1) / (n - 1), between two of them in proportion; all at 0 where n is 1.

    pad_beg and pad_end, at most 0, first take that many rows and columns away before and behind.
    The size is, in this order: that of bottom 1, if there is one (it gives its height and width
    alone, with use_blob_size or without, whatever else interp_param says); that of shrink_factor s
    alone, (m - 1) // s + 1; of zoom_factor z alone, m + (m - 1) (z - 1); height and width;
    shrink_factor, then zoom_factor.

    Labels would be mixed where a place between two of them is read, so that is an error.
    """

    bottoms = (1, 2)
    shape_bottoms = (1,)
    carries_labels = False      # whether a loss or an accuracy takes the top for labels

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.interp_param
        if p.pad_beg > 0 or p.pad_end > 0:
            raise self.error("expected pad_beg and pad_end of at most 0 (they take rows and "
                             f"columns away), got {p.pad_beg} and {p.pad_end}")
        if min(p.zoom_factor, p.shrink_factor) < 1:
            raise self.error("expected zoom_factor and shrink_factor of at least 1, got "
                             f"{p.zoom_factor} and {p.shrink_factor}")
        sized = p.HasField("height") and p.HasField("width")
        sized = sized or p.HasField("zoom_factor") or p.HasField("shrink_factor")
        if len(bottom) == 1 and (p.use_blob_size or not sized):
            raise self.error("expected interp_param with zoom_factor, shrink_factor, or both "
                             "height and width, or a second bottom of the size wanted")

    def shapes(self, bottom: Shapes) -> Shapes:
        shape = bottom[0]
        if any(len(each) != 4 for each in bottom):
            raise self.error(f"expected bottoms of 4 axes, got {', '.join(map(str, bottom))}")
        p = self.layer_param.interp_param
        there = [n + p.pad_beg + p.pad_end for n in shape[2:]]
        sizes = list(bottom[1][2:]) if len(bottom) == 2 else self.sizes(there)
        if min(there) < 1 or min(sizes) < 1:
            raise self.error(f"expected at least one row and column, got {tuple(there)} of {shape} "
                             f"after padding, and a top of {tuple(sizes)}")
        if self.carries_labels:
            self._check_labels(there, sizes)
        return [shape[:2] + tuple(sizes)]

    def sizes(self, there: list) -> list:
        """The height and width of the top, of those of the bottom without what padding takes."""
        p = self.layer_param.interp_param
        zooms, shrinks = p.HasField("zoom_factor"), p.HasField("shrink_factor")
        if zooms == shrinks and p.HasField("height") and p.HasField("width"):
            return [p.height, p.width]
        shrunk = [(n - 1) // p.shrink_factor + 1 for n in there] if shrinks else there
        return [n + (n - 1) * (p.zoom_factor - 1) for n in shrunk] if zooms else shrunk

    def _check_labels(self, there: list[int], sizes: list[int]) -> None:
        """Raises the layer's error if a place between two labels would be read."""
        for n, size in zip(there, sizes):
            if size > 1 and (n - 1) % (size - 1):
                factor = self.layer_param.interp_param.shrink_factor
                factor = factor if factor > 1 else max(2, round((n - 1) / (size - 1)))
                raise self.error(
                    f"the bottom is labels, which it would mix: from {tuple(there)} to "
                    f"{tuple(sizes)}, places between two labels are read. Give them a size of "
                    f"{factor}k + 1 (such as a crop of {factor * (n // factor) + 1}), and shrink "
                    f"by {factor}")

    def compute(self, x: Tensor, reference: Tensor | None = None) -> Tensor:
        p = self.layer_param.interp_param
        if p.pad_beg or p.pad_end:
            x = x[..., -p.pad_beg:x.shape[2] + p.pad_end, -p.pad_beg:x.shape[3] + p.pad_end]
        sizes = list(x.shape[2:])
        sizes = self.sizes(sizes) if reference is None else list(reference.shape[2:])
        return F.interpolate(x, sizes, mode="bilinear", align_corners=True)

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """The gradient of bottom 1, which gives its size alone, is left as it is."""
        super().backward(top, (propagate_down[0], *[False] * (len(bottom) - 1)), bottom)
