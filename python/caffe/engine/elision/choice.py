"""How many rows each layer leaves out: as many as it can, unless replicating them costs more.

Where a layer leaves out fewer rows than the one below it did, rows are replicated in between. So
layers are put together into groups without replication between them, beginning with the largest
blobs, wherever what the group then computes in vain costs less than the copy.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .rows import meet, spare

COPY = 128              # what it costs to replicate a value and to sum its gradient, in the
                        # multiplications of a convolution that the same time allows
LEAST_SAVING = 0.02     # of the region's operations, for leaving out any


@dataclass(frozen=True)
class Survey:
    """What is known of each layer of a region, by its number, once the data have a size.

    sizes : (height, width) of the tops; runs : for each axis the two runs of equal rows
    """

    sizes: dict
    runs: dict

    @classmethod
    def of(cls, region, data):
        """The survey of the Nodes `region`, for {number: (height, width)} of what begins it."""
        sizes, runs = {}, {}
        for node in region:
            if node.sources:
                size = sizes[node.sources[0].layer]
                below = [runs[source.layer] for source in node.sources]
            else:
                size = data[node.number]
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
    def single(cls, number, most, size, work):
        return cls((number,), np.ones((1, 2), int), np.array([most]), np.array([size]),
                   np.array([work]))

    def joined(self, number, other, reader, stride):
        """This group and `other` as one, in which `number` here leaves out `stride` times what
        `reader` there does."""
        mine, theirs = self.share(number), stride * other.share(reader)
        common = np.lcm(mine, theirs)
        scale = np.concatenate([self.scale * (common // mine), other.scale * (common // theirs)])
        pairs = ((self.most, other.most), (self.size, other.size), (self.work, other.work))
        return Group(self.numbers + other.numbers, scale, *map(np.concatenate, pairs))

    def share(self, number):
        return self.scale[self.numbers.index(number)]

    @cached_property
    def left(self):
        return (self.most // self.scale).min(0)

    @cached_property
    def cost(self):
        return float((self.work * (self.size - 2 * self.left * self.scale).prod(1)).sum())

    def left_by(self, number):
        return self.left * self.share(number)


@dataclass(frozen=True)
class Joint:
    """A blob between the layer `number` and the one that reads it."""

    number: int
    reader: int
    stride: np.ndarray
    size: np.ndarray
    channels: int
    in_place: bool = False

    def cost(self, groups):
        """What it costs to replicate its rows, 0 if none need be."""
        wanted = self.stride * groups[self.reader].left_by(self.reader)
        if (wanted == groups[self.number].left_by(self.number)).all():
            return 0.0
        return float(COPY * self.channels * (self.size - 2 * wanted).prod())


def choose(region, survey):
    """{number: [rows, columns]} that each layer leaves out of each run; {} if that saves little.

    region : Nodes; survey : their Survey
    """
    groups = {node.number: Group.single(
        node.number, [spare(runs) for runs in survey.runs[node.number]],
        survey.sizes[node.number], node.work * node.channels) for node in region}
    plain = sum(float(group.work[0] * group.size[0].prod()) for group in groups.values())
    joints = _joints(region, survey)
    for joint in joints:
        if joint.reader < 0:        # a reader that wants all rows
            groups[joint.reader] = Group.single(joint.reader, [0, 0], [0, 0], 0)
    for joint in sorted(joints, key=lambda j: (not j.in_place, -j.size.prod() * j.channels)):
        _join(groups, joint)
    cost = sum(group.cost for group in {id(g): g for g in groups.values()}.values())
    cost += sum(joint.cost(groups) for joint in joints)
    if cost > (1 - LEAST_SAVING) * plain:
        return {}
    return {node.number: groups[node.number].left_by(node.number) for node in region}


def _joints(region, survey):
    """The Joints of all blobs; a reader outside the region has a negative number of its own."""
    strides = {node.number: np.array([s.stride for s in node.slides]) for node in region}
    in_place = {node.number for node in region if node.in_place}
    joints = []
    for node in region:
        for reader in node.readers:
            number = -1 - len(joints) if reader is None else reader
            joints.append(Joint(node.number, number, strides.get(reader, np.ones(2, int)),
                                np.array(survey.sizes[node.number]), node.channels,
                                reader in in_place))
    return joints


def _join(groups, joint):
    """Put the groups at both ends of a joint together, if that costs less than the copy."""
    below, above = groups[joint.number], groups[joint.reader]
    if below is above:
        return
    both = below.joined(joint.number, above, joint.reader, joint.stride)
    if joint.in_place or both.cost - below.cost - above.cost <= joint.cost(groups):
        groups.update(dict.fromkeys(both.numbers, both))
