"""Core and frame: what is made of them, and that computing them apart is proven."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from caffe.engine.elision import choice, core_frame, plan, region
from caffe.engine.elision.core_frame import AxisPartition
from caffe.engine.elision.rows import Slide, Unproven
from caffe.engine.elision.spread import Spread, cut, paste, surround, unsurround
from trunks import ALEXNET, INCEPTION, RESIDUAL, image, reader

SPREADS = (Spread.between(np.array([0, 1, 2]), np.array([0, 1, 1, 1, 1, 2])),
           Spread.between(np.array([0, 1]), np.array([0, 0, 0, 1, 1])))
PLACE = ((2, 4), (1, 4))


def random(*shape):
    return torch.randn(shape, dtype=torch.float64)


def test_a_frame_is_pasted_under_a_core():
    frame, core = random(1, 2, 3, 2), random(1, 2, 2, 3)
    whole = paste(frame, core, SPREADS, PLACE)
    assert torch.equal(whole[:, :, 2:4, 1:4], core)
    assert torch.equal(whole[:, :, [0, 1, 4, 5]], frame[:, :, [0, 1, 1, 2]][..., [0, 0, 0, 1, 1]])
    g = torch.randn_like(whole)
    along_frame, along_core = cut(g, SPREADS, PLACE)
    assert torch.allclose((g * whole).sum(),
                          (frame * along_frame).sum() + (core * along_core).sum())


def test_a_core_is_surrounded_by_one_value_of_the_frame():
    frame, core = random(1, 2, 3, 3), random(1, 2, 2, 3)
    whole = surround(core, frame, (1, 2), PLACE, (5, 6))
    assert torch.equal(whole[:, :, 2:4, 1:4], core)
    assert torch.equal(whole[:, :, 4], frame[:, :, 1, 2, None].expand(1, 2, 6))
    g = torch.randn_like(whole)
    along_core, around = unsurround(g, PLACE)
    assert torch.allclose((g * whole).sum(),
                          (core * along_core).sum() + (frame[:, :, 1, 2] * around).sum())


def test_parts_of_an_axis():
    part = AxisPartition.of(10, ((1, 3), (6, 9)))
    assert part.core == (3, 6)
    assert part.frame(np.arange(10), 5).tolist() == [0, 1, 1, 1, 9]
    assert part.reads(Slide(3, 1, 1)) == (2, 7)
    assert part.reads(Slide(2, 2)) == (6, 12)


class Planned:
    """The plan for a net on an image of `size` in which all that can runs apart."""

    def __init__(self, net, size):
        self.region = region.find(net.program)
        self.data = {self.region[0].number: size}
        self.survey = choice.Survey.of(self.region, self.data)
        _, tail, *_ = choice._tails(self.region, self.survey)
        _, _, self.frames = choice._option(self.region, self.survey, tail)
        self.above = [node for node in self.region if node.number in self.frames]
        self.below = plan._concerned(self.region, self.frames)

    def prove(self, survey=None, frames=None):
        for axis in (0, 1):
            core_frame.prove(self.below, survey or self.survey, frames or self.frames, self.data,
                             axis)


@pytest.fixture(params=[ALEXNET, INCEPTION, RESIDUAL + reader("b")])
def planned(net, request):
    return Planned(net(image(40, 33) + request.param), (40, 33))


def test_a_core_of_one_row_less_breaks_the_proof(planned):
    planned.prove()
    for node in planned.above:
        (first, start), later = planned.survey.runs[node.number][0]
        runs = ((first, start + 1), later), planned.survey.runs[node.number][1]
        with pytest.raises(Unproven):
            planned.prove(replace(planned.survey, runs={**planned.survey.runs,
                                                        node.number: runs}))


def test_a_frame_of_too_few_rows_breaks_the_proof(planned):
    for node in planned.above:
        if any(slide.extent > 1 for slide in node.slides):
            part, _ = core_frame.parts(planned.survey, node.number)
            count = np.array([part.last - part.first, planned.frames[node.number][1]])
            with pytest.raises(Unproven):
                planned.prove(frames={**planned.frames, node.number: count})


@pytest.mark.parametrize("size", [(500, 500), (375, 500)])
def test_vgg_saves_more_than_a_quarter_of_the_multiplications(vgg, size):
    found = region.find(vgg.program)
    plans = plan.plan(found, {found[0].number: size})
    vgg.blobs["data"].reshape(1, 3, *size)
    vgg.reshape()
    plain = done = 0
    for number, layer in enumerate(vgg.layers):
        if layer.type == "Convolution":
            shape, work = vgg.program.steps[number].top[0].shape[2:], layer.blobs[0].count
            plain += work * np.prod(shape)
            done += work * multiplied(plans.get(number), shape)
    assert done < 0.74 * plain
    apart_from = [vgg._layer_names[number] for number, each in plans.items()
                  if isinstance(each, core_frame.CoreFramePlan)]
    assert apart_from[0] == "conv3_1" and "conv4_3" in apart_from


def multiplied(planned, shape):
    """For how many places of a top a layer multiplies."""
    if planned is None:
        return np.prod(shape)
    if isinstance(planned, plan.RowPlan):
        return np.prod([n - 2 * left for n, left in zip(shape, planned.left)])
    frame = np.prod([spread.sizes[0] for spread in planned.frame])
    return frame + np.prod([stop - start for start, stop in planned.core])
