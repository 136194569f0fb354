"""How many rows each layer leaves out: as many as it can, unless replicating them costs more.

Where a layer leaves out fewer rows than the one below it did, rows are replicated in between. So
layers are put together into groups without replication between them, beginning with the largest
blobs, wherever what the group then computes in vain costs less than the copy.

From some layer on, cores and frames may be computed separately, which costs a copy before every
window and pays where the rows of the edges, as long as the image is wide, are a large part of the
map. All places after a stride are tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from . import core_frame
from .region import Node
from .rows import Runs, meet, spare

Counts = dict[int, np.ndarray]      # {number of a layer: rows and columns}
COPY = 128              # what it costs to replicate a value and to sum its gradient, in the
                        # multiplications of a convolution that the same time allows
LEAST_SAVING = 0.02     # of the region's operations, for leaving out any


@dataclass(frozen=True)
class Survey:
    """What is known of each layer of a region, by its number, once the data have a size.

    sizes : (height, width) of the tops; runs : for each axis the two runs of equal rows
    """

    sizes: dict[int, tuple[int, ...]]
    runs: dict[int, tuple[Runs, ...]]

    @classmethod
    def of(cls, region: Sequence[Node], data: Mapping[int, Sequence[int]]) -> Survey:
        """The survey of the Nodes `region`, for {number: (height, width)} of what begins it."""
        sizes: dict[int, tuple[int, ...]] = {}
        runs: dict[int, Any] = {}
        for node in region:
            if node.sources:
                size = sizes[node.sources[0].layer]
                below = [runs[source.layer] for source in node.sources]
            else:
                size = tuple(data[node.number])
                below = [[slide.pad_runs(n) for slide, n in zip(node.slides, size)]]
            axes = list(zip(node.slides, size, map(meet, zip(*below))))
            sizes[node.number] = tuple(slide.count(n) for slide, n, _ in axes)
            runs[node.number] = tuple(tuple(slide.within(run, n) for run in common)
                                      for slide, n, common in axes)
        return cls(sizes, runs)


@dataclass(frozen=True)
class Group:
    """Layers that leave out rows in proportion: `left` times `scale`.

    numbers : of the layers; scale, most, size : (layers, 2), for each and each axis its share, the
    most that it can leave out, and how many rows it has; work : (layers,), for each place
    """

    numbers: tuple
    scale: np.ndarray
    most: np.ndarray
    size: np.ndarray
    work: np.ndarray

    @classmethod
    def single(cls, number: int, most: Sequence[int], size: Sequence[int], work: int) -> Group:
        return cls((number,), np.ones((1, 2), int), np.array([most]), np.array([size]),
                   np.array([work]))

    def joined(self, number: int, other: Group, reader: int, stride: np.ndarray) -> Group:
        """This group and `other` as one, in which `number` here leaves out `stride` times what
        `reader` there does."""
        mine, theirs = self.share(number), stride * other.share(reader)
        common = np.lcm(mine, theirs)
        scale = np.concatenate([self.scale * (common // mine), other.scale * (common // theirs)])
        pairs = ((self.most, other.most), (self.size, other.size), (self.work, other.work))
        return Group(self.numbers + other.numbers, scale, *map(np.concatenate, pairs))

    def share(self, number: int) -> np.ndarray:
        return self.scale[self.numbers.index(number)]

    @cached_property
    def left(self) -> np.ndarray:
        return (self.most // self.scale).min(0)

    @cached_property
    def cost(self) -> float:
        return float((self.work * (self.size - 2 * self.left * self.scale).prod(1)).sum())

    def left_by(self, number: int) -> np.ndarray:
        return self.left * self.share(number)


@dataclass(frozen=True)
class ReplicationEdge:
    """A blob between the layer `number` and the one that reads it."""

    number: int
    reader: int
    stride: np.ndarray
    size: np.ndarray
    channels: int
    in_place: bool = False

    def cost(self, groups: Mapping[int, Group]) -> float:
        """What it costs to replicate its rows, 0 if none need be."""
        wanted = self.stride * groups[self.reader].left_by(self.reader)
        if (wanted == groups[self.number].left_by(self.number)).all():
            return 0.0
        return float(COPY * self.channels * (self.size - 2 * wanted).prod())


def choose(region: Sequence[Node], survey: Survey) -> list[tuple[Counts, Counts]]:
    """What each layer may leave out, the best first; nothing if that saves little.

    Parameters
    ----------
    region : Nodes
    survey : their Survey

    Returns a list of pairs: {number: [rows, columns] of each run}, and for the layers that run on
    core and frame instead, {number: [rows, columns] of their frames}.
    """
    plain = sum(node.work * node.channels * math.prod(survey.sizes[node.number])
                for node in region)
    options = [_option(region, survey, nodes) for nodes in _tails(region, survey)]
    return [(left, frames) for cost, left, frames in sorted(options, key=lambda o: o[0])
            if cost <= (1 - LEAST_SAVING) * plain]


def _tails(region: Sequence[Node], survey: Survey) -> list[list[Node]]:
    """Which layers might run on core and frame: none, or all that can from some stride on."""
    strides: dict[int, int] = {}    # of tops, in rows of the data
    below: dict[int, int] = {}      # of bottoms
    for node in region:
        below[node.number] = max((strides[source.layer] for source in node.sources), default=1)
        strides[node.number] = below[node.number] * max(slide.stride for slide in node.slides)
    able = [node for node in region if core_frame.can_be(node, survey)]
    return [[]] + [[node for node in able if below[node.number] >= stride]
                   for stride in sorted({below[node.number] for node in able} - {1})]


def _option(region: Sequence[Node], survey: Survey, upper: Sequence[Node]
           ) -> tuple[float, Counts, Counts]:
    """(cost, what the others leave out, what the frames do) if the layers `upper` run on core and
    frame."""
    lower, upper, whole = _sorted(region, upper)
    frames = core_frame.counts(upper, survey) if upper else {}
    if frames is None:
        return math.inf, {}, {}
    groups = {node.number: Group.single(
        node.number, [spare(runs) for runs in survey.runs[node.number]],
        survey.sizes[node.number], node.work * node.channels) for node in lower}
    joints = _joints(lower, survey, frames)
    for joint in joints:
        if joint.reader < 0:        # a reader that wants all rows
            groups[joint.reader] = Group.single(joint.reader, [0, 0], [0, 0], 0)
    for joint in sorted(joints, key=lambda j: (not j.in_place, -j.size.prod() * j.channels)):
        _join(groups, joint)
    cost = sum(group.cost for group in {id(g): g for g in groups.values()}.values())
    cost += sum(joint.cost(groups) for joint in joints)
    cost += sum(_core_frame_cost(node, survey, frames) for node in upper)
    cost += sum(node.work * node.channels * math.prod(survey.sizes[node.number]) for node in whole)
    return cost, {node.number: groups[node.number].left_by(node.number) for node in lower}, frames


def _sorted(region: Sequence[Node], upper: Sequence[Node]
           ) -> tuple[list[Node], list[Node], list[Node]]:
    """The Nodes below all that run on core and frame, those that do so, and those that read these
    whole."""
    numbers = {node.number for node in upper}
    kinds: tuple[list[Node], list[Node], list[Node]] = ([], [], [])
    lower, upper, whole = kinds
    # the numbers of those that do not, and do, run on core and frame
    below: set[int] = set()
    above: set[int] = set()
    for node in region:
        sources = {source.layer for source in node.sources}
        if node.number in numbers and sources <= (above if node.in_place else below | above):
            upper.append(node)
            above.add(node.number)
        elif sources <= below:
            lower.append(node)
            below.add(node.number)
        else:
            whole.append(node)
    return lower, upper, whole


def _core_frame_cost(node: Node, survey: Survey, frames: Mapping[int, np.ndarray]) -> float:
    """What a layer costs that runs on core and frame, with the copies of what it reads, and of its
    top."""
    own, count = core_frame.parts(survey, node.number), frames[node.number]
    areas = math.prod(part.stop - part.start for part in own)
    areas += math.prod(part.n - c for part, c in zip(own, count))
    cost = node.work * node.channels * areas
    reads = tuple(part.reads(slide) for part, slide in zip(own, node.slides))
    for source in node.sources:
        if reads != tuple(part.core for part in core_frame.parts(survey, source.layer)):
            cost += COPY * node.channels * math.prod(stop - start for start, stop in reads)
    if not all(reader in frames for reader in node.readers):
        cost += COPY * node.channels * math.prod(survey.sizes[node.number])
    return cost


def _joints(region: Sequence[Node], survey: Survey, frames: Mapping[int, np.ndarray]
           ) -> list[ReplicationEdge]:
    """The ReplicationEdges of all blobs but those that layers in `frames` read; a reader that needs
    all rows has a negative number of its own."""
    strides = {node.number: np.array([s.stride for s in node.slides]) for node in region}
    in_place = {node.number for node in region if node.in_place}
    joints: list[ReplicationEdge] = []
    for node in region:
        for reader in node.readers:
            if reader in frames:
                continue
            number = reader if reader in strides else -1 - len(joints)
            joints.append(ReplicationEdge(node.number, number, strides.get(reader, np.ones(2, int)),
                                np.array(survey.sizes[node.number]), node.channels,
                                reader in in_place))
    return joints


def _join(groups: dict[int, Group], joint: ReplicationEdge) -> None:
    """Put the groups at both ends of a joint together, if that costs less than the copy."""
    below, above = groups[joint.number], groups[joint.reader]
    if below is above:
        return
    both = below.joined(joint.number, above, joint.reader, joint.stride)
    if joint.in_place or both.cost - below.cost - above.cost <= joint.cost(groups):
        groups.update(dict.fromkeys(both.numbers, both))
