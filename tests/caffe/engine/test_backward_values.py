"""A backward pass uses the values that blobs hold when it runs, and what the forward pass kept, as
the original's layers do; where these are an accident of overwritten memory, it is an error."""

import numpy as np
import pytest

import caffe
from caffe.engine.blob import Blob
from caffe.errors import LayerError


@pytest.fixture
def build(tmp_path):
    """A function that builds a net with force_backward from inputs {name: shape} and layers."""
    def make(inputs, *layers):
        text = "force_backward: true\n"
        for name, shape in inputs.items():
            dims = " ".join(f"dim: {n}" for n in shape)
            text += (f'layer {{ name: "{name}" type: "Input" top: "{name}" '
                     f'input_param {{ shape {{ {dims} }} }} }}\n')
        path = tmp_path / "net.prototxt"
        path.write_text(text + "".join(f"layer {{ {layer} }}\n" for layer in layers))
        return caffe.Net(str(path), caffe.TEST)
    return make


def test_softmax_loss_takes_the_labels_of_now_and_the_probabilities_of_forward(build):
    net = build({"x": (1, 2), "label": (1,)},
                'name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" '
                'propagate_down: true propagate_down: false')
    net.forward()                   # the probabilities are 0.5 each
    net.blobs["x"].data[...] = 5, -5
    net.blobs["label"].data[...] = 1
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[0.5, -0.5]]
    net.blobs["label"].data[...] = 2
    with pytest.raises(LayerError, match=r"label 2 is outside \[0, 1\]"):
        net.backward()


@pytest.mark.parametrize("layer, shapes, value, message", [
    ("SoftmaxWithLoss", ((2, 3), (2,)), 3, r"label 3 is outside \[0, 2\]"),
    ("InfogainLoss", ((2, 3), (2,), (3, 3)), 3, r"label 3 is outside \[0, 2\]"),
    ("MultinomialLogisticLoss", ((2, 3), (2,)), -1, r"label -1 is outside \[0, 2\]"),
    ("HingeLoss", ((2, 3), (2,)), 3, r"label 3 is outside \[0, 2\]"),
    ("BatchReindex", ((2, 3), (4,)), 2, "index 2 is none of the 2 items, 0 to 1"),
    ("ROIPooling", ((2, 3, 4, 4), (1, 5)), 2, "begin with the index of one of 2 items"),
    ("PSROIPooling", ((2, 4, 4, 4), (1, 5)), 2, "begin with the index of one of 2 items"),
    ("Upsample", ((1, 1, 2, 2), (1, 1, 2, 2)), 16, "places of a top of 4 x 4"),
    ("Embed", ((2,),), 3, "rows of the weights")])
def test_what_is_no_class_or_index_any_more_is_refused(layer, shapes, value, message, build):
    """Written between the passes, it has the message that it has in a forward pass."""
    fields = {"ROIPooling": "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
              "PSROIPooling": "psroi_pooling_param { output_dim: 1 group_size: 2 "
                              "spatial_scale: 1 }",
              "Embed": "embed_param { input_dim: 3 num_output: 2 }"}.get(layer, "")
    names = [f"b{number}" for number in range(len(shapes))]
    net = build(dict(zip(names, shapes)), f'name: "y" type: "{layer}" top: "y" {fields}'
                + "".join(f' bottom: "{name}"' for name in names)
                + "".join(f" propagate_down: {str(name == 'b0' and layer != 'Embed').lower()}"
                          for name in names))
    net.forward()
    net.backward()
    net.blobs[names[:2][-1]].data[...] = value
    with pytest.raises(LayerError, match=message) as before_backward:
        net.backward()
    with pytest.raises(LayerError, match=message) as before_forward:
        net.forward()
    assert str(before_backward.value) == str(before_forward.value)


def test_the_second_top_of_a_softmax_loss_is_its_probabilities(build):
    net = build({"x": (1, 2), "label": (1,)},
                'name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" '
                'top: "p" loss_weight: 1 loss_weight: 0')
    net.forward()
    net.blobs["p"].data[...] = 0.25, 0.75
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[-0.75, 0.75]]


