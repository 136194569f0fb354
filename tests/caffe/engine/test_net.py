"""Nets: how they are put together, run, shared and saved."""

import sys
import weakref

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import CaffeError, DeviceError, LayerError, WeightsError
from caffe.proto import caffe_pb2

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def fc(name, bottom, count, more=""):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {more} '
            f'inner_product_param {{ num_output: {count} weight_filler {{ type: "xavier" }} '
            'bias_filler { type: "constant" value: 0.5 } } }\n')


def layer(name, kind, bottoms, tops, more=""):
    blobs = " ".join([f'bottom: "{b}"' for b in bottoms.split()]
                     + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "{name}" type: "{kind}" {blobs} {more} }}\n'


CHAIN = INPUT + fc("a", "x", 4) + layer("relu", "ReLU", "a", "a") + fc("b", "a", 2)
X = np.array([[1, -2, 3], [0.5, 0, -1]], np.float32)


def linear(x, params):
    weight, bias = (blob.data for blob in params)
    return x @ weight.T + bias


# running


def test_names(net):
    chain = net('name: "chain" ' + CHAIN)
    assert chain.name == "chain"
    assert (chain.inputs, chain.outputs) == (["x"], ["b"])
    assert list(chain.blobs) == ["x", "a", "b"] and list(chain.params) == ["a", "b"]
    assert list(chain.layer_dict) == ["x", "a", "relu", "b"] == list(chain._layer_names)
    assert chain.layer_dict["relu"].type == "ReLU" and len(chain.layers) == 4
    assert (chain.top_names["relu"], chain.bottom_names["b"]) == (["a"], ["a"])


def test_forward_takes_inputs_and_returns_outputs(net):
    chain = net(CHAIN)
    found = chain.forward(x=X, blobs=["a"])
    hidden = np.maximum(linear(X, chain.params["a"]), 0)
    assert set(found) == {"a", "b"}
    np.testing.assert_allclose(found["a"], hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["b"], linear(hidden, chain.params["b"]), rtol=1e-5)


def test_forward_in_parts(net):
    chain = net(CHAIN)
    whole = chain.forward(x=X)["b"].copy()
    assert set(chain.forward(end="relu")) == {"a"}
    chain.blobs["a"].data[...] *= 2
    twice = chain.forward(start="b")["b"]
    np.testing.assert_allclose(twice - 0.5, 2 * (whole - 0.5), rtol=1e-4, atol=1e-6)


def test_backward_in_parts_is_backward_as_a_whole(net):
    chain = net("force_backward: true " + CHAIN)
    chain.forward(x=X)
    diff = np.array([[1, 2], [3, -1]], np.float32)
    whole = chain.backward(b=diff, diffs=["a"])
    assert set(whole) == {"x", "a"}
    whole = {name: array.copy() for name, array in whole.items()}
    for name in "xa":
        chain.blobs[name].diff[...] = 0
    chain.blobs["b"].diff[...] = diff
    assert set(chain.backward(end="b")) == {"a"}
    part = chain.backward(start="relu")
    np.testing.assert_array_equal(part["x"], whole["x"])
    hidden = linear(X, chain.params["a"]) > 0
    expected = (diff @ chain.params["b"][0].data * hidden) @ chain.params["a"][0].data
    np.testing.assert_allclose(whole["x"], expected, rtol=1e-5)


def test_gradients_of_parameters_add_up(net):
    chain = net(CHAIN.replace("top: \"b\"", "top: \"b\" loss_weight: 1"))
    chain.forward(x=X)
    chain.backward()
    once = chain.params["a"][0].diff.copy()
    chain.backward()
    np.testing.assert_allclose(chain.params["a"][0].diff, 2 * once, rtol=1e-6)
    chain.clear_param_diffs()
    assert once.any() and not chain.params["a"][0].diff.any()


@pytest.mark.parametrize("call, complaint", [
    (lambda n: n.forward(y=X), r"inputs of the net are \['x'\], given were \['y'\]"),
    (lambda n: n.forward(x=X[:1]), r"input 'x' has the shape \(2, 3\), given was \(1, 3\)"),
    (lambda n: n.forward(end="c"), "no layer 'c'"),
    (lambda n: n.forward(blobs=["c"]), "no blob 'c'"),
    (lambda n: n.backward(a=X), r"outputs of the net are \['b'\], given were \['a'\]")])
