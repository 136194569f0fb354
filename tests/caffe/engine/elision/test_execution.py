"""Nets with padding elision and without it, in double precision: they must agree in all."""

import gc
import sys
import weakref

import numpy as np
import pytest
import torch

import caffe
from caffe.engine.elision import choice, reduced
from caffe.engine.layers import TensorLayer
from caffe.errors import LayerError
from trunks import (
    ALEXNET,
    FROZEN,
    INCEPTION,
    RESIDUAL,
    conv,
    fcn8s,
    image,
    layer,
    pool,
    random_trunk,
    reader,
)

pytestmark = pytest.mark.usefixtures("cheap_copies", "double")
BACKWARD = "force_backward: true\n"
SIMPLE = (BACKWARD + image(12, 15) + conv("conv1", "data", 3, kernel_size=3, pad=30)
          + conv("conv2", "conv1", 3, kernel_size=3, pad=1)
          + pool("pool", "conv2", kernel_size=2, stride=2)
          + conv("conv3", "pool", 2, kernel_size=3, pad=1)
          + layer("drop", "Dropout", "conv3", dropout_param="dropout_ratio: 0.5"))

LOSS = ('layer { name: "loss" type: "Reduction" bottom: "conv3" top: "loss" loss_weight: 1 '
        'reduction_param { operation: SUMSQ coeff: 0.01 } }')


def fill(net, seed):
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].shape)


def give_gradients(net, seed):
    rng = np.random.default_rng(seed)
    for name in net.outputs:
        net.blobs[name].diff[...] = rng.normal(size=net.blobs[name].shape)


def run(net, seed=0):
    """What a pass forward and backward leaves: {name: array}, without the blobs inside."""
    fill(net, seed)
    net.clear_param_diffs()
    net.forward()
    found = {name: net.blobs[name].data.copy() for name in net.outputs}
    give_gradients(net, seed + 1)
    net.backward()
    found.update({name + "/diff": net.blobs[name].diff.copy() for name in net.inputs})
    return {**found, **param_diffs(net)}


def param_diffs(net):
    return {f"{name}/{i}": blob.diff.copy() for name, blobs in net.params.items()
            for i, blob in enumerate(blobs)}


def datas(net):
    return {name: blob.data.copy() for name, blob in net.blobs.items()}


def diffs(net):
    return {name: blob.diff.copy() for name, blob in net.blobs.items()}


def plainly(function, net, *args):
    """What a function of a net gives without elision."""
    net.elide_padding = False
    found = function(net, *args)
    net.elide_padding = True
    return found


def check_equal(actual, expected, tolerance=1e-12):
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        limit = tolerance * max(1, np.abs(values).max(initial=0))
        np.testing.assert_allclose(actual[name], values, rtol=0, atol=limit, err_msg=name)


def check_runs(net):
    """The layers that leave rows out, of a net that must give the same with them."""
    elided, layers = run(net), set(net.elided_layers)
    assert layers
    check_equal(elided, plainly(run, net))
    return layers


# values and gradients

@pytest.mark.parametrize("trunk", [ALEXNET, INCEPTION, RESIDUAL])
@pytest.mark.parametrize("size", [(9, 14), (30, 23), (57, 64)])
def test_trunks(net, trunk, size):
    check_runs(net(BACKWARD + image(*size) + trunk))


def test_a_frozen_bn_leaves_out_rows_as_well(net):
    assert {"bn", "a", "bn_a", "p"} <= check_runs(net(BACKWARD + image(30, 23) + FROZEN))


@pytest.mark.parametrize("size", [(33, 50), (64, 41)])
def test_fcn8s(net, size):
    check_runs(net(fcn8s(*size)))


def test_a_size_whose_blobs_are_as_large_as_the_smaller_ones_before(net):
    """conv4_2 keeps 41 of 45 rows of the first image, and has 41 for the second."""
    made, plain = net(fcn8s(160, 160)), net(fcn8s(160, 160))
    plain.elide_padding = False
    plain.share_with(made)
    for size in [(160, 160), (128, 129), (160, 129)]:
        for each in (made, plain):
            each.blobs["data"].reshape(1, 3, *size)
            fill(each, 0)
            each.forward()
        check_equal(datas(made), datas(plain))


