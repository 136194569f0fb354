"""Computing separately what depends on the image, and the frame around it.

A row outside the core, that is, one that no row of the image reaches, is the same as in a net
without an image; there, all columns between the outer edges are equal, also those of the core.
So a map consists of its core, the rectangle that the image reaches, and of a frame, which is the
small map that the same layers make without an image. A layer runs on both: on the frame as it
is, and on the core without its padding, for around the core all values are those between the
edges of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .region import Node
from .rows import PAD, Run, Runs, Slide, Unproven, numbered
from .spread import Spread

if TYPE_CHECKING:
    from .choice import Survey
    from .plan import Traced


@dataclass(frozen=True)
class AxisPartition:
    """The parts of n rows: [0, first) and [last, n) are the outer edges, [start, stop) is the
    core, and all between are equal."""

    n: int
    first: int
    start: int
    stop: int
    last: int

    @classmethod
    def of(cls, n: int, runs: Runs) -> AxisPartition:
        (first, start), (stop, last) = runs
        return cls(n, first, start, stop, last)

    @property
    def core(self) -> Run:
        return self.start, self.stop

    def frame(self, rows: np.ndarray, count: int) -> np.ndarray:
        """`rows` with `count` fewer between the outer edges; those that remain there are copies of
        the first of them."""
        between = np.full(self.last - self.first - count, rows[self.first])
        return np.concatenate([rows[:self.first], between, rows[self.last:]])

    def reads(self, slide: Slide) -> Run:
        """The rows of the bottom that the windows of the core see, (start, stop)."""
        start = self.start * slide.stride - slide.pad
        return start, start + (self.stop - self.start - 1) * slide.stride + slide.extent


@dataclass(frozen=True)
class CoreFramePlan:
    """How a layer runs that computes core and frame separately; a pair is for rows and columns.

    core : pair of (start, stop), the core of the top
    reads : pair of (start, stop), what its windows see of the bottoms
    bottoms : for each bottom, None if it is divided so, too; otherwise two pairs of Spread that
        make of it the frame, and what the core reads
    below : for each bottom the pair of its AxisPartition
    frame : pair of Spread from the frame of the top to the whole
    """

    core: tuple
    reads: tuple
    bottoms: tuple
    below: tuple
    frame: tuple


def parts(survey: Survey, number: int) -> tuple[AxisPartition, ...]:
    """The pair of AxisPartition of a layer's top."""
    return tuple(map(AxisPartition.of, survey.sizes[number], survey.runs[number]))


def can_be(node: Node, survey: Survey) -> bool:
    """Whether a layer's top and bottoms have all parts."""
    layers = [node.number, *(source.layer for source in node.sources)]
    return bool(node.sources) and all(stop > start for number in layers
                                      for runs in survey.runs[number] for start, stop in runs)