def test_swish_takes_its_top_of_now_and_the_sigmoid_of_forward(build):
    net = build({"x": (1, 1)}, 'name: "y" type: "Swish" bottom: "x" top: "y"')
    net.blobs["y"].diff[...] = 1
    with pytest.raises(LayerError, match="backward needs a forward pass of this layer first"):
        net.backward()
    net.forward()
    net.blobs["x"].data[...], net.blobs["y"].data[...] = 7, 3
    net.backward()
    assert net.blobs["x"].diff.item() == 3 + 0.5 * (1 - 3)


def test_lrn_takes_bottom_and_top_of_now_and_the_divisor_of_forward(build):
    net = build({"x": (1, 1, 1, 1)}, 'name: "y" type: "LRN" bottom: "x" top: "y" '
                'lrn_param { local_size: 1 alpha: 1 beta: 1 }')
    net.blobs["x"].data[...] = 1    # the divisor is 2
    net.forward()
    net.blobs["x"].data[...], net.blobs["y"].data[...], net.blobs["y"].diff[...] = 3, 5, 1
    net.backward()
    assert net.blobs["x"].diff.item() == 1 / 2 - 2 * 3 * (5 / 2)


def test_contrastive_loss_takes_the_pairs_that_are_alike_now(build):
    net = build({"a": (1, 1), "b": (1, 1), "alike": (1,)}, 'name: "loss" type: "ContrastiveLoss" '
                'bottom: "a" bottom: "b" bottom: "alike" top: "loss" propagate_down: true '
                'propagate_down: true propagate_down: false')
    net.blobs["a"].data[...] = 3    # farther than the margin, 1
    net.forward()
    net.blobs["a"].data[...] = 9
    net.blobs["alike"].data[...] = 1
    net.backward(end="loss")
    assert net.blobs["a"].diff.item() == 3 and net.blobs["b"].diff.item() == -3


def test_hinge_loss_leaves_its_margins_in_the_gradient_of_the_scores(build):
    net = build({"x": (1, 2), "label": (1,)}, 'name: "loss" type: "HingeLoss" bottom: "x" '
                'bottom: "label" top: "loss" propagate_down: true propagate_down: false')
    net.blobs["x"].data[...] = 0.25, 0.5
    net.forward()
    assert net.blobs["x"].diff.tolist() == [[0.75, 1.5]]
    net.blobs["x"].diff[...] = 0, 1
    net.backward()
    assert net.blobs["x"].diff.tolist() == [[0, 1]]


def test_max_pooling_follows_the_indices_in_its_second_top(build):
    net = build({"x": (1, 1, 1, 3)}, 'name: "y" type: "Pooling" bottom: "x" top: "y" top: "where" '
                'pooling_param { global_pooling: true }')
    net.blobs["x"].data[...] = 1, 3, 2
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.blobs["where"].data[...] = 2
    net.backward()
    assert net.blobs["x"].diff.ravel().tolist() == [0, 0, 1]
    net.blobs["where"].data[...] = 3
    with pytest.raises(LayerError, match="indices from 0 to 2 in the second top, got 3 to 3"):
        net.backward()


@pytest.mark.parametrize("bottoms, layer, slope", [
    (1, 'type: "Power" power_param { scale: 2 }', 2),
    (1, 'type: "Log"', 1 / np.log(3)),
    (2, 'type: "Eltwise" eltwise_param { operation: PROD }', 5)])
def test_in_place_these_pass_down_the_square_of_their_slope(build, bottoms, layer, slope):
    """The original writes the slope over the gradient by the top before it reads that."""
    names = ["x", "t"][:bottoms]
    net = build(dict.fromkeys(names, (1, 2)),
                'name: "l" top: "x" ' + layer + "".join(f' bottom: "{name}"' for name in names))
    for name, value in zip(names, (3, 5)):
        net.blobs[name].data[...] = value
    net.forward()
    net.blobs["x"].diff[...] = 100
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, slope ** 2, rtol=1e-5)