@pytest.mark.parametrize("seed", range(40))
def test_random_trunks(net, seed):
    try:
        made = net(BACKWARD + random_trunk(np.random.default_rng(seed)))
    except LayerError:
        pytest.skip("its windows do not fit")
    check_equal(run(made), plainly(run, made))


def test_in_single_precision(net):
    torch.set_default_dtype(torch.float32)
    caffe.set_random_seed(0)    # with others, rounding may decide which of two is the largest
    made = net(fcn8s(40, 40))
    elided, plain = run(made), plainly(run, made)
    check_equal(elided, plain, 1e-5)


@pytest.mark.parametrize("size", [(15, 1), (1, 1), (60, 1)])
def test_strides_that_step_over_the_whole_image(net, size):
    check_runs_or_not(net(BACKWARD + image(*size) + conv("a", "data", 64, kernel_size=1, pad=101,
                                                         stride=2)
                          + conv("b", "a", 64, kernel_size=1) + conv("c", "b", 2, kernel_size=1)))


def check_runs_or_not(net):
    check_equal(run(net), plainly(run, net))


def test_two_trunks_that_meet(net):
    made = net(BACKWARD + image(20, 31) + image(20, 31, "other")
               + conv("a", "data", 2, kernel_size=3, pad=40)
               + conv("b", "other", 2, kernel_size=5, pad=41)
               + layer("sum", "Eltwise", "a b") + pool("p", "sum", kernel_size=2, stride=2)
               + pool("q", "b", kernel_size=2, stride=2) + layer("both", "Concat", "p q")
               + conv("c", "both", 2, kernel_size=3, pad=1) + reader("c"))
    assert {"a", "b", "sum", "p", "q", "both", "c"} <= check_runs(made)


def test_gradients_of_blobs_after_a_solver_s_step(tmp_path):
    """The step has changed the weights; the gradients are those before it."""
    found = []
    (tmp_path / "net.prototxt").write_text(image(12, 15) + ALEXNET + LOSS)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 '
        f'snapshot_prefix: "{tmp_path}/s" random_seed: 3')
    for elide in (True, False):
        solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
        solver.net.elide_padding = elide
        fill(solver.net, 0)
        solver.step(2)
        assert bool(solver.net.elided_layers) == elide
        weights = {name: blobs[0].data.copy() for name, blobs in solver.net.params.items()}
        found.append({**diffs(solver.net), **param_diffs(solver.net)})
        for name, blobs in solver.net.params.items():
            np.testing.assert_array_equal(blobs[0].data, weights[name])
    check_equal(*found, 1e-9)


def one_layer(folder, elide):
    """A solver of a net with one padded layer, whose bottom gets no gradient."""
    (folder / "net.prototxt").write_text(
        image(12, 15) + layer("conv3", "Convolution", "data", convolution_param='num_output: 3 '
                              'kernel_size: 3 pad: 30 weight_filler { type: "gaussian" }') + LOSS)
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" base_lr: 1e-4 lr_policy: "fixed" momentum: 0.9 '
        f'snapshot_prefix: "{folder}/s" random_seed: 3')
    solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
    solver.net.elide_padding = elide
    fill(solver.net, 0)
    return solver


def test_backward_in_part_after_a_solver_s_step(tmp_path):
    """Blobs keep the values of the forward pass, and gradients are of these."""
    found = []
    for elide in (True, False):
        solver = one_layer(tmp_path, elide)
        net = solver.net
        solver.step(1)
        assert bool(net.elided_layers) == elide
        net.backward(start="loss", end="loss")
        found.append({**datas(net), **diffs(net), **param_diffs(net)})
        net.clear_param_diffs()
        net.backward(start="conv3")
        found[-1]["again"] = net.params["conv3"][0].diff.copy()
    check_equal(*found)


def test_gradients_of_layers_that_share_a_parameter_after_a_solver_s_step(tmp_path):
    """What the solver has subtracted is added again once, not for each of the layers."""
    found = []
    text = (BACKWARD + image(12, 15) + conv("conv1", "data", 2, kernel_size=3, pad=30)
            + conv("conv3", "conv1", 2, kernel_size=3, pad=1) + LOSS)
    shared = 'param { name: "kernel" } param { name: "bias" } convolution_param'
    (tmp_path / "net.prototxt").write_text(text.replace("convolution_param", shared))
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" '
        f'snapshot_prefix: "{tmp_path}/s" random_seed: 3')
    for elide in (True, False):
        solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
        solver.net.elide_padding = elide
        fill(solver.net, 0)
        solver.step(1)
        assert bool(solver.net.elided_layers) == elide
        found.append({**diffs(solver.net), **param_diffs(solver.net)})
    check_equal(*found, 1e-9)


