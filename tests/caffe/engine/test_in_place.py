"""Layers whose top is their bottom: which may be, as in the original, and which are refused."""

import re

import numpy as np
import pytest

import caffe
from caffe.engine.layers import TensorLayer, registry
from caffe.errors import LayerError
from single_layers import LAYERS, X

SHAPE = (2, 3, 4, 4)


def inputs(**shapes):
    return "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {dim}" for dim in shape) + " } } }\n" for name, shape in shapes.items())


def layer(kind, bottoms, tops, more="", name="layer"):
    blobs = " ".join([f'bottom: "{b}"' for b in bottoms.split()]
                     + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "{name}" type: "{kind}" {blobs} {more} }}\n'


CONV = "convolution_param { num_output: 3 kernel_size: %s weight_filler { value: 0.5 } }"

# types that the original refuses, whatever the shape
REFUSED = {
    "AbsVal": "", "Split": "", "Flatten": "flatten_param { axis: 1 end_axis: 1 }",
    "Reshape": "reshape_param { shape { dim: 0 dim: 3 dim: 4 dim: 4 } }",
}
# types whose results are an accident of overwritten memory
OVERWRITING = {
    "LRN": "", "Pooling": "pooling_param { kernel_size: 3 pad: 1 stride: 1 }",
    "InnerProduct": "inner_product_param { axis: 3 num_output: 4 }",
    "Convolution": CONV % 1, "Deconvolution": CONV % 1,
    "Im2col": "convolution_param { kernel_size: 1 }",
}


@pytest.mark.parametrize("kind", [*REFUSED, *OVERWRITING])
def test_refused_though_the_shape_would_fit(net, kind):
    more = {**REFUSED, **OVERWRITING}[kind]
    net(inputs(x=SHAPE) + layer(kind, "x", "y", more))
    with pytest.raises(LayerError, match=rf"'layer' \({kind}\).*'x'.*another name"):
        net(inputs(x=SHAPE) + layer(kind, "x", "x", more))


@pytest.mark.parametrize("kind, more, shape", [
    ("Pooling", "pooling_param { kernel_size: 2 }", None),
    ("Tile", "tile_param { tiles: 2 }", (2, 6, 4, 4)),
    ("ArgMax", "argmax_param { axis: 1 }", (2, 1, 4, 4)),
    ("Reduction", "reduction_param { axis: 1 }", (2,)),
    ("Convolution", CONV % "3 stride: 2", (2, 3, 1, 1)),
    ("SPP", "spp_param { pyramid_height: 2 }", None),
    ("Embed", "embed_param { input_dim: 5 num_output: 2 }", (*SHAPE, 2))])
def test_another_shape_is_refused(net, kind, more, shape):
    with pytest.raises(LayerError) as caught:
        net(inputs(x=SHAPE) + layer(kind, "x", "x", more))
    for fact in ["'layer'", kind, "'x' (2, 3, 4, 4)", "another name",
                 *([str(shape)] if shape else [])]:
        assert fact in str(caught.value)


def test_a_top_of_several_is_refused_too(net):
    with pytest.raises(LayerError, match=r"'layer' \(Slice\).*\(2, 1, 4, 4\).*another name"):
        net(inputs(x=SHAPE) + layer("Slice", "x", "x y z"))
    with pytest.raises(LayerError, match=r"'layer' \(Concat\).*\(2, 6, 4, 4\).*another name"):
        net(inputs(x=SHAPE, y=SHAPE) + layer("Concat", "x y", "x"))


@pytest.mark.parametrize("operation, fits", [("PROD", True), ("SUM", False), ("MAX", False)])
def test_eltwise(net, operation, fits):
    text = inputs(x=(2, 3), y=(2, 3)) + layer("Eltwise", "x y", "x",
                                              f"eltwise_param {{ operation: {operation} }}")
    if not fits:
        with pytest.raises(LayerError, match="'layer'.*'x'.*another name"):
            net(text)
        return
    built = net(text)
    built.blobs["x"].data[...], built.blobs["y"].data[...] = 3, 5
    built.forward()
    np.testing.assert_array_equal(built.blobs["x"].data, np.full((2, 3), 15))


def test_what_selects_items_is_refused(net):
    text = inputs(x=(2, 3), y=(2,))
    for kind in ("BatchReindex", "Filter"):
        with pytest.raises(LayerError, match="'layer'.*'x'.*another name"):
            net(text + layer(kind, "x y", "x"))


@pytest.mark.parametrize("kind", ["EuclideanLoss", "SigmoidCrossEntropyLoss"])
def test_losses_are_refused(net, kind):
    with pytest.raises(LayerError, match="'layer'.*'x'.*another name"):
        net(inputs(x=(2, 3), y=(2, 3)) + layer(kind, "x y", "x"))