def test_a_prelu_in_place_keeps_its_bottom_and_takes_the_slope_of_now(build):
    net = build({"x": (1, 1)}, 'name: "l" type: "PReLU" bottom: "x" top: "x"')
    net.blobs["x"].data[...] = -2
    net.forward()
    net.params["l"][0].data[...] = 0.5
    net.blobs["x"].diff[...] = 1
    net.backward()
    assert net.blobs["x"].diff.item() == 0.5 and net.params["l"][0].diff.item() == -2


def test_the_gradient_of_a_scale_adds_up_only_over_more_than_one_item(build):
    """As in the original, which writes it straight to its place for a batch of 1."""
    for batch, expected in ((1, 3), (2, 12)):
        net = build({"x": (batch, 2)}, 'name: "l" type: "Scale" bottom: "x" top: "y"')
        net.blobs["x"].data[...] = 3
        net.blobs["y"].diff[...] = 1
        net.backward()
        net.backward()
        assert net.params["l"][0].diff.tolist() == [expected] * 2


def test_crop_leaves_the_gradient_of_its_reference_alone(build):
    net = build({"x": (1, 1, 2, 2), "like": (1, 1, 1, 1)},
                'name: "y" type: "Crop" bottom: "x" bottom: "like" top: "y"')
    net.forward()
    net.blobs["like"].diff[...] = 4
    net.backward()
    assert net.blobs["like"].diff.item() == 4


def test_an_unstable_product_divides_its_top_of_now(build):
    net = build({"a": (1,), "b": (1,)}, 'name: "y" type: "Eltwise" bottom: "a" bottom: "b" '
                'top: "y" eltwise_param { operation: PROD stable_prod_grad: false }')
    for name, value in (("a", 2), ("b", 4), ("y", 6)):
        net.blobs[name].data[...] = value
    net.blobs["y"].diff[...] = 1
    net.backward()
    assert net.blobs["a"].diff.item() == 3 and net.blobs["b"].diff.item() == 1.5


def test_batch_norm_keeps_the_values_of_its_forward_pass(build):
    net = build({"x": (3, 1)}, 'name: "y" type: "BatchNorm" bottom: "x" top: "y" '
                'batch_norm_param { use_global_stats: false }')
    net.blobs["x"].data[:, 0] = 1, 2, 4
    net.blobs["y"].diff[:, 0] = 1, 0, 0
    net.forward()
    net.backward()
    expected = net.blobs["x"].diff.copy()
    net.blobs["x"].data[:, 0] = 9, -9, 0
    net.backward()
    assert np.array_equal(net.blobs["x"].diff, expected) and expected.any()


def test_a_blob_that_shrinks_and_grows_keeps_its_first_values():
    blob = Blob()
    blob.reshape(4)
    blob.reshape(2)
    blob.data[...] = 1, 2
    blob.reshape(4)
    assert blob.data.tolist() == [1, 2, 0, 0]
    blob.reshape(5)
    assert blob.data.tolist() == [0] * 5


@pytest.mark.parametrize("kind, is_given", [
    ('"LRN"', True), ('"LRN" lrn_param { norm_region: WITHIN_CHANNEL }', False),
    ('"MVN"', True), ('"Softmax"', True), ('"BatchNorm"', True), ('"Sigmoid"', False),
    ('"Im2col" convolution_param { kernel_size: 1 }', True)])
def test_who_passes_a_gradient_down_whatever_propagate_down_says(tmp_path, kind, is_given):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 '
        'dim: 2 } } } layer { name: "bias" type: "Bias" bottom: "x" top: "b" } '
        f'layer {{ name: "y" bottom: "b" top: "y" propagate_down: false type: {kind} }} '
        'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 '
        'reduction_param { operation: SUMSQ } }')
    net = caffe.Net(str(path), caffe.TRAIN)
    rng = np.random.default_rng(0)
    net.blobs["x"].data[...] = rng.normal(size=net.blobs["x"].shape)
    net.blobs["b"].diff[...] = 7
    net.forward()
    net.backward()
    assert (net.blobs["b"].diff != 7).any() == is_given