def test_weights_that_a_script_has_changed_by_a_little_are_others(net, tmp_path):
    changed = one_layer(tmp_path, True).net
    changed.forward()
    changed.params["conv3"][0].data[...] *= 1 + 1e-6
    with pytest.raises(LayerError, match="elide_padding = False before it"):
        changed.backward(start="loss", end="loss")
    held = net(SIMPLE)
    weights = held.params["conv1"][0].data
    fill(held, 0)
    held.forward()
    weights *= 1 + 1e-6
    held.backward()
    with pytest.raises(LayerError, match="elide_padding = False before it"):
        held.blobs["conv1"].diff
    looked_at = net(SIMPLE)
    run(looked_at)
    looked_at.params["conv1"][0].data
    assert looked_at.blobs["conv1"].diff.any()


@pytest.mark.parametrize("kind", ["Sigmoid", "TanH"])
def test_an_array_of_a_gradient_held_before_the_pass(net, kind):
    """What is in place below it runs backward once."""
    text = SIMPLE.replace(conv("conv2", "conv1", 3, kernel_size=3, pad=1),
                        f'layer {{ name: "between" type: "{kind}" bottom: "conv1" '
                        f'top: "conv1" }}' + conv("conv2", "conv1", 3, kernel_size=3, pad=1)
                        + conv("other", "conv1", 3, kernel_size=3, pad=1))
    made, plain = net(text + LOSS), net(text + LOSS)
    for a, b in zip(made.params.values(), plain.params.values()):
        for mine, theirs in zip(a, b):
            theirs.data[...] = mine.data
    plain.elide_padding = False
    held = made.blobs["conv1"].diff
    made.forward()
    assert made.elided_layers
    for each in (made, plain):
        run(each)
    check_equal(param_diffs(made), param_diffs(plain))
    np.testing.assert_allclose(held, plain.blobs["conv1"].diff, rtol=0, atol=1e-12)


UPDATES = {
    "through new arrays": lambda blob, held: np.subtract(blob.data, 0.1 * blob.diff, out=blob.data),
    "a little": lambda blob, held: np.subtract(blob.data, 1e-8 * blob.diff, out=blob.data),
    "through arrays held": lambda blob, held: np.subtract(held, 0.1 * blob.diff, out=held),
    "only read": lambda blob, held: blob.data.mean()}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("other_data", [False, True])
@pytest.mark.parametrize("again", ["", "whole", "part"])
def test_gradients_of_blobs_after_an_update_by_hand(net, update, other_data, again):
    """Loops that scripts write: forward, backward, an update of params, and then a look."""
    made, plain = net(SIMPLE + LOSS), net(SIMPLE + LOSS)
    found = []
    for a, b in zip(made.params.values(), plain.params.values()):
        for mine, theirs in zip(a, b):
            theirs.data[...] = mine.data
    plain.elide_padding = False
    for each in (made, plain):
        blobs = [blob for blobs in each.params.values() for blob in blobs]
        held = [blob.data if update == "through arrays held" else None for blob in blobs]
        for seed in range(2):
            run(each, seed)
            assert seed or bool(each.elided_layers) == (each is made)
            for blob, array in zip(blobs, held):
                UPDATES[update](blob, array)
            if other_data:
                fill(each, seed + 7)
            if again == "whole":
                each.backward()
            elif again == "part":
                each.backward(start="conv2")
            found.append({**diffs(each), **datas(each), **param_diffs(each),
                          **{f"weights{i}": blob.data.copy() for i, blob in enumerate(blobs)}})
    for mine, theirs in zip(found[:2], found[2:]):
        check_equal(mine, theirs, 1e-10)