def test_what_cannot_be_run(net, call, complaint):
    with pytest.raises(CaffeError, match=complaint):
        call(net(CHAIN))


def test_every_way_to_make_a_net(tmp_path):
    path, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")
    (tmp_path / "net.prototxt").write_text(
        CHAIN + layer("more", "Power", "b", "c", 'include { stage: "s" min_level: 2 }'))
    first = caffe.Net(path, caffe.TEST)
    first.save(weights)
    for made in (caffe.Net(path, np.int64(caffe.TEST), 2, ["s"], weights),
                 caffe.Net(path, caffe.TEST, level=2, stages=["s"], weights=weights),
                 caffe.Net(network_file=path, phase=caffe.TEST, level=2, stages=["s"],
                           weights=weights)):
        assert "more" in made.layer_dict and made.layers[1].phase == caffe.TEST
        np.testing.assert_array_equal(made.params["a"][0].data, first.params["a"][0].data)
    for made in (caffe.Net(path, weights, caffe.TEST),
                 caffe.Net(path, caffe.TEST, 0, None, weights)):
        assert "more" not in made.layer_dict and made.layers[1].phase == caffe.TEST
        np.testing.assert_array_equal(made.params["a"][0].data, first.params["a"][0].data)


@pytest.mark.parametrize("args, kwargs", [
    ((), {}), ((7,), {}), ((caffe.TEST,), {"phase": caffe.TEST}), (("w", caffe.TEST, 0), {}),
    ((caffe.TEST, 0, None, None, 1), {}), ((caffe.TEST,), {"wieghts": "w"}), (("w",), {})])
def test_no_way_to_make_a_net(tmp_path, args, kwargs):
    with pytest.raises(CaffeError, match="net.prototxt: (expected Net|a net needs a phase)"):
        caffe.Net(str(tmp_path / "net.prototxt"), *args, **kwargs)


def test_batches_need_as_many_items_of_each_input(net):
    n = net(INPUT.replace('top: "x" input', 'top: "x" top: "z" input').replace(
        "dim: 3 } }", "dim: 3 } }") + layer("s", "Silence", "x z", ""))
    for arrays in ({}, {"x": np.zeros((5, 3)), "z": np.zeros((4, 3))}):
        with pytest.raises(LayerError, match="as many items for each of the inputs"):
            n.forward_all(**arrays)


def test_what_old_scripts_import():
    from caffe._caffe import RMSPropSolver
    from caffe.pycaffe import Net, SGDSolver, Timer
    assert (Net, SGDSolver, RMSPropSolver) == (caffe.Net, caffe.SGDSolver, caffe.RMSPropSolver)
    assert caffe.classifier.Classifier is caffe.Classifier and Timer().ms == 0
    with pytest.raises(CaffeError, match="NCCL.new_uid"):
        caffe.NCCL(None, None)


@pytest.mark.parametrize("between", [
    layer("between", "Dropout", "x", "y"),
    layer("between", "Slice", "x", "y z", "slice_param { slice_point: 1 }"),
    layer("between", "Crop", "x x", "y", "crop_param { axis: 0 }")])
def test_what_passes_values_on_copies_them(net, between):
    n = net(INPUT + between)
    n.forward(x=X)
    n.blobs["y"].data[...] = -9
    np.testing.assert_array_equal(n.blobs["x"].data, X)


def test_outputs_are_sorted(net):
    n = net(INPUT + layer("two", "Slice", "x", "z a", "slice_param { slice_point: 1 }"))
    assert n.outputs == ["a", "z"] and list(n.forward()) == ["a", "z"]


