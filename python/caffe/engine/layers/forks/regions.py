"""ROIPooling, of Fast R-CNN, and PSROIPooling, of R-FCN: regions of feature maps in one size."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Shapes


class Regions(TensorLayer):
    """A layer of maps, bottom 0, and regions of them, bottom 1: (regions, 5) with further axes of
    1, of which each holds the index of the item, and left, top, right, bottom in pixels, all
    included. The gradient by the regions is 0."""

    bottoms = (2, 2)
    validated_bottom = 1
    recordable = False      # the windows follow from values

    def check_shapes(self, bottom: Shapes) -> None:
        maps, regions = bottom
        if len(maps) != 4 or regions[1:] != (5,) + (1,) * (len(regions) - 2):
            raise self.error(f"expected maps of 4 axes, and regions (R, 5), got {maps} and "
                             f"{regions}")

    def validate(self, bottom: Blobs) -> None:
        regions, count = bottom[1].data_nearby, bottom[0].shape[0]
        index = regions.flatten(1)[:, 0] if regions.numel() else regions
        if not regions.isfinite().all() or ((index < 0) | (index >= count)).any():
            raise self.error(f"expected regions that begin with the index of one of {count} items, "
                             "and hold finite numbers")


@register("ROIPooling")
class ROIPooling(Regions):
    """Of each region the maxima of pooled_h x pooled_w windows, (regions, C, pooled_h, pooled_w).

    spatial_scale takes pixels to places of bottom 0, to the nearest. A region has at least one
    place; windows overlap by up to one, and a window outside of the map is 0.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.roi_pooling_param
        if not p.pooled_h or not p.pooled_w or p.spatial_scale <= 0:
            raise self.error("expected pooled_h, pooled_w and spatial_scale above 0, got "
                             f"{p.pooled_h}, {p.pooled_w} and {p.spatial_scale:g}")

    def shapes(self, bottom: Shapes) -> Shapes:
        self.check_shapes(bottom)
        maps, regions = bottom
        p = self.layer_param.roi_pooling_param
        return [(regions[0], maps[1], p.pooled_h, p.pooled_w)]

    def compute(self, x: Tensor, regions: Tensor) -> Tensor:
        rows = regions.detach().flatten(1).cpu().numpy()
        pooled = [self._pooled(x[int(row[0])], row[1:]) for row in rows]
        if not pooled:
            return x.new_zeros(self.shapes([tuple(x.shape), tuple(regions.shape)])[0])
        return torch.stack(pooled)

    def _pooled(self, image: Tensor, box: np.ndarray) -> Tensor:
        """The windows of one region of an image (C, H, W)."""
        p = self.layer_param.roi_pooling_param
        box = _rounded(box * np.float32(p.spatial_scale)).astype(int)
        columns = _spans(box[0], box[2], p.pooled_w, image.shape[2])
        rows = _spans(box[1], box[3], p.pooled_h, image.shape[1])
        # of equals, the first column of each row, and then the first row, gets the gradient
        across = torch.stack([_largest(image, 2, span) for span in columns], 2)
        return torch.stack([_largest(across, 1, span) for span in rows], 1)


@register("PSROIPooling")
class PSROIPooling(Regions):
    """Of each region the means of group_size x group_size windows, each of channels of its own:
    (regions, output_dim, group_size, group_size).

    The window in row i and column j has for top channel c the bottom's channel (c * group_size +
    i) * group_size + j. The ends of a region are rounded to whole pixels, and multiplied by
    spatial_scale; it is at least 0.1 places of bottom 0 wide and high. A window holds all places
    that it touches, and one outside of the map is 0. The original has this for a GPU alone.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.psroi_pooling_param
        if p.output_dim < 1 or p.group_size < 1 or not 0 < p.spatial_scale < np.inf:
            raise self.error("expected output_dim, group_size and spatial_scale above 0, got "
                             f"{p.output_dim}, {p.group_size} and {p.spatial_scale:g}")

    def shapes(self, bottom: Shapes) -> Shapes:
        self.check_shapes(bottom)
        p, (maps, regions) = self.layer_param.psroi_pooling_param, bottom
        if maps[1] != p.output_dim * p.group_size ** 2:
            raise self.error(f"expected maps of output_dim * group_size * group_size = "
                             f"{p.output_dim * p.group_size ** 2} channels, got {maps}")
        return [(regions[0], p.output_dim, p.group_size, p.group_size)]

    def compute(self, x: Tensor, regions: Tensor) -> Tensor:
        p = self.layer_param.psroi_pooling_param
        rows = regions.detach().flatten(1).cpu().numpy()
        shape = (len(rows), p.group_size, p.group_size, p.output_dim)
        if not len(rows):
            return x.new_zeros(shape).permute(0, 3, 1, 2)
        index, begins = (torch.from_numpy(each).to(x.device)
                         for each in self._places(rows, x.shape[2], x.shape[3]))
        # a row for each place and window, of all channels of the top; a window is a bag of them
        table = x.unflatten(1, (p.output_dim, -1)).permute(0, 3, 4, 2, 1).reshape(-1, p.output_dim)
        means = F.embedding_bag(index, table, begins, mode="mean")
        return means.reshape(shape).permute(0, 3, 1, 2).contiguous()

    def _places(self, rows: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The places of all windows in the table, window after window, and where each begins."""
        size = self.layer_param.psroi_pooling_param.group_size
        items = rows[:, 0].astype(int)
        tops, heights = self._touched(rows[:, 2], rows[:, 4], height)
        lefts, widths = self._touched(rows[:, 1], rows[:, 3], width)
        counts = (heights[:, :, None] * widths[:, None]).ravel()
        begins = counts.cumsum() - counts
        window = np.arange(len(counts)).repeat(counts)      # of each place
        region, i, j = np.unravel_index(window, (len(rows), size, size))
        down, right = np.divmod(np.arange(len(window)) - begins[window], widths[region, j])
        y, x = tops[region, i] + down, lefts[region, j] + right
        return ((items[region] * height + y) * width + x) * size ** 2 + i * size + j, begins

    def _touched(self, first: np.ndarray, last: np.ndarray, size: int
                 ) -> tuple[np.ndarray, np.ndarray]:
        """The first place, and the number of places, of the windows along an axis, (regions,
        windows) each."""
        p = self.layer_param.psroi_pooling_param
        # where a GPU multiplies and adds, it rounds to float32 once
        start = (_rounded(first) * p.spatial_scale).astype(np.float32)
        extent = ((_rounded(last) + 1) * p.spatial_scale - start).astype(np.float32)
        step = np.maximum(extent, np.float32(0.1)) / np.float32(p.group_size)
        edges = (np.arange(p.group_size + 1) * step[:, None].astype(np.float64) + start[:, None]
                 ).astype(np.float32)
        begins = np.floor(edges[:, :-1]).clip(0, size).astype(int)
        ends = np.ceil(edges[:, 1:]).clip(0, size).astype(int)
        return begins, (ends - begins).clip(0)


def _rounded(x: np.ndarray) -> np.ndarray:
    """To whole numbers, in float64; halves go away from 0, as in C."""
    x = x.astype(np.float64)        # as 0.49999997 + 0.5 is 1 in float32
    return np.trunc(x + np.copysign(0.5, x))


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