def test_solver_steps_agree(tmp_path):
    finals = []
    for elide in (True, False):
        (tmp_path / "net.prototxt").write_text(
            image(12, 15) + ALEXNET + LOSS)
        (tmp_path / "solver.prototxt").write_text(
            f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 '
            'weight_decay: 0.01 random_seed: 3 iter_size: 2')
        solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
        solver.net.elide_padding = elide
        for step in range(3):
            fill(solver.net, step)
            solver.step(1)
        finals.append({f"{name}/{i}": blob.data.copy() for name, blobs
                       in solver.net.params.items() for i, blob in enumerate(blobs)})
        assert bool(solver.net.elided_layers) == elide
    check_equal(*finals)


# blobs look whole

def test_blobs_inside_are_whole_when_somebody_reads_them(net):
    made = net(SIMPLE)
    run(made)
    assert len(made.elided_layers) >= 5
    elided = datas(made)
    plainly(run, made)
    check_equal(elided, datas(made))


def test_views_show_every_pass(net):
    made = net(SIMPLE)
    views = {name: made.blobs[name].data for name in made.blobs}
    for seed in (1, 2):
        run(made, seed)
        assert made.elided_layers
        shown = {name: view.copy() for name, view in views.items()}
        other = net(SIMPLE)
        other.share_with(made)
        plainly(run, other, seed)
        check_equal(shown, datas(other))


def test_reshaping_between_passes(net):
    made = net(SIMPLE)
    for size in [(12, 15), (30, 7), (12, 15), (9, 9)]:
        made.blobs["data"].reshape(2, 2, *size)
        elided = run(made)
        assert made.elided_layers
        inside = datas(made)
        check_equal(elided, plainly(run, made))
        check_equal(inside, datas(made))


def test_values_survive_a_reshape_that_nobody_computed_for(net):
    made, other = net(SIMPLE), net(SIMPLE)
    other.share_with(made)
    found = []
    for each, elide in ((made, True), (other, False)):
        each.elide_padding = elide
        run(each)
        each.blobs["data"].reshape(1, 2, 8, 8)
        each.reshape()
        found.append(datas(each))
    check_equal(*found)


@pytest.mark.parametrize("seen", ["conv1", "pool"])
def test_backward_after_a_reshape_says_that_data_have_changed(net, seen):
    made = net(SIMPLE)
    fill(made, 0)
    made.forward()
    assert made.elided_layers and made.blobs[seen].data.any()
    made.blobs["data"].reshape(1, 2, 8, 8)
    made.reshape()
    with pytest.raises(LayerError, match="have changed since the forward pass"):
        made.backward()
    check_equal(run(made), plainly(run, made))


def test_share_with(net):
    made, other = net(SIMPLE), net(SIMPLE)
    other.share_with(made)
    check_equal(run(made), run(other))
    made.params["conv2"][0].data[...] *= 2
    check_equal(run(other), plainly(run, made))