def test_a_loss_needs_no_top(net, tmp_path):
    """As the original, which calls it (automatic) and counts it, but not as an output."""
    targets = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }\n'
    named = net(INPUT + targets + fc("a", "x", 3) + layer("loss", "EuclideanLoss", "a t", "loss"))
    n = net(INPUT + targets + fc("a", "x", 3) + layer("loss", "EuclideanLoss", "a t", ""))
    for blob, other in zip(named.params["a"], n.params["a"]):
        other.data[...] = blob.data
    for each in (named, n):
        each.forward(x=X, t=np.ones((2, 3)))
        each.backward()
    assert n.outputs == [] and n.blob_loss_weights["(automatic)"] == 1
    assert n.blobs["(automatic)"].data == named.blobs["loss"].data > 0
    np.testing.assert_array_equal(n.params["a"][0].diff, named.params["a"][0].diff)
    n.save(str(tmp_path / "n.caffemodel"))
    saved = caffe_pb2.NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
    assert saved.layer[-1].name == "loss" and not saved.layer[-1].top


def test_end_returns_all_its_tops(net):
    n = net(INPUT + layer("two", "Slice", "x", "l r", "slice_param { slice_point: 1 }"))
    assert list(n.forward(end="two")) == ["l", "r"]


def test_inputs_broadcast_behind_the_batch_alone(net):
    n = net(CHAIN)
    n.forward(x=np.array([[1], [2]]))
    np.testing.assert_array_equal(n.blobs["x"].data, [[1, 1, 1], [2, 2, 2]])
    for shape in ((1, 3), (2, 2)):
        with pytest.raises(LayerError, match=r"input 'x' has the shape \(2, 3\), given was"):
            n.forward(x=np.zeros(shape))


def test_any_number_of_inputs_in_batches(net):
    n = net("force_backward: true\n" + CHAIN)
    x = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    found = n.forward_all(blobs=["a"], x=x)
    hidden = np.maximum(linear(x, n.params["a"]), 0)
    np.testing.assert_allclose(found["a"], hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["b"], linear(hidden, n.params["b"]), rtol=1e-5, atol=1e-6)
    outputs, diffs = n.forward_backward_all(diffs=["a"], x=x, b=np.ones((5, 2)))
    np.testing.assert_array_equal(outputs["b"], found["b"])
    np.testing.assert_allclose(diffs["a"], np.ones((5, 2)) @ n.params["b"][0].data * (hidden > 0),
                               rtol=1e-5)
    assert diffs["x"].shape == x.shape


def test_callbacks_get_the_number_of_each_layer(net):
    n, calls = net("force_backward: true\n" + CHAIN), []
    for kind in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(n, kind)(lambda number, kind=kind: calls.append((kind, number)))
    n.forward()
    n.backward()
    names = range(len(n.layers))
    assert calls == [(f"{when}_forward", i) for i in names for when in ("before", "after")] + [
        (f"{when}_backward", i) for i in reversed(names) for when in ("before", "after")]


def test_memory_of_the_last_pass_goes_before_the_next(net, monkeypatch):
    n = net("force_backward: true " + CHAIN)
    n.forward()
    last = weakref.ref(n.blobs["b"]._data.tensor), weakref.ref(n.layer_dict["b"].weights[0])
    alive, compute = [], n.layer_dict["a"].compute

    def look(*bottom):
        alive.extend(reference() for reference in last)
        return compute(*bottom)
    monkeypatch.setattr(n.layer_dict["a"], "compute", look)
    n.forward()
    assert alive == [None, None]


def test_data_layers_and_callbacks_see_the_last_pass(net, monkeypatch):
    n, seen = net(CHAIN), []
    expected = [n.forward(x=X)["b"].tolist()] * 2

    def look(*_):
        seen.append(n.blobs["b"].data.tolist())
    with monkeypatch.context() as patched:
        patched.setattr(n.layer_dict["x"], "forward", look)
        n.forward()
    n.before_forward(lambda number: number == 1 and look())
    n.forward()
    assert seen == expected


def test_what_old_scripts_look_up_by_number(net):
    n = net(CHAIN)
    assert n._layer_names == ["x", "a", "relu", "b"]
    assert n._blob_names == ["x", "a", "b"]
    assert [n._blob_names[i] for i in n._outputs] == ["b"] and n._inputs == [0]
    assert n._bottom_ids(3) == [1] and n._top_ids(3) == [2]


def test_set_input_arrays_needs_a_memory_data_layer(net):
    with pytest.raises(LayerError, match="begins with a MemoryData layer, not with 'x' .Input"):
        net(CHAIN).set_input_arrays(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))


