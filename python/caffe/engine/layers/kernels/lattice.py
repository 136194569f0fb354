"""The permutohedral lattice (Adams, Baek and Davis 2010): Gaussian filters over many dimensions."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....errors import LayerError

_LIMIT = 1 << 62
_FARTHEST = (1 << 15) - 1   # coordinate; beyond it, those of the forks wrap around
_TOO_FINE = ("the deviations of the filter are too small for the range of the image's values and "
             "places; expected larger ones")
FILTERED_LEAST = 1e-20      # what is added to a sum of weights before it divides


class Lattice:
    """Filters values at points, each weighed with about exp(-|difference of features|**2 / 2).

    features : (points, dimensions) tensor, in units of the filter's deviation, on the device of
        the values to come

    Each point lies in a simplex of a lattice. Its value is spread over the simplex's corners in
    proportion to the nearness, the lattice's points that occur are blurred along one direction
    after the other, and results are read where values were put. If the number of points is no
    multiple of 4, lattice points occur around the place 0, too: the public implementations, which
    take four points at once, fill the last four with zeros. Raises LayerError for features that are
    not finite, or reach so far that the lattice's points cannot be numbered.
    """

    def __init__(self, features: Tensor) -> None:
        count, d = features.shape
        if not features.isfinite().all():
            raise LayerError("the image holds values that are not finite")
        base, ranks, nearness = _simplexes(F.pad(features, (0, 0, 0, count % 4 > 0)).float().t())
        strides, nearness = self._strides(base), nearness[:, :count]
        codes, extra = _corner_codes(base, ranks, strides).split([count, count % 4 > 0], 1)
        codes, order = torch.cat([codes.flatten(), extra.flatten()]).sort(stable=True)
        begins = torch.ones_like(codes, dtype=torch.bool)
        begins[1:] = codes[1:] != codes[:-1]
        of_points = order < nearness.numel()
        own = order[of_points]
        # corners to points: of each lattice point, the points around it and their nearness; last,
        # a lattice point with none around it: the neighbour of those that have none
        self._around = (own % count).int()
        self._starts = F.pad(of_points.cumsum(0)[begins] - of_points[begins].long(), (0, 1),
                             value=len(own)).int()
        self._by_point = nearness.flatten()[own]
        # points to corners: of each point, the corners of its simplex
        corners = torch.empty_like(self._around)
        corners[own] = begins.cumsum(0, dtype=torch.int32)[of_points] - 1
        self._corners = corners.view(d + 1, count).t().contiguous()
        self._nearness = nearness.t().contiguous() / (1 + 2.0 ** -d)
        self._neighbours = _neighbours(codes[begins], strides)
        self._kernel = nearness.new_tensor([1, 0.5, 0.5]).repeat(len(self._starts), 1)

    @cached_property
    def _divided(self) -> tuple[Tensor, Tensor]:
        """The sum of the weights of each point, (points, 1), and the nearness divided by it."""
        total = self._run(self._nearness.new_ones(len(self._nearness), 1), self._nearness)
        total += FILTERED_LEAST
        return total, self._nearness / total

    @staticmethod
    def _strides(base: Tensor) -> list[int]:
        """What a step along each axis, but the last, adds to the number of a lattice point."""
        strides, product = [], 1
        margin = 4 * (len(base) + 1)
        for low, high in zip(base[:-1].amin(1).tolist(), base[:-1].amax(1).tolist()):
            strides.append(product)
            product *= int(high - low) + margin
        if product > _LIMIT:
            raise LayerError(_TOO_FINE)
        return strides

    def filter(self, values: Tensor) -> Tensor:
        """The filtered values, (points, channels) like `values`; differentiable by these."""
        return _Filter.apply(values, self)

    def mean(self, values: Tensor) -> Tensor:
        """The filtered values, divided by the sum of the weights; differentiable likewise."""
        return _Mean.apply(values, self)

    def _run(self, values: Tensor, nearness: Tensor, backwards: bool = False) -> Tensor:
        """Spread, blur and read with that nearness, the directions of blurring in order or
        `backwards`. Each is a product with a sparse matrix, whose rows are short."""
        values = F.embedding_bag(self._around, values.contiguous(), self._starts, mode="sum",
                                 per_sample_weights=self._by_point)
        for near in reversed(self._neighbours) if backwards else self._neighbours:
            values = F.embedding_bag(near, values, mode="sum", per_sample_weights=self._kernel)
        return F.embedding_bag(self._corners, values, mode="sum", per_sample_weights=nearness)


class _Filter(torch.autograd.Function):
    """Each blur is its own adjoint, so that of all is the blurs in reverse order."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: Lattice) -> Tensor:
        ctx.lattice = lattice
        return lattice._run(values, lattice._nearness)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        return ctx.lattice._run(gradient, ctx.lattice._nearness, backwards=True), None


