"""What is left out, and that it is proven."""

import numpy as np
import pytest

from caffe.engine.elision import choice, plan, region
from caffe.engine.elision.rows import spare
from caffe.engine.layers import registry
from caffe.engine.layers.activation import ReLU
from trunks import ALEXNET, INCEPTION, RESIDUAL, conv, image, layer, pool, reader

# what the closed form for VGG-16 leaves out of each convolution, at each end
CLOSED_FORM = {"conv1_1": 92, "conv1_2": 92, "conv2_1": 40, "conv2_2": 40, "conv3_1": 12,
               "conv3_2": 12, "conv3_3": 12, "conv4_1": 4, "conv4_2": 2, "conv4_3": 0}
# the most that can be: all but one of the equal rows
MOST = {"conv1_1": 97, "conv1_2": 95, "pool1": 46, "conv2_1": 44, "conv2_2": 42, "pool2": 20,
        "conv3_1": 18, "conv3_2": 16, "conv3_3": 14, "pool3": 6, "conv4_1": 4, "conv4_2": 2,
        "conv4_3": 0, "pool4": 0}


class Planned:
    """The plan for a net on an image of `size`."""

    def __init__(self, net, size):
        self.region = region.find(net.program)
        self.data = {self.region[0].number: size}
        self.survey = choice.Survey.of(self.region, self.data)
        _, self.left, _ = choice._option(self.region, self.survey, [])
        self.most = {node.number: np.array([spare(runs) for runs in
                                            self.survey.runs[node.number]])
                     for node in self.region}
        self.names = {node.number: net._layer_names[node.number] for node in self.region}

    def prove(self, **changes):
        """Prove the plan, or one that leaves out {layer: (rows, columns)} instead."""
        left = {number: changes.get(name, self.left[number])
                for number, name in self.names.items()}
        for axis in (0, 1):
            plan.prove(self.region, self.survey, left, self.data, axis)


@pytest.mark.parametrize("size", [(500, 500), (375, 500), (333, 500), (64, 97), (1, 2), (256, 243)])
def test_vgg_leaves_out_what_the_closed_form_says_or_more(vgg, size):
    planned = Planned(vgg, size)
    most = {planned.names[number]: tuple(rows) for number, rows in planned.most.items()}
    assert {name: most[name] for name in MOST} == {name: (n, n) for name, n in MOST.items()}
    for number, name in planned.names.items():
        left = planned.left[number]
        assert (left >= CLOSED_FORM.get(name, 0)).all() and (left <= planned.most[number]).all()


@pytest.mark.parametrize("size", [(500, 500), (375, 500)])
def test_the_plan_hardly_depends_on_what_copies_cost(vgg, monkeypatch, size):
    """On a GPU, copies and passes cost some three times as many multiplications, poolings less."""
    plans = []
    for copy, one_pass, pooled in ((choice.COPY, region.PASS, region.POOLED), (400, 25, 25)):
        monkeypatch.setattr(choice, "COPY", copy)
        monkeypatch.setattr(region, "PASS", one_pass)
        monkeypatch.setattr(region, "POOLED", pooled)
        planned = Planned(vgg, size)
        plans.append(choice.choose(planned.region, planned.survey)[0])
    (left, frames), (of_gpu, frames_of_gpu) = plans
    assert frames and frames.keys() == frames_of_gpu.keys()
    for number, rows in left.items():
        if planned.names[number].startswith(("conv", "pool")):
            allowed = 12 if planned.names[number] in ("conv1_1", "conv1_2") else 6
            assert (np.abs(rows - of_gpu[number]) <= allowed).all()


@pytest.mark.parametrize("trunk", [ALEXNET, INCEPTION, RESIDUAL])
def test_one_row_too_many_breaks_the_proof(net, cheap_copies, trunk):
    planned = Planned(net(image(40, 33) + trunk), (40, 33))
    assert sum(map(any, planned.left.values())) > 5
    planned.prove()
    for node in planned.region:
        if any(slide.extent > 1 for slide in node.slides):
            for axis, runs in enumerate(planned.survey.runs[node.number]):
                too_many = planned.left[node.number].copy()
                too_many[axis] = max(stop - start for start, stop in runs)     # none remains
                with pytest.raises(plan.Unproven):
                    planned.prove(**{planned.names[node.number]: too_many})


def test_every_row_of_a_run_can_be_left_out_but_one(net):
    made = net(image(20, 20) + conv("a", "data", 2, kernel_size=3, pad=30)
               + conv("b", "a", 2, kernel_size=3, pad=1)
               + pool("c", "b", kernel_size=2, stride=2))
    planned = Planned(made, (20, 20))
    assert [tuple(most) for most in planned.most.values()] == [
        (27, 27), (27, 27), (25, 25), (25, 25), (11, 11)]


def test_rows_and_columns_are_counted_apart(net, cheap_copies):
    planned = Planned(net(image(20, 20) + conv("a", "data", 2, kernel_size=3, pad_h=30, pad_w=1)
                          + reader("a")), (20, 20))
    assert planned.left[1].tolist() == [27, 0]


@pytest.mark.parametrize("text", [
    conv("a", "data", 2, kernel_size=3, pad=3) + conv("b", "a", 2, kernel_size=3, pad=1),
    pool("a", "data", kernel_size=3, stride=2)])
def test_small_paddings_are_left_alone(net, cheap_copies, text):
    found = region.find(net(image(400, 400) + text).program)
    assert not found or not plan.plan(found, {found[0].number: (400, 400)})


def test_what_sees_the_whole_image_ends_the_region(net):
    made = net(image(20, 20) + conv("a", "data", 2, kernel_size=3, pad=30)
               + 'layer { name: "m" type: "MVN" bottom: "a" top: "m" }'
               + 'layer { name: "d" type: "Dropout" bottom: "m" top: "d" }'
               + conv("b", "d", 2, kernel_size=3, pad=1))
    assert [made._layer_names[node.number] for node in region.find(made.program)] == ["a", "relu_a"]


def test_a_layer_of_another_type_ends_the_region(net, monkeypatch):
    class Shifted(ReLU):
        """Not what its base computes."""

    monkeypatch.setitem(registry.known, "Shifted", Shifted)
    made = net(image(20, 20) + conv("a", "data", 2, kernel_size=3, pad=30)
               + layer("b", "Shifted", "a"))
    assert [made._layer_names[node.number] for node in region.find(made.program)] == ["a", "relu_a"]


def test_without_a_proof_nothing_is_left_out(net, cheap_copies, monkeypatch):
    made = net(image(20, 20) + conv("a", "data", 2, kernel_size=3, pad=30) + reader("a"))
    found = region.find(made.program)
    assert plan.plan(found, {1: (20, 20)})
    monkeypatch.setattr(plan, "leave_out", lambda numbers, runs, count: numbers)
    assert not plan.plan(found, {1: (20, 20)})
