"""ROIPooling, of Fast R-CNN: regions of feature maps in one size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Shapes


@register("ROIPooling")
class ROIPooling(TensorLayer):
    """Of each region the maxima of pooled_h x pooled_w windows, (regions, C, pooled_h, pooled_w).

    Bottom 1 holds the regions, (regions, 5) with further axes of 1: the index of the item, and
    left, top, right, bottom in pixels, all included; spatial_scale takes these to places of
    bottom 0, to the nearest. A region has at least one place; windows overlap by up to one, and a
    window outside of the map is 0. The gradient by the regions is 0.
    """

    bottoms = (2, 2)
    validated_bottom = 1
    recordable = False      # the windows follow from values

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.roi_pooling_param
        if not p.pooled_h or not p.pooled_w or p.spatial_scale <= 0:
            raise self.error("expected pooled_h, pooled_w and spatial_scale above 0, got "
                             f"{p.pooled_h}, {p.pooled_w} and {p.spatial_scale:g}")

    def shapes(self, bottom: Shapes) -> Shapes:
        maps, regions = bottom
        if len(maps) != 4 or regions[1:] != (5,) + (1,) * (len(regions) - 2):
            raise self.error(f"expected maps of 4 axes, and regions (R, 5), got {maps} and "
                             f"{regions}")
        p = self.layer_param.roi_pooling_param
        return [(regions[0], maps[1], p.pooled_h, p.pooled_w)]

    def validate(self, bottom: Blobs) -> None:
        regions, count = bottom[1].data_nearby, bottom[0].shape[0]
        index = regions.flatten(1)[:, 0] if regions.numel() else regions
        if not regions.isfinite().all() or ((index < 0) | (index >= count)).any():
            raise self.error(f"expected regions that begin with the index of one of {count} items, "
                             "and hold finite numbers")

    def compute(self, x: Tensor, regions: Tensor) -> Tensor:
        rows = regions.detach().flatten(1).cpu().numpy()
        pooled = [self._pooled(x[int(row[0])], row[1:]) for row in rows]
        if not pooled:
            return x.new_zeros(self.shapes([tuple(x.shape), tuple(regions.shape)])[0])
        return torch.stack(pooled)

    def _pooled(self, image: Tensor, box: np.ndarray) -> Tensor:
        """The windows of one region of an image (C, H, W)."""
        p = self.layer_param.roi_pooling_param
        # halves go away from 0, as in C; in float64, as 0.49999997 + 0.5 is 1 in float32
        box = (box * np.float32(p.spatial_scale)).astype(np.float64)
        box = np.trunc(box + np.copysign(0.5, box)).astype(int)
        columns = _spans(box[0], box[2], p.pooled_w, image.shape[2])
        rows = _spans(box[1], box[3], p.pooled_h, image.shape[1])
        # of equals, the first column of each row, and then the first row, gets the gradient
        across = torch.stack([_largest(image, 2, span) for span in columns], 2)
        return torch.stack([_largest(across, 1, span) for span in rows], 1)


def _spans(first: int, last: int, windows: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of each window along an axis, computed in float32 as in the original."""
    step = np.float32(max(last - first + 1, 1)) / np.float32(windows)
    number = np.arange(windows, dtype=np.float32)
    starts = np.floor(number * step).astype(int) + first
    stops = np.ceil((number + np.float32(1)) * step).astype(int) + first
    return list(zip(starts.clip(0, size).tolist(), stops.clip(0, size).tolist()))


def _largest(x: Tensor, axis: int, span: tuple[int, int]) -> Tensor:
    """The first maximum in a span of an axis; 0, without a gradient, where it is empty."""
    part = x.narrow(axis, span[0], max(0, span[1] - span[0]))
    if not part.shape[axis]:
        return x.new_zeros(x.shape[:axis] + x.shape[axis + 1:])
    return part.max(axis).values