class _Mean(torch.autograd.Function):
    """_Filter with the division in the nearness with which results are read."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: Lattice) -> Tensor:
        ctx.lattice = lattice
        return lattice._run(values, lattice._divided[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        lattice = ctx.lattice
        return lattice._run(gradient / lattice._divided[0], lattice._nearness, backwards=True), None


def _simplexes(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each point, (d + 1, points) each: the remainder-0 corner of its simplex; the rank of each
    coordinate's distance from there, the largest first; and the nearness to each corner.

    In float32 and in the order of the public implementations: on the border of two simplexes the
    rounding decides which lattice points occur, and so what is blurred with what.
    """
    d = len(features)
    deviation = float(np.float32(math.sqrt(2 / 3) * (d + 1)))
    scaled = [row * (1 / math.sqrt((i + 1) * (i + 2)) * deviation)
              for i, row in enumerate(features)]
    total, place = torch.zeros_like(features[0]), []
    for j in range(d, 0, -1):
        place.append(total - j * scaled[j - 1])
        total = total + scaled[j - 1]
    y = torch.stack([total, *reversed(place)])
    if (y.abs() > _FARTHEST).any():
        raise LayerError(_TOO_FINE)
    steps = (y * (1 / (d + 1))).round()
    base = steps * (d + 1)
    away = y - base
    rank = torch.zeros_like(away)
    for i in range(d):
        later = away[i + 1:] > away[i]
        rank[i] += later.sum(0)
        rank[i + 1:] += ~later
    # the nearest points need not lie on the plane of the lattice, where coordinates sum to 0
    rank += steps.sum(0)
    shift = (d + 1) * ((rank < 0).to(rank) - (rank > d).to(rank))
    rank, base = (rank + shift).long(), base + shift
    sorted_away = torch.empty_like(y).scatter_(0, rank, (y - base) * (1 / (d + 1))).flip(0)
    before = torch.cat([sorted_away[-1:] - 1, sorted_away[:-1]])
    return base, rank, sorted_away - before


def _corner_codes(base: Tensor, rank: Tensor, strides: list[int]) -> Tensor:
    """The number of each corner of each point's simplex, (d + 1, points): corner r is the base plus
    r everywhere, less d + 1 at the r coordinates of the highest ranks."""
    d = len(strides)
    stride = torch.tensor([*strides, 0], device=base.device)
    low = base.amin(1, keepdim=True)
    code = ((base - low).long() * stride[:, None]).sum(0)
    of_rank = torch.empty_like(rank).scatter_(0, rank, stride[:, None].expand_as(rank))
    lowered = F.pad(of_rank.flip(0).cumsum(0)[:-1], (0, 0, 1, 0))
    corner = torch.arange(d + 1, device=base.device)[:, None]
    return code + corner * sum(strides) - (d + 1) * lowered


def _neighbours(codes: Tensor, strides: list[int]) -> list[Tensor]:
    """For each direction, (lattice points + 1, 3): each point, and its neighbours on both sides;
    the number behind the last point for those that are not there, and for itself."""
    count = len(codes)
    own, found = torch.arange(count, device=codes.device), []
    for stride in [*strides, 0]:
        step = (len(strides) + 1) * stride - sum(strides)
        near = torch.full((count + 1, 3), count, dtype=torch.int32, device=codes.device)
        near[:-1, 0] = own
        at = torch.searchsorted(codes, codes + step).clamp_(max=count - 1)
        there = codes[at] == codes + step
        ahead, behind = at[there], own[there]
        near[behind, 1], near[ahead, 2] = ahead.int(), behind.int()
        found.append(near)
    return found