def test_at_another_index_it_is_a_blob_produced_twice(net):
    text = inputs(x=(2, 3), y=(2, 3))
    with pytest.raises(LayerError, match="'layer'.*'y' as top 0 and as bottom 1"):
        net(text + layer("Eltwise", "x y", "y", "eltwise_param { operation: PROD }"))
    text = inputs(x=SHAPE, y=SHAPE)
    with pytest.raises(LayerError, match="'layer'.*'y' as top 0 and as bottom 1"):
        net(text + layer("Convolution", "x y", "y x", CONV % "3 pad: 1"))
    net(text + layer("Convolution", "x y", "x y", CONV % "3 pad: 1"))


ALLOWED = {
    "ReLU": "", "PReLU": "", "ELU": "", "Sigmoid": "", "TanH": "", "Exp": "", "BNLL": "",
    "Swish": "", "Power": "power_param { power: 2 shift: 1 }", "Log": "log_param { shift: 9 }",
    "Clip": "clip_param { min: -1 max: 1 }", "Dropout": "", "Softmax": "", "Threshold": "",
    "Scale": "scale_param { filler { value: 2 } bias_term: true }", "BatchNorm": "",
    "Bias": "bias_param { filler { value: 2 } }", "MVN": "",
    "Convolution": CONV % "3 pad: 1", "Deconvolution": CONV % "3 pad: 1",
    "Concat": "", "Slice": "", "Tile": "tile_param { tiles: 1 }",
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_is_allowed_gives_what_it_gives_elsewhere(net, kind):
    x = np.random.default_rng(2).normal(size=SHAPE)
    results = []
    for top in "yx":
        built = net(inputs(x=SHAPE) + layer(kind, "x", top, ALLOWED[kind]))
        built.forward(x=x)
        results.append(built.blobs[top].data.copy())
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("more", ["", "mvn_param { normalize_variance: false }"])
def test_mvn_in_place_passes_the_gradient_that_it_passes_elsewhere(net, more):
    rng = np.random.default_rng(2)
    x, slope = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    results = []
    for top in ("y", "p"):
        built = net("force_backward: true " + inputs(x=SHAPE) + layer("Power", "x", "p", name="p")
                    + layer("MVN", "p", top, more, name="m") + layer("TanH", top, "z", name="z"))
        built.forward(x=x)
        built.backward(z=slope)
        results.append(built.blobs["x"].diff.copy())
    assert np.abs(results[0]).max() > 0
    np.testing.assert_array_equal(*results)


def test_a_reshape_may_not_change_the_shape_either(net):
    built = net(inputs(x=(2, 3, 1, 1))
                + layer("Convolution", "x", "x", CONV % "3 pad: 1 stride: 2"))
    built.blobs["x"].reshape(2, 3, 4, 4)
    with pytest.raises(LayerError, match=r"'layer'.*\(2, 3, 2, 2\).*\(2, 3, 4, 4\).*another name"):
        built.reshape()


def test_a_python_layer_may_do_what_it_likes_in_place(net, monkeypatch):
    import sys
    import types

    class Shrink(caffe.Layer):
        def reshape(self, bottom, top):
            top[0].reshape(2, 2)

        def forward(self, bottom, top):
            pass

    module = types.ModuleType("shrinking")
    module.Shrink = Shrink
    monkeypatch.setitem(sys.modules, "shrinking", module)
    built = net(inputs(x=(2, 3)) + layer("Python", "x", "x",
                                         "python_param { module: 'shrinking' layer: 'Shrink' }"))
    assert built.blobs["x"].shape == (2, 2)


DIFF = np.random.default_rng(4).uniform(-1, 1, (2, 3)).astype(np.float32)


@pytest.mark.parametrize("kind, more, slope", [
    ("Power", "power_param { scale: 2 shift: 1 }", lambda y: np.full_like(y, 2)),
    ("Power", "power_param { power: 2 scale: 3 shift: 1 }", lambda y: 6 * (1 + 3 * y)),
    ("Power", "power_param { power: 3 scale: 0.5 shift: 4 }", lambda y: 1.5 * y / (4 + 0.5 * y)),
    ("Power", "power_param { power: 0 }", np.zeros_like),
    ("Log", "log_param { shift: 5 }", lambda y: 1 / (5 + y))])
def test_some_gradients_in_place_are_the_slope_squared(net, kind, more, slope):
    """As the original has it, in which the slope takes the place of the gradient from above."""
    built = net("force_backward: true " + inputs(x=(2, 3)) + layer(kind, "x", "x", more))
    built.forward(x=np.random.default_rng(5).uniform(0.5, 2, (2, 3)))
    built.blobs["x"].diff[...] = DIFF
    built.backward()
    np.testing.assert_allclose(built.blobs["x"].diff, slope(built.blobs["x"].data) ** 2, rtol=1e-4)


@pytest.mark.parametrize("stable", [True, False])
def test_the_gradients_of_a_product_in_place(net, stable):
    more = f"eltwise_param {{ operation: PROD stable_prod_grad: {str(stable).lower()} }}"
    built = net("force_backward: true " + inputs(x=(2, 3), z=(2, 3))
                + layer("Eltwise", "x z", "x", more))
    z = np.random.default_rng(6).uniform(0.5, 2, (2, 3))
    built.forward(x=np.random.default_rng(5).uniform(0.5, 2, (2, 3)), z=z)
    y = built.blobs["x"].data.copy()
    built.blobs["x"].diff[...] = DIFF
    built.backward()
    of_x = z ** 2 if stable else np.ones_like(z)
    np.testing.assert_allclose(built.blobs["x"].diff, of_x, rtol=1e-4)
    np.testing.assert_allclose(built.blobs["z"].diff, (y if stable else y / z) * of_x, rtol=1e-4)


class Squared(TensorLayer):
    """A layer of somebody's own, whose gradient depends on what it reads."""

    def compute(self, x):
        return x * x


class FromBuiltIn(registry.known["BNLL"]):
    """One that is made from a built-in type which needs no values that it has overwritten."""

    def compute(self, x):
        return x * x


@pytest.mark.parametrize("made", [Squared, FromBuiltIn])
@pytest.mark.parametrize("holds_view", [False, True])
def test_a_layer_of_ones_own_has_its_own_gradient_in_place(net, monkeypatch, holds_view, made):
    monkeypatch.setitem(registry.known, "Squared", made)
    x = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    text = inputs(x=SHAPE) + layer("Power", "x", "p", name="p") + layer("Squared", "p", "p")
    built = net("force_backward: true " + text + layer("Power", "p", "z", name="z"))
    view = built.blobs["p"].data if holds_view else None
    for _ in range(2):
        built.forward(x=x)
        built.blobs["z"].diff[...] = 3
        built.backward()
        np.testing.assert_allclose(built.blobs["x"].diff, 6 * x, rtol=1e-6)
    np.testing.assert_allclose(built.blobs["p"].data, x * x, rtol=1e-6)
    assert view is None or np.array_equal(view, built.blobs["p"].data)


# as the original has it, from the values that were written: docs/fidelity.md
FROM_WHAT_IS_WRITTEN = {"bnll", "clip", "conv", "depthwise", "hole", "log", "power"}
REFUSED_IN_PLACE = {"abs", "lrn", "lrn within", "normalize", "normalize each"}
# whose top has another shape than the bottom, so that they are never in place
OF_ANOTHER_SHAPE = {
    "conv rect", "deconv", "fc axis", "fc transposed", "argmax", "argmax values", "argmax all",
    "sum of squares", "mean", "asum", "slice", "slice height", "slice equally", "tile", "reshape",
    "reshape middle", "flatten", "flatten middle", "interp", "interp zoom", "interp shrink",
    "interp both", "padding", "padding cut", "permute", "floor pool", "global ave", "global max"}
IN_PLACE = [name for name, text in LAYERS.items()
            if X in text and name not in OF_ANOTHER_SHAPE | {"threshold"}]


def one_layer(name, top):
    """A net of x and that layer, whose top is y or, in place, the blob p of the values of x."""
    text = re.sub(r"num_output: \d", "num_output: 4", LAYERS[name])
    text = text.replace(X, f'bottom: "p" top: "{top}"')
    return ("force_backward: true " + inputs(x=(2, 4, 7, 6)) + layer("Power", "x", "p", name="p")
            + f'layer {{ name: "layer" {text} }}' + layer("Power", top, "z"))


@pytest.mark.parametrize("name", sorted(REFUSED_IN_PLACE))
def test_what_has_no_gradient_in_place_is_refused(net, name):
    with pytest.raises(LayerError, match="another name"):
        net(one_layer(name, "p"))


@pytest.mark.parametrize("name", [name for name in IN_PLACE if name not in REFUSED_IN_PLACE])
def test_gradients_in_place_are_those_elsewhere(net, name):
    rng = np.random.default_rng(3)
    shape = (2, 4, 7, 6)
    x, slope = rng.uniform(-2, 2, shape), rng.normal(size=shape)
    found = []
    for top in "yp":
        caffe.set_random_seed(4)
        built = net(one_layer(name, top))
        assert built.blobs["z"].shape == shape, "it belongs to OF_ANOTHER_SHAPE"
        built.forward(x=x)
        built.blobs["z"].diff[...] = slope
        built.backward()
        found.append([built.blobs["x"].diff.copy()] + [
            blob.diff.copy() for blob in built.params.get("layer", [])])
    is_equal = all(np.allclose(*pair, rtol=1e-5, atol=1e-6) for pair in zip(*found))
    assert is_equal == (name not in FROM_WHAT_IS_WRITTEN), (
        "its gradient in place is another: does it need the values that it has overwritten?"
        if not is_equal else "its gradient in place is right: take it from FROM_WHAT_IS_WRITTEN")


def test_without_a_gradient_in_place_that_of_the_top_does_not_pass_for_it(net):
    """The original ends the process there."""
    text = inputs(x=SHAPE) + layer("Power", "x", "p", name="p")
    built = net("force_backward: true " + text + layer("Threshold", "p", "p", name="t")
                + layer("Power", "p", "z"))
    built.forward(x=np.ones(SHAPE))
    built.blobs["z"].diff[...] = 1
    with pytest.raises(LayerError, match="'t'.*cannot propagate a gradient to bottom 0, 'p'"):
        built.backward()