def test_reshape_follows_the_input(net):
    chain = net(CHAIN)
    chain.blobs["x"].reshape(5, 3)
    chain.reshape()
    assert chain.blobs["b"].shape == (5, 2)
    x = np.tile(X[:1], (5, 1))
    np.testing.assert_array_equal(chain.forward(x=x)["b"], np.tile(chain.blobs["b"].data[:1],
                                                                   (5, 1)))


def test_held_views_show_every_forward(net):
    chain = net(CHAIN)
    views = {name: blob.data for name, blob in chain.blobs.items()}
    for scale in (1, -1, 2):
        views["x"][...] = scale * X
        chain.forward()
        for name, blob in chain.blobs.items():
            np.testing.assert_array_equal(views[name], blob.data)
        hidden = np.maximum(linear(scale * X, chain.params["a"]), 0)
        np.testing.assert_allclose(views["b"], linear(hidden, chain.params["b"]), rtol=1e-5)


def test_gradients_in_place_while_a_view_is_held(net):
    built = net("force_backward: true " + INPUT + layer("p", "Power", "x", "p")
                + layer("square", "Power", "p", "p", "power_param { power: 2 }"))
    view = built.blobs["p"].data
    built.forward(x=X)
    np.testing.assert_array_equal(view, X ** 2)
    # the square of 2 x, of the value that is there by then, as in the original
    np.testing.assert_allclose(built.backward(p=np.ones_like(X))["x"], 4 * X ** 4, rtol=1e-6)


def test_what_others_read_is_not_written_in_place(net):
    """The original complains, too: its split leaves two blobs of one name."""
    with pytest.raises(LayerError, match="'r' .ReLU. writes in place the blob 'x', which is read"):
        net(INPUT + layer("p", "Power", "x", "p") + layer("r", "ReLU", "x", "x"))


def test_after_a_reshape_layers_that_keep_state_need_a_forward_pass(net):
    built = net("force_backward: true " + CHAIN
                + layer("kept", "Eltwise", "b b", "c", "eltwise_param { operation: MAX }"))
    built.forward()
    built.blobs["x"].reshape(5, 3)
    built.reshape()
    with pytest.raises(LayerError, match=r"'kept' \(Eltwise\), bottoms 'b' \(5, 2\).*: a bottom "
                                         r"was reshaped after the forward pass.*\(2, 2\)"):
        built.backward(c=np.ones((5, 2)))
    built.forward()
    assert built.backward(c=np.ones((5, 2)))["x"].shape == (5, 3)


def test_after_a_reshape_of_the_bottom_alone_every_backward_pass_says_so(net):
    built = net("force_backward: true " + CHAIN)
    built.forward()
    built.blobs["x"].reshape(5, 3)
    for _ in range(2):
        with pytest.raises(LayerError, match=r"bottoms 'x' \(5, 3\).*: a bottom was reshaped after "
                           r"the forward pass, in which the shapes of its tops were \(2, \d\)"):
            built.backward(b=np.ones((2, 2)))
    built.forward()
    assert built.backward(b=np.ones((5, 2)))["x"].shape == (5, 3)


def test_after_a_reshape_other_layers_take_what_is_there(net):
    built = net("force_backward: true " + CHAIN)
    built.forward()
    built.blobs["x"].reshape(5, 3)
    built.reshape()
    built.blobs["x"].data[...] = built.blobs["a"].data[...] = 1
    a, b = built.params["a"], built.params["b"]
    dx = built.backward(b=np.ones((5, 2)))["x"]
    np.testing.assert_allclose(dx, np.ones((5, 2)) @ b[0].data @ a[0].data, rtol=1e-5)
    np.testing.assert_allclose(a[0].diff, (np.ones((5, 2)) @ b[0].data).T @ np.ones((5, 3)),
                               rtol=1e-5)


def test_backward_takes_what_a_blob_holds_by_then(net):
    built = net("force_backward: true " + INPUT + fc("a", "x", 4) + layer("s", "Sigmoid", "a", "a"))
    built.forward(x=X)
    view = built.blobs["a"].data
    built.forward(end="a")
    slope = view * (1 - view)       # not of the sigmoid, which the product has overwritten
    found = built.backward(a=np.ones((2, 4)))["x"]
    np.testing.assert_allclose(found, slope @ built.params["a"][0].data, rtol=1e-4, atol=1e-6)