class Twice(caffe.Layer):
    """y = 2 x, and remembers x."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.seen = bottom[0].data.copy()
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 2 * top[0].diff


def test_a_python_layer_reads_a_blob_inside(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "some_layers", sys.modules[__name__])
    made = net(SIMPLE + layer("twice", "Python", "conv2",
                              python_param='module: "some_layers" layer: "Twice"'))
    check_runs(made)
    assert made.layer_dict["twice"].seen.shape == made.blobs["conv2"].shape


# nets without a backward pass

TRUNKS = {"FCN-8s": fcn8s(61, 70), **{name: image(60, 67) + trunk for name, trunk in (
    ("AlexNet", ALEXNET), ("Inception", INCEPTION), ("residual", RESIDUAL), ("frozen", FROZEN))},
    **{f"random {seed}": random_trunk(np.random.default_rng(seed)) for seed in range(12)}}


@pytest.mark.parametrize("text", TRUNKS.values(), ids=TRUNKS)
def test_without_a_backward_pass_no_copies_are_kept(net, monkeypatch, text):
    made, copies = net(text.replace("force_backward: true", "")), []

    def remembering(function):
        def run(*args):
            copies.append(weakref.ref(result := function(*args)))
            return result
        return run
    for name in ("spread", "surround"):
        monkeypatch.setattr(reduced, name, remembering(getattr(reduced, name)))
    for seed in range(3):
        expected = plainly(forward, made, seed)
        copies.clear()
        fill(made, seed)
        made.forward()
        assert made.elided_layers
        kept = {tensor.data_ptr() for copy in copies if (tensor := copy()) is not None}
        check_equal(datas(made), expected)
        # but for those that a layer which leaves nothing out reads
        assert kept <= {blob.data_to_read.data_ptr() for blob in made.blobs.values()}
    following = made._layer_names[2]
    made.forward(end=made._layer_names[1])
    made.forward(start=following)
    check_equal(datas(made), expected)


@pytest.mark.parametrize("where", [1, 2, 3])
@pytest.mark.parametrize("name", ["FCN-8s", "Inception", "residual"])
def test_without_a_backward_pass_wherever_the_map_is_first_divided(net, monkeypatch, name, where):
    """Also at a Split, whose tops are the copy that is its bottom."""
    tails = choice._tails
    monkeypatch.setattr(choice, "LEAST_SAVING", -9)
    monkeypatch.setattr(choice, "_tails", lambda *given: tails(*given)[where:][:1] or [[]])
    made = net(TRUNKS[name].replace("force_backward: true", ""))
    for seed in range(2):
        expected = plainly(forward, made, seed)
        fill(made, seed)
        made.forward()
        outputs = {name: made.blobs[name].data.copy() for name in made.outputs}
        check_equal(outputs, {name: expected[name] for name in outputs})
        check_equal(datas(made), expected)


# what a step of a training frees

def twice(net, release, seed):
    """What two backward passes leave, of which the first may free memory."""
    fill(net, seed)
    net.forward()
    found = {}
    for number in range(2):
        net.clear_param_diffs()
        give_gradients(net, seed + number)
        net.run_backward(release=release and not number)
        if number or seed % 2:
            found.update({f"{name} {number}": array for name, array in
                          {**diffs(net), **param_diffs(net)}.items()})
    return found


@pytest.mark.parametrize("elide", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("text", TRUNKS.values(), ids=TRUNKS)
def test_a_second_backward_pass_after_one_that_freed_memory(net, text, elide):
    made = net(BACKWARD + text.replace(BACKWARD, ""))
    for seed in range(3):
        found = []
        for release in (False, True):
            made.elide_padding = elide      # whoever reads gradients inside has turned it off
            found.append(twice(made, release, seed))
        check_equal(*found)


@pytest.mark.parametrize("name", ["FCN-8s", "AlexNet", "Inception"])
def test_what_would_be_computed_again_is_freed(net, name):
    made = net(BACKWARD + TRUNKS[name].replace(BACKWARD, ""))
    assert kept(made, release=False) > kept(made, release=True)


@pytest.mark.parametrize("kind", [reduced.ReducedLayer, reduced.ReducedCoreFrame])
def test_copies_of_bottoms_are_freed(net, monkeypatch, kind):
    made = net(BACKWARD + TRUNKS["FCN-8s"].replace(BACKWARD, ""))
    freed = kept(made, release=True)
    monkeypatch.setattr(kind, "release_copies", lambda self: None)
    assert kept(made, release=True) > freed


def test_what_autograd_recorded_of_frames_is_freed(net, monkeypatch):
    made = net(BACKWARD + TRUNKS["FCN-8s"].replace(BACKWARD, ""))
    freed, forget, layers = kept(made, release=True), TensorLayer.forget_forward, set(made.layers)
    monkeypatch.setattr(TensorLayer, "forget_forward",
                        lambda layer: forget(layer) if layer in layers else None)
    assert kept(made, release=True) > freed


def kept(made, release):
    """The bytes of all tensors of blobs that there are after a pass forward and backward."""
    made.cuda_graphs = False        # which keep the memory of a pass
    fill(made, 0)
    made.forward()
    assert made.elided_layers
    give_gradients(made, 1)
    made.run_backward(release=release)
    gc.collect()
    # only blobs of these tests are in double precision; other tests leave tensors without storage
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
                for tensor in gc.get_objects()
                if type(tensor) is torch.Tensor and tensor.dtype == torch.float64}
    return sum(storages.values())


def forward(net, seed):
    fill(net, seed)
    net.forward()
    return datas(net)


# passes in part

def test_forward_in_parts(net):
    made = net(SIMPLE)
    expected = plainly(run, made)["drop"]
    for name in ("conv1", "relu_conv1", "conv2", "pool", "conv3"):
        following = made._layer_names[made._index(name) + 1]
        made.forward(end=name)
        made.forward(start=following)
        np.testing.assert_allclose(made.blobs["drop"].data, expected, rtol=0, atol=1e-12)


def test_a_pass_that_starts_at_the_first_convolution(net):
    made = net(SIMPLE)
    expected = plainly(run, made)["drop"]
    made.forward(start="conv1")
    assert made.elided_layers
    np.testing.assert_allclose(made.blobs["drop"].data, expected, rtol=0, atol=1e-12)
    made.forward(start="relu_conv1")
    assert not set(made.elided_layers) - {"conv1"}


def in_parts(net, name):
    """Gradients of a pass whose backward is cut below a layer."""
    fill(net, 0)
    net.clear_param_diffs()
    net.forward()
    give_gradients(net, 1)
    net.backward(end=name)
    net.backward(start=net._layer_names[net._index(name) - 1])
    return {**param_diffs(net), **diffs(net)}


@pytest.mark.parametrize("name", ["conv1", "relu_conv1", "conv2", "pool", "conv3", "drop"])
def test_backward_in_parts(net, name):
    made = net(SIMPLE)
    check_equal(in_parts(made, name), plainly(in_parts, made, name))


def written(net, name):
    """A pass in which somebody sets values of a blob halfway."""
    fill(net, 0)
    net.forward()
    net.blobs[name].data[:, :, ::3] = 0.5
    net.forward(start=net._layer_names[net._index("relu_" + name) + 1])
    return datas(net)


@pytest.mark.parametrize("name", ["conv1", "conv2", "conv3"])
def test_who_writes_into_a_blob_finds_it_used(net, name):
    made = net(SIMPLE)
    check_equal(written(made, name), plainly(written, made, name))


def written_before_backward(net, name):
    fill(net, 0)
    net.clear_param_diffs()
    net.forward()
    net.blobs[name].data[:, :, ::3] = 0.5
    give_gradients(net, 1)
    net.backward()
    return {**param_diffs(net), **datas(net), **diffs(net)}


@pytest.mark.parametrize("name", ["conv1", "conv2", "pool", "conv3"])
def test_who_writes_before_backward_finds_it_used(net, name):
    made = net(SIMPLE)
    check_equal(written_before_backward(made, name), plainly(written_before_backward, made, name))


# gradients by blobs

def test_gradients_by_blobs_are_computed_when_somebody_asks(net):
    made = net(SIMPLE)
    found = run(made)
    elided = diffs(made)
    assert not made.elide_padding and not made.elided_layers
    check_equal(param_diffs(made), {name: found[name] for name in param_diffs(made)})
    expected = plainly(run, made)
    check_equal(elided, diffs(made))
    check_equal(run(made), expected)


def test_a_held_view_of_a_gradient_shows_every_pass(net):
    made = net(SIMPLE)
    view = made.blobs["conv2"].diff
    for seed in (1, 2):
        elided = run(made, seed)
        shown = view.copy()
        check_equal(elided, plainly(run, made, seed))
        check_equal({"conv2": shown}, {"conv2": made.blobs["conv2"].diff})


def test_gradients_of_other_weights_are_refused(net):
    made, other = net(SIMPLE), net(SIMPLE)
    run(made)
    made.share_with(other)
    for _ in range(2):
        with pytest.raises(LayerError, match="elide_padding = False"):
            made.blobs["conv1"].diff
    check_equal(run(made), plainly(run, made))


def test_whoever_watches_sees_whole_layers(net):
    made = net(SIMPLE)
    expected = plainly(run, made)
    for hook in (made.before_forward, made.after_forward, made.before_backward,
                 made.after_backward):
        hook(lambda number: None)
        check_equal(run(made), expected)
        assert not made.elided_layers
        for functions in made._callbacks.functions.values():
            functions.clear()
    made.debug_info.enabled = True
    check_equal(run(made), expected)
    assert not made.elided_layers


def test_a_hook_that_is_added_before_backward(net):
    made = net(SIMPLE)
    seen = []
    fill(made, 0)
    made.forward()
    give_gradients(made, 1)
    made.after_backward(lambda number: seen.append(made.blobs["conv2"].diff.copy()))
    made.backward()
    plainly(run, made)
    np.testing.assert_allclose(seen[-1], made.blobs["conv2"].diff, rtol=0, atol=1e-12)


def test_a_net_goes_with_its_last_holder(net):
    made = net(SIMPLE)
    run(made)
    found = weakref.ref(made), weakref.ref(made.blobs["conv1"]), weakref.ref(made._eliding)
    gc.disable()
    try:
        del made
        assert [reference() for reference in found] == [None] * 3
    finally:
        gc.enable()


def test_gradients_after_the_data_took_another_size(net):
    made = net(SIMPLE)
    plainly(run, made)
    diffs(made)
    for size in [(12, 15), (20, 20), (8, 8)]:
        made.blobs["data"].reshape(1, 2, *size)
        run(made)
    assert made.elided_layers
    elided = diffs(made)
    plainly(run, made)
    check_equal(elided, diffs(made))


@pytest.mark.parametrize("shape", [(0, 2, 12, 15), (3, 2, 1, 1)])
def test_batches_of_other_sizes(net, shape):
    made = net(SIMPLE)
    made.blobs["data"].reshape(*shape)
    check_runs(made)


def read_inside(net):
    """Have the gradients inside the trunk computed, or refused."""
    try:
        net.blobs["conv1"].diff
    except LayerError as error:
        assert "elide_padding = False" in str(error)
        return False
    return True


def test_gradients_at_the_entry_of_the_trunk_are_left_as_somebody_wrote_them(net):
    made = net(SIMPLE)
    run(made)
    made.blobs["data"].diff[...] = 7
    made.backward(start="drop", end="conv3")
    assert (made.blobs["data"].diff == 7).all()
    made.elide_padding = True
    run(made)
    made.blobs["data"].diff[...] = 7
    assert read_inside(made)
    assert (made.blobs["data"].diff == 7).all()


def test_gradients_that_cannot_be_computed_any_more_leave_the_values_alone(net):
    made, plain = net(SIMPLE), net(SIMPLE)
    plain.share_with(made)
    plain.elide_padding = False
    for each in (made, plain):
        run(each)
        each.forward()
        each.blobs["data"].data[...] = 1
        each.backward()
    assert not read_inside(made)
    check_equal(datas(made), datas(plain))
    for each in (made, plain):
        each.forward(start="conv3")
    check_equal(datas(made), datas(plain))
    with pytest.raises(LayerError, match="backward needs a forward pass of this layer first"):
        made.backward()
    check_equal(run(made), run(plain))


# the whole layer "norm" is cheaper than a copy, and the pooling alone leaves rows out
BELOW = (BACKWARD + image(7, 3) + layer(
    "conv1", "Convolution", "data", convolution_param='num_output: 2 kernel_size: 2 pad: 17 '
    'weight_filler { type: "gaussian" }')
         + layer("norm", "MVN", "conv1") + pool("pool", "conv1", kernel_size=3, stride=2))
# nothing asks for the gradient of the branch "right"
ONE_SIDED = (image(12, 9) + conv("conv1", "data", 3, kernel_size=3, pad=30)
             + conv("left", "conv1", 2, kernel_size=3)
             + layer("right", "Pooling", "conv1", pooling_param="kernel_size: 3")
             + LOSS.replace("conv3", "left"))
FIXED = (image(12, 9) + conv("conv1", "data", 3, kernel_size=3, pad=30).replace(
    "convolution_param", "param { lr_mult: 0 } param { lr_mult: 0 } convolution_param")
         + layer("bn", "BatchNorm", "conv1", batch_norm_param="use_global_stats: true")
         + conv("conv3", "bn", 2, kernel_size=3) + LOSS)


def with_gradients_written(net):
    """All gradients after a pass before whose backward somebody wrote them."""
    for blob in net.params.get("bn", ()):
        blob.data[...] = 2
    fill(net, 0)
    net.forward()
    for seed, (name, blob) in enumerate(net.blobs.items()):
        if name != "loss":
            blob.diff[...] = np.random.default_rng(seed).normal(size=blob.shape)
    net.clear_param_diffs()
    net.backward()
    return {**param_diffs(net), **diffs(net)}


@pytest.mark.parametrize("text", [BELOW, ONE_SIDED, FIXED, SIMPLE],
                         ids=["below", "one-sided", "fixed", "simple"])
def test_gradients_that_somebody_wrote_count_where_no_layer_passes_one_down(net, text):
    made = net(text)
    check_equal(with_gradients_written(made), plainly(with_gradients_written, made))


def test_gradients_below_a_pooling_that_would_leave_out_rows_of_a_whole_blob(net):
    made = net(BELOW)
    run(made)
    found = diffs(made)
    plainly(run, made)
    check_equal(found, diffs(made))


INSIDE = "data", "conv1", "conv2", "pool", "conv3", "drop"
BRANCHED = (BACKWARD + image(12, 9) + conv("conv1", "data", 3, kernel_size=3, pad=30)
            + conv("left", "conv1", 2, kernel_size=3)
            + layer("right", "MVN", "conv1") + layer("top", "Power", "left"))


# the layer "drop", in place, leaves nothing out
DROPPED = (BACKWARD + image(12, 9) + layer(
    "conv1", "Convolution", "data", convolution_param='num_output: 2 kernel_size: 3 pad: 25 '
    'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }')
           + pool("pool", "conv1", kernel_size=2, stride=2)
           + conv("conv2", "pool", 3, kernel_size=3, pad=1)
           + layer("skip", "Power", "pool", power_param="scale: 0.5")
           + layer("drop", "Dropout", "conv2", "conv2")
           + conv("conv3", "conv2", 2, kernel_size=3, pad=1))


@pytest.mark.parametrize("kind", ["data", "diff"])
@pytest.mark.parametrize("end", [None, "relu_conv1", "relu_conv2"])
@pytest.mark.parametrize("text", [SIMPLE, BRANCHED, DROPPED],
                         ids=["simple", "branched", "dropped"])
def test_who_writes_after_backward_does_not_change_its_gradients(net, text, end, kind):
    """Nor do layers, in place, that did not run again before it."""
    for name in net(text).blobs:
        made, plain = net(text), net(text)
        plain.share_with(made)
        plain.elide_padding = False
        for each in (made, plain):
            run(each)
            assert bool(each.elided_layers) == (each is made)
            if end in each.layer_dict:
                each.forward(end=end)
                each.backward()
            getattr(each.blobs[name], kind)[...] = 0.5
        check_equal(diffs(made), diffs(plain))
        check_equal(datas(made), datas(plain))


@pytest.mark.parametrize("end", ["relu_conv1", "relu_conv2", "pool"])
@pytest.mark.parametrize("seed", [0, 1])
def test_layers_that_ran_again_before_backward(net, end, seed):
    """With the same data all is as before; with others, the layers above have other values."""
    made, plain = net(SIMPLE), net(SIMPLE)
    plain.share_with(made)
    plain.elide_padding = False
    for each in (made, plain):
        fill(each, 0)
        each.clear_param_diffs()
        each.forward()
        fill(each, seed)
        each.forward(end=end)
        give_gradients(each, 1)
    plain.backward()
    if seed:
        with pytest.raises(LayerError, match="elide_padding = False before it"):
            made.backward()
    else:
        made.backward()
        check_equal(param_diffs(made), param_diffs(plain))
        check_equal(diffs(made), diffs(plain))


@pytest.mark.parametrize("seen", [[], ["conv1"], INSIDE], ids=["none", "one", "all"])
@pytest.mark.parametrize("release", [False, True])
def test_backward_again_after_a_solver_s_step(net, release, seen):
    """As in Caffe: the values of the forward pass, and the weights after the step. What was left
    out would need those before it."""
    made, plain = net(SIMPLE), net(SIMPLE)
    plain.share_with(made)
    plain.elide_padding = False
    for each in (made, plain):
        fill(each, 0)
        each.clear_param_diffs()
        each.run_forward()
        give_gradients(each, 1)
        each.run_backward(release=release)
    assert made.elided_layers
    for blob, _ in made.program.learnable:
        blob.data_tensor.sub_(blob.diff_tensor)
    plain.clear_param_diffs()
    for each in (made, plain):
        each.weights_updated()
    for name in seen:
        check_equal({name: made.blobs[name].diff}, {name: plain.blobs[name].diff}, 1e-9)
    made.clear_param_diffs()
    for each in (made, plain):
        each.run_backward(release=release)
    check_equal(param_diffs(made), param_diffs(plain))
    if seen:
        check_equal(diffs(made), diffs(plain))
    else:
        assert made.elided_layers
        with pytest.raises(LayerError, match="because a solver changed the weights between"):
            made.blobs["conv1"].diff
    check_equal(datas(made), datas(plain))