def counts(nodes: Sequence[Node], survey: Survey) -> dict[int, np.ndarray] | None:
    """{number: array of rows and columns} that the frames leave out, as many as they can with no
    replication between them; None if they cannot, as the strides on two ways differ."""
    depth: dict[int, tuple[int, ...]] = {}
    for node in nodes:
        before = {depth.get(source.layer, (1, 1)) for source in node.sources}
        if len(before) > 1:
            return None
        depth[node.number] = tuple(d * s.stride for d, s in zip(before.pop(), node.slides))
    deepest = np.lcm.reduce(list(depth.values()))
    scale = {number: deepest // np.array(d) for number, d in depth.items()}
    most = np.min([_spare(survey, node.number) // scale[node.number] for node in nodes]
                  + [_spare(survey, source.layer) // scale[node.number] // _strides(node)
                     for node in nodes for source in node.sources], 0)
    return {number: most * share for number, share in scale.items()}


def _strides(node: Node) -> np.ndarray:
    return np.array([slide.stride for slide in node.slides])


def _spare(survey: Survey, number: int) -> np.ndarray:
    return np.array([part.last - part.first - 1 for part in parts(survey, number)])


def prove(region: Sequence[Node], survey: Survey, left: Mapping[int, np.ndarray],
          data: Mapping[int, Sequence[int]], axis: int) -> dict[int, np.ndarray]:
    """{number: the numbers of a top's rows in a net without an image}, along one axis.

    The rows get numbers for a net with an image and, together, for one without, whose data are
    like padding. For each layer in `left`, {number: [rows, columns] that its frame leaves out},

    - outside the core, both have the same numbers, also in the bottoms;
    - what the core's windows read is all equal in the net without an image;
    - they read no padding, and give the core's numbers;
    - the layer makes the frame of its top of those of its bottoms, and in all of them one row
      remains of those between the edges.

    Raises Unproven where one of these is not so.
    """
    traced: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for node in region:
        slide, below = node.slides[axis], [traced[source.layer] for source in node.sources]
        n = 0 if below else data[node.number][axis]
        below = below or [(np.arange(n), np.full(n, PAD))]
        stacks = [[slide.windows(rows) for rows in side] for side in zip(*below)]
        if node.number in left:
            stacks += _separate_windows(node, survey, left[node.number][axis], below, axis)
        windows = [np.hstack(stack) for stack in stacks]
        numbers = np.split(numbered(np.concatenate(windows)),
                           np.cumsum([len(each) for each in windows])[:-1])
        traced[node.number] = numbers[0], numbers[1]
        if node.number in left:
            part = parts(survey, node.number)[axis]
            _check(_agree(part, *numbers[:2]) and np.isin(numbers[1], numbers[2]).all()
                   and np.array_equal(numbers[2], part.frame(numbers[1], left[node.number][axis]))
                   and np.array_equal(numbers[3], numbers[0][slice(*part.core)]))
    return {number: free for number, (_, free) in traced.items()}


def _separate_windows(node: Node, survey: Survey, count: int,
                      below: Sequence[tuple[np.ndarray, np.ndarray]], axis: int
                     ) -> list[list[np.ndarray]]:
    """The windows that a layer puts over the frames, and those over what the core reads."""
    slide = node.slides[axis]
    start, stop = parts(survey, node.number)[axis].reads(slide)
    frames, cores = [], []
    for source, (rows, free) in zip(node.sources, below):
        part = parts(survey, source.layer)[axis]
        seen = free[max(start, 0):stop]
        _check(_agree(part, rows, free) and 0 <= start < stop <= part.n
               and start <= part.start and part.stop <= stop
               and slide.stride * count < part.last - part.first
               and (seen == free[part.first]).all())
        frames.append(slide.windows(part.frame(free, slide.stride * count)))
        cores.append(replace(slide, pad=0, inside=False).windows(rows[start:stop]))
    return [frames, cores]


def _agree(part: AxisPartition, rows: np.ndarray, free: np.ndarray) -> bool:
    outside = np.r_[0:part.start, part.stop:part.n]
    return np.array_equal(rows[outside], free[outside])


def _check(proven: bool | np.bool_) -> None:
    if not proven:
        raise Unproven("core and frame")


def plan(node: Node, survey: Survey, left: Mapping[int, np.ndarray],
         kept: Sequence[Mapping[int, Traced]], free: Sequence[Mapping[int, np.ndarray]]
        ) -> CoreFramePlan:
    """The CoreFramePlan of a layer.

    left : {number: [rows, columns]} that the frames leave out
    kept : for each axis {number: Traced} of the layers below that are not divided so
    free : for each axis what `prove` gives
    """
    own, count = parts(survey, node.number), left[node.number]
    reads = tuple(part.reads(slide) for part, slide in zip(own, node.slides))
    below = tuple(parts(survey, source.layer) for source in node.sources)
    bottoms: list[tuple[tuple[Spread, ...], ...] | None] = []
    for source, part in zip(node.sources, below):
        if source.layer in left:
            bottoms.append(None)
            continue
        rows = [axis[source.layer] for axis in kept]
        frames = [p.frame(r.full, slide.stride * c)
                  for p, r, slide, c in zip(part, rows, node.slides, count)]
        cores = [r.full[slice(*seen)] for r, seen in zip(rows, reads)]
        bottoms.append(tuple(tuple(Spread.between(r.kept, wanted)
                                   for r, wanted in zip(rows, both)) for both in (frames, cores)))
    frame = tuple(Spread.between(part.frame(axis[node.number], c), axis[node.number])
                  for part, axis, c in zip(own, free, count))
    return CoreFramePlan(tuple(part.core for part in own), reads, tuple(bottoms), below, frame)