def test_a_seed_repeats_fillers_and_dropout(net):
    text = CHAIN + layer("drop", "Dropout", "b", "d")
    found = []
    for _ in range(2):
        caffe.set_random_seed(4)
        found.append(net(text, phase=caffe.TRAIN).forward(x=X)["d"].copy())
    np.testing.assert_array_equal(*found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_mode_without_a_gpu():
    with pytest.raises(DeviceError, match=r"GPU 0 .*no GPU.*set_mode_cpu\(\)"):
        caffe.set_mode_gpu()
    caffe.set_device(3)     # scripts choose a device before they choose the CPU
    caffe.set_mode_cpu()
    with pytest.raises(DeviceError, match="GPU 3"):
        caffe.set_mode_gpu()
    caffe.set_device(0)


# putting together


@pytest.mark.parametrize("rules, state, kept", [
    ("include { phase: TRAIN }", dict(phase=caffe.TRAIN), True),
    ("include { phase: TRAIN }", dict(phase=caffe.TEST), False),
    ("exclude { phase: TEST }", dict(phase=caffe.TEST), False),
    ("include { phase: TRAIN } include { stage: 's' }", dict(stages=["s"]), True),
    ("include { stage: 's' stage: 't' }", dict(stages=["s"]), False),
    ("include { not_stage: 's' }", dict(stages=["s"]), False),
    ("include { not_stage: 's' }", {}, True),
    ("include { min_level: 2 max_level: 3 }", dict(level=2), True),
    ("include { min_level: 2 }", dict(level=1), False),
    ("exclude { min_level: 2 }", dict(level=1), True)])
def test_rules(net, rules, state, kept):
    built = net(INPUT + layer("p", "Power", "x", "p", rules), **state)
    assert ("p" in built.layer_dict) == kept


def test_rules_of_both_kinds(net):
    with pytest.raises(LayerError, match="'p' has both include and exclude"):
        net(INPUT + layer("p", "Power", "x", "p",
                          "include { stage: 's' } exclude { min_level: 1 }"))


def test_splits_have_the_original_s_names(net):
    text = (INPUT + fc("a", "x", 3) + layer("relu", "ReLU", "a", "a")
            + layer("s", "Eltwise", "a x", "s") + layer("t", "Eltwise", "a s", "t"))
    built = net(text)
    assert {"x_x_0_split", "a_relu_0_split"} <= set(built.layer_dict)
    assert built.bottom_names["s"] == ["a_relu_0_split_0", "x_x_0_split_1"]
    assert built.bottom_names["t"] == ["a_relu_0_split_1", "s"]


def test_a_split_adds_gradients_up(net):
    built = net("force_backward: true " + INPUT + layer("p", "Power", "x", "p", """
        power_param { scale: 3 }""") + layer("s", "Eltwise", "p x", "s"))
    built.forward(x=X)
    np.testing.assert_allclose(built.backward(s=np.ones_like(X))["x"], np.full_like(X, 4))


def test_loss_weights(net):
    built = net("force_backward: true " + INPUT
                + layer("p", "Power", "x", "p", "loss_weight: 3 power_param { scale: 2 }")
                + layer("q", "Power", "p", "q", "loss_weight: 5"))
    assert (built.blob_loss_weights["q"], built.blob_loss_weights["x"]) == (5, 0)
    built.forward(x=X)
    np.testing.assert_allclose(built.backward()["x"], np.full_like(X, 2 * (3 + 5)))


def test_gradients_flow_only_to_what_learns(net):
    loss = layer("l", "SoftmaxWithLoss", "b y", "l")
    text = CHAIN + 'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }'
    for more, reaches_a, reaches_x in (("", True, False), ("force_backward: true ", True, True)):
        built = net(more + text + loss)
        built.forward(x=X, y=np.array([0, 1]))
        built.backward()
        assert built.blobs["a"].diff.any() == reaches_a
        assert built.blobs["x"].diff.any() == reaches_x
    frozen = text.replace('top: "a"', 'top: "a" param { lr_mult: 0 } param { lr_mult: 0 }', 1)
    built = net(frozen + loss)
    built.forward(x=X, y=np.array([0, 1]))
    built.backward()
    assert not built.blobs["a"].diff.any() and built.params["b"][0].diff.any()
    assert not built.params["a"][0].diff.any()


def test_without_a_loss_nothing_runs_backward(net):
    chain = net(CHAIN)
    chain.forward(x=X)
    chain.backward(b=np.ones((2, 2)))
    assert not chain.blobs["a"].diff.any() and not chain.params["b"][0].diff.any()


def test_parameters_of_one_name_are_one(net):
    shared = 'param { name: "w" } param { name: "b" }'
    built = net("force_backward: true " + INPUT + fc("a", "x", 3, shared) + fc("b", "a", 3, shared))
    built.params["a"][0].data[...] = np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(built.params["b"][0].data, built.params["a"][0].data)
    built.forward(x=X)
    built.backward(b=np.ones((2, 3)))
    np.testing.assert_allclose(built.params["a"][1].diff,     # 2 from b, and those through W
                               2 + 2 * built.params["a"][0].data.sum(0))


def test_parameters_of_one_name_need_one_shape(net):
    first, second = 'param { name: "w" }', 'param { name: "w" share_mode: PERMISSIVE }'
    with pytest.raises(LayerError, match=r"'b'.*Cannot share param 'w' owned by layer 'a'.*"
                                         r"\(4, 3\), here \(3, 4\)"):
        net(INPUT + fc("a", "x", 4, first) + fc("b", "a", 3, first))
    built = net(INPUT + fc("a", "x", 4, first) + fc("b", "a", 3, second))
    built.params["a"][0].data[...] = np.arange(12).reshape(4, 3)
    assert built.params["b"][0].data.ravel().tolist() == list(range(12))


@pytest.mark.parametrize("first, second, learning", [
    ("", "lr_mult: 0", "a"), ("lr_mult: 0", "", "b"), ("lr_mult: 0", "lr_mult: 0", "")])
def test_each_layer_gives_its_part_of_a_gradient_as_its_own_multiplier_says(net, first, second,
                                                                            learning):
    """The rate of all is 0, but clip_gradients counts the gradient."""
    built = net(INPUT + fc("a", "x", 3, f'param {{ name: "w" {first} }}')
                + fc("b", "a", 3, f'param {{ name: "w" {second} }} loss_weight: 1'))
    weights, gradient = built.params["a"][0], np.ones((2, 3), np.float32)
    weights.data[...] = np.arange(9).reshape(3, 3)
    a = built.forward(blobs=["a"], x=X)["a"]
    built.backward(b=gradient)
    parts = {"a": (gradient @ weights.data).T @ X, "b": gradient.T @ a, "": np.zeros((3, 3))}
    np.testing.assert_allclose(weights.diff, parts[learning], rtol=1e-5)
    assert built.program.learnable[0][1].lr_mult == 0


def test_parameters_of_one_name_have_one_multiplier(net):
    def built(first, second):
        return net(INPUT + fc("a", "x", 3, f'param {{ name: "w" {first} }}')
                   + fc("b", "a", 3, f'param {{ name: "w" {second} }}'))
    assert built("", "lr_mult: 5").program.learnable[0][1].lr_mult == 5
    assert built("lr_mult: 5", "").program.learnable[0][1].lr_mult == 5
    with pytest.raises(LayerError, match="'b'.*'w' lr_mult 5, its layer 'a' gives 2"):
        built("lr_mult: 2", "lr_mult: 5")


def test_share_with(net):
    one, two = net(CHAIN), net(CHAIN)
    two.share_with(one)
    one.params["a"][0].data[...] = 7
    assert (two.params["a"][0].data == 7).all()
    with pytest.raises(WeightsError, match=r"share param 0 .* layer 'a'.*\(5, 3\).*\(4, 3\)"):
        net(INPUT + fc("a", "x", 5)).share_with(one)


# files


def test_save_and_copy_from(net, tmp_path):
    one, two = net('name: "chain" ' + CHAIN), net(CHAIN)
    path = str(tmp_path / "chain.caffemodel")
    one.save(path)
    two.copy_from(path)
    three = net(CHAIN, path)
    for name, blobs in one.params.items():
        for i, blob in enumerate(blobs):
            np.testing.assert_array_equal(blob.data, two.params[name][i].data)
            np.testing.assert_array_equal(blob.data, three.params[name][i].data)


def test_a_saved_net_is_a_net_parameter(net, tmp_path):
    built = net('name: "chain" ' + CHAIN)
    built.save(str(tmp_path / "chain.caffemodel"))
    param = caffe_pb2.NetParameter.FromString((tmp_path / "chain.caffemodel").read_bytes())
    assert param.name == "chain" and [x.name for x in param.layer] == list(built.layer_dict)
    weight = param.layer[1].blobs[0]
    assert list(weight.shape.dim) == [4, 3]
    np.testing.assert_array_equal(weight.data, built.params["a"][0].data.ravel())


def test_copy_from_takes_layers_of_equal_names_alone(net, tmp_path):
    path = str(tmp_path / "chain.caffemodel")
    chain = net(CHAIN)
    chain.save(path)
    other = net(INPUT + fc("a", "x", 4) + fc("c", "a", 2))
    before = other.params["c"][0].data.copy()
    other.copy_from(path)
    np.testing.assert_array_equal(other.params["a"][0].data, chain.params["a"][0].data)
    np.testing.assert_array_equal(other.params["c"][0].data, before)


def test_copy_from_leaves_the_net_as_it_was_if_a_shape_is_wrong(net, tmp_path):
    path = str(tmp_path / "chain.caffemodel")
    net(CHAIN).save(path)
    other = net(INPUT + fc("a", "x", 4) + fc("b", "a", 3))
    before = other.params["a"][0].data.copy()
    with pytest.raises(WeightsError, match=r"copy param 0 .* layer 'b'.*\(2, 4\).*\(3, 4\)"):
        other.copy_from(path)
    np.testing.assert_array_equal(other.params["a"][0].data, before)


# Python layers


class Affine(caffe.Layer):
    """y = w * x + (param_str), with a parameter that learns."""

    def setup(self, bottom, top):
        self.offset = float(self.param_str)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 2

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data * bottom[0].data + self.offset

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data * top[0].diff


@pytest.fixture
def affine(monkeypatch):
    monkeypatch.setitem(sys.modules, "some_layers", sys.modules[__name__])
    return layer("y", "Python", "x", "y", 'loss_weight: 1 python_param { module: "some_layers" '
                                          'layer: "Affine" param_str: "0.25" }')


def test_python_layer(net, affine):
    built = net("force_backward: true " + INPUT + affine)
    np.testing.assert_array_equal(built.forward(x=X)["y"], 2 * X + 0.25)
    np.testing.assert_array_equal(built.backward()["x"], np.full_like(X, 2))
    assert built.params["y"][0].diff == pytest.approx(X.sum())
    assert built.layers[1].param_str == "0.25"


class OfItsTime(caffe.Layer):
    """As in Faster R-CNN of 2015: param_str_, and settings by the name of the phase."""

    def setup(self, bottom, top):
        self.factor = {"TRAIN": 2, "TEST": 3}[str(self.phase)] * float(self.param_str_)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data


@pytest.mark.parametrize("phase, factor", [(caffe.TRAIN, 20), (caffe.TEST, 30)])
def test_python_layers_of_2015(net, monkeypatch, phase, factor):
    monkeypatch.setitem(sys.modules, "some_layers", sys.modules[__name__])
    built = net(INPUT + layer("y", "Python", "x", "y", 'python_param { module: "some_layers" '
                              'layer: "OfItsTime" param_str: "10" }'), phase=phase)
    np.testing.assert_array_equal(built.forward(x=X)["y"], factor * X)
    assert built.layers[1].phase == phase and f"{built.layers[1].phase:d}" == str(phase)


def test_python_layer_learns(affine, tmp_path):
    (tmp_path / "net.prototxt").write_text(INPUT + affine)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.5 lr_policy: "fixed"')
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    solver.net.blobs["x"].data[...] = X
    solver.step(1)
    assert solver.net.params["y"][0].data == pytest.approx(2 - 0.5 * X.sum())
