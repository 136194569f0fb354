"""The plan of what is left out, and the proof that nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from . import core_frame
from .choice import Survey, choose
from .rows import Slide, Unproven, leave_out, numbered
from .spread import Spread

if TYPE_CHECKING:
    from .core_frame import CoreFramePlan
    from .region import Node


@dataclass(frozen=True)
class RowPlan:
    """How a layer runs that leaves rows out; a pair is for rows and columns.

    left : pair, how many of each run
    pad : its smaller padding, a pair, where that is what is left out; else None
    bottoms : for each bottom from the region a pair of Spread to replicate its rows before the
        layer reads it, or None if it is right as it is
    top : pair of Spread from its top to the whole one
    """

    left: tuple
    pad: tuple | None
    bottoms: tuple
    top: tuple


def plan(region: Sequence[Node], data: Mapping[int, Sequence[int]]
        ) -> Mapping[int, RowPlan | CoreFramePlan]:
    """{number: RowPlan or CoreFramePlan} of the layers that leave rows out; none if that cannot be
    proven right.

    Parameters
    ----------
    region : Nodes
    data : {number: (height, width)} of the bottoms of those that begin it
    """
    survey = Survey.of(region, data)
    for left, frames in choose(region, survey):
        try:
            return _plans(region, survey, left, frames, data)
        except Unproven:
            pass
    return {}


def _plans(region: Sequence[Node], survey: Survey, left: Mapping[int, np.ndarray],
           frames: Mapping[int, np.ndarray], data: Mapping[int, Sequence[int]]
          ) -> dict[int, RowPlan | CoreFramePlan]:
    region = _concerned(region, {**left, **frames})
    lower = [node for node in region if node.number not in frames]
    axes = [prove(lower, survey, left, data, axis) for axis in (0, 1)]
    plans: dict[int, RowPlan | CoreFramePlan] = {
        node.number: _plan(node, left, axes) for node in lower if any(left[node.number])}
    if frames:
        free = [core_frame.prove(region, survey, frames, data, axis) for axis in (0, 1)]
        plans.update((node.number, core_frame.plan(node, survey, frames, axes, free))
                     for node in region if node.number in frames)
    return plans


def _concerned(region: Sequence[Node], left: Mapping[int, np.ndarray]) -> list[Node]:
    """The layers that leave rows out, of those in `left`, and those below them."""
    wanted: set[int] = set()
    kept = []
    for node in reversed(region):
        if any(left.get(node.number, ())) or node.number in wanted:
            wanted.update(source.layer for source in node.sources)
            kept.append(node)
    return kept[::-1]


@dataclass(frozen=True)
class Traced:
    """The numbers of a layer's rows along one axis: `full`, those `kept`, and, for each bottom
    from the region, those that it `reads` when rows are left out."""

    full: np.ndarray
    kept: np.ndarray
    reads: tuple


def prove(region: Sequence[Node], survey: Survey, left: Mapping[int, np.ndarray],
          data: Mapping[int, Sequence[int]], axis: int) -> dict[int, Traced]:
    """{number: Traced} along one axis.

    Each layer's windows are put over the numbers of its whole bottoms, and over those of the
    bottoms with rows left out. The second must give what the first gives, but for the rows that
    the layer is to leave out of its runs, of which one like them remains. Raises Unproven where
    it does not.
    """
    traced: dict[int, Traced] = {}
    for node in region:
        number, slide = node.number, node.slides[axis]
        count = left[number][axis]
        if node.sources:
            full = [traced[source.layer].full for source in node.sources]
            reads = tuple(leave_out(rows, survey.runs[source.layer][axis], slide.stride * count)
                          for rows, source in zip(full, node.sources))
            kept = np.hstack([slide.windows(rows) for rows in reads])
        else:
            full, reads = [np.arange(data[number][axis])], ()
            kept = narrowed(slide, count).windows(full[0])
        whole = np.hstack([slide.windows(rows) for rows in full])
        numbers = numbered(np.concatenate([whole, kept]))
        whole, kept = np.split(numbers, [len(whole)])
        expected = leave_out(whole, survey.runs[number][axis], count)
        if not (np.array_equal(kept, expected) and np.isin(whole, kept).all()):
            raise Unproven(f"layer {number}, axis {axis}: {count} rows")
        traced[number] = Traced(whole, kept, reads)
    return traced


def narrowed(slide: Slide, count: int) -> Slide:
    """`slide` with a padding that gives `count` windows less at each end."""
    return replace(slide, pad=slide.pad - slide.stride * count)


def _plan(node: Node, left: Mapping[int, np.ndarray], axes: Sequence[Mapping[int, Traced]]
         ) -> RowPlan:
    here = [axis[node.number] for axis in axes]
    pad = None
    if not node.sources:
        pad = tuple(narrowed(slide, int(count)).pad
                    for slide, count in zip(node.slides, left[node.number]))
    bottoms = []
    for i, source in enumerate(node.sources):
        there = [axis[source.layer].kept for axis in axes]
        wanted = [axis.reads[i] for axis in here]
        same = all(map(np.array_equal, there, wanted))
        bottoms.append(None if same else tuple(map(Spread.between, there, wanted)))
    return RowPlan(tuple(map(int, left[node.number])), pad, tuple(bottoms),
                   tuple(Spread.between(axis.kept, axis.full) for axis in here))
