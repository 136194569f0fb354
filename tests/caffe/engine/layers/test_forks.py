"""The layers of Caffe's forks: gradients, what they refuse, and what the recordings do not show."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

import caffe
from caffe.errors import LayerError, WeightsError
from caffe.proto import caffe_pb2
from layer_checks import X, Z, backward, check_gradient, check_refused, normal, output

GAUSS = 'filler { type: "gaussian" std: 1 }'
IMAGE = {"x": (2, 3, 5, 6)}
SMOOTH = {
    "interp": (f'type: "Interp" {X} interp_param {{ height: 8 width: 4 }}', IMAGE),
    "interp, cut": (f'type: "Interp" {X} interp_param {{ zoom_factor: 3 pad_beg: -1 pad_end: -1 }}',
                    IMAGE),
    "padding": (f'type: "Padding" {X} padding_param {{ pad_beg: 2 pad_end: 1 }}', IMAGE),
    "padding, cut": (f'type: "Padding" {X} padding_param {{ pad_beg: -1 pad_end: -2 }}', IMAGE),
    "learning bn": (f'type: "BN" {X} bn_param {{ scale_{GAUSS} shift_{GAUSS} }}', IMAGE),
    "inference bn": (f'type: "BN" {X} bn_param {{ scale_{GAUSS} shift_{GAUSS} bn_mode: '
                     'INFERENCE }', IMAGE),
    "unpooling": (f'type: "Unpooling" {X} unpooling_param {{ kernel_size: 2 stride: 2 unpool_size: '
                  '12 }', IMAGE),
    "unpooling evenly": (f'type: "Unpooling" {X} unpooling_param {{ unpool: AVE kernel_size: 3 '
                         'stride: 2 unpool_h: 10 unpool_w: 13 }', IMAGE),
    "relu6": (f'type: "ReLU6" {X}', IMAGE),
    "axpy": ('type: "Axpy" bottom: "x" bottom: "z" bottom: "w" top: "y"',
             {"x": (2, 3, 1, 1), "z": (2, 3, 4, 5), "w": (2, 3, 4, 5)}),
    "axpy, short factor": ('type: "Axpy" bottom: "x" bottom: "z" bottom: "w" top: "y"',
                           {"x": (2, 3), "z": (2, 3, 4, 5), "w": (2, 3, 4, 5)}),
    "permute": (f'type: "Permute" {X} permute_param {{ order: 2 }}', IMAGE),
    "normalize": (f'type: "Normalize" {X} norm_param {{ scale_{GAUSS} }}', IMAGE),
    "normalize each": (f'type: "Normalize" {X} norm_param {{ across_spatial: false channel_shared: '
                       f'false scale_{GAUSS} }}', IMAGE),
    "depthwise": (f'type: "DepthwiseConvolution" {X} convolution_param {{ num_output: 6 '
                  'kernel_size: 3 }', IMAGE),
    "smooth": (f'type: "SmoothL1Loss" {Z} smooth_l1_loss_param {{ sigma: 2 }}',
               {"x": (2, 3), "z": (2, 3)}),
    "holes": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 kernel_size: 3 pad: 2 '
              'hole: 2 }', IMAGE),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


def test_training_bn_of_pspnet_has_the_gradient_of_the_batch(build):
    check_gradient(build, f'type: "BN" {X} bn_param {{ slope_{GAUSS} bias_{GAUSS} }}', IMAGE,
                   caffe.TRAIN, values=lambda rng, count: rng.normal(size=count))


REFUSED = {
    "pads": (f'type: "Interp" {X} interp_param {{ zoom_factor: 2 pad_beg: 1 }}', IMAGE,
             ["pad_beg", "at most 0", "1"]),
    "both signs": (f'type: "Padding" {X} padding_param {{ pad_beg: 2 pad_end: -1 }}', IMAGE,
                   ["both to pad or both to crop", "2 and -1"]),
    "no row": (f'type: "Padding" {X} padding_param {{ pad_beg: -3 pad_end: -2 }}', IMAGE,
               ["a row and a column stay", "(2, 3, 5, 6)"]),
    "no folder": ('type: "MatWrite" bottom: "x" mat_write_param { prefix: "/no/such/folder/" }',
                  IMAGE, ["a prefix in an existing folder", "/no/such/folder/"]),
    "period": ('type: "MatWrite" bottom: "x" mat_write_param { prefix: "x" period: 0 }', IMAGE,
               ["period of at least 1"]),
    "no size": (f'type: "Interp" {X} interp_param {{ height: 3 }}', IMAGE,
                ["both height and width"]),
    "no second": (f'type: "Interp" {X} interp_param {{ zoom_factor: 3 use_blob_size: true }}',
                  IMAGE, ["zoom_factor", "a second bottom"]),
    "nothing left": (f'type: "Interp" {X} interp_param {{ zoom_factor: 2 pad_beg: -5 }}', IMAGE,
                     ["at least one row", "(0, 1)"]),
    "which bn": (f'type: "BN" {X}', IMAGE, ["frozen: false", "bn_mode: LEARN", "weights"]),
    "both bns": (f'type: "BN" {X} bn_param {{ frozen: true bn_mode: LEARN }}', IMAGE,
                 ["mixes", "frozen", "bn_mode", "SegNet"]),
    "bn's tops": (f'type: "BN" {X} top: "m" bn_param {{ bn_mode: INFERENCE }}', IMAGE, ["LEARN"]),
    "mask's shape": ('type: "Upsample" bottom: "x" bottom: "z" top: "y"',
                     {**IMAGE, "z": (2, 3, 5, 5)}, ["mask of the same shape", "(2, 3, 5, 5)"]),
    "scale": (f'type: "Upsample" {Z} upsample_param {{ scale: 1 }}', {**IMAGE, "z": (2, 3, 5, 6)},
              ["at least 2"]),
    "unpool's size": (f'type: "Unpooling" {X} unpooling_param {{ kernel_size: 2 }}', IMAGE,
                      ["unpool_size", "(0, 0)"]),
    "unpool's mask": (f'type: "Unpooling" {Z} unpooling_param {{ unpool: AVE kernel_size: 2 '
                      'unpool_size: 9 }', {**IMAGE, "z": (2, 3, 5, 6)}, ["MAX", "mask"]),
    "order": (f'type: "Permute" {X} permute_param {{ order: 1 order: 1 }}', IMAGE, ["[1, 1]"]),
    "factor": ('type: "Axpy" bottom: "x" bottom: "z" bottom: "w" top: "y"',
               {"x": (2, 2), "z": (2, 3, 4, 5), "w": (2, 3, 4, 5)}, ["(2, 2)", "(N, C)"]),
    "groups": (f'type: "ConvolutionDepthwise" {X} convolution_param {{ num_output: 6 kernel_size: '
               '3 group: 2 }', IMAGE, ["3 channels", "got 2"]),
    "hole and dilation": (f'type: "Convolution" {X} convolution_param {{ num_output: 2 '
                          'kernel_size: 3 hole: 2 dilation: 2 }', IMAGE, ["hole", "dilation"]),
    "modes": (f'type: "Pooling" {X} pooling_param {{ kernel_size: 2 ceil_mode: true round_mode: '
              'FLOOR }', IMAGE, ["ceil_mode", "contradict"]),
    "weights": (f'type: "SoftmaxWithLoss" {Z} loss_param {{ weight_by_label_freqs: true '
                'class_weighting: 1 }', {**IMAGE, "z": (2, 1, 5, 6)}, ["3 classes", "got 1"]),
    "file of weights": (f'type: "SoftmaxWithLoss" {Z} softmaxloss_param {{ weight_source: "none" '
                        '}',
                        {**IMAGE, "z": (2, 1, 5, 6)}, ["none: cannot be read"]),
    "regions": (f'type: "ROIPooling" {Z} roi_pooling_param {{ pooled_h: 2 pooled_w: 2 }}',
                {**IMAGE, "z": (2, 4)}, ["(R, 5)", "(2, 4)"]),
    "in place": ('type: "Permute" bottom: "x" top: "x"', IMAGE, ["in place"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


def test_interp_of_an_axis_by_hand(build):
    net = build(f'type: "Interp" {X} interp_param {{ zoom_factor: 2 }}', x=[[[[0, 2, 6]]]])
    np.testing.assert_array_equal(output(net), [[[[0, 1, 2, 4, 6]]]])


def test_interp_takes_its_size_from_a_second_bottom(build):
    net = build('type: "Interp" bottom: "x" bottom: "z" top: "y" interp_param { '
                'zoom_factor: 7 use_blob_size: true }',
                x=[[[[0, 2, 6]]]], z=np.zeros((2, 4, 1, 5)))
    np.testing.assert_array_equal(output(net), [[[[0, 1, 2, 4, 6]]]])
    backward(net, y=np.ones((1, 1, 1, 5)))
    assert net.blobs["x"].diff.sum() == 5 and not net.blobs["z"].diff.any()


LABELLED = ('type: "Interp" bottom: "x" top: "small" interp_param {{ shrink_factor: 8 }} }}\n'
            'layer {{ name: "loss" type: "{kind}" bottom: "z" bottom: "small" top: "y" {more}')


@pytest.mark.parametrize("kind, more", [
    ("SoftmaxWithLoss", "loss_param { ignore_label: 255 }"),
    ("SegAccuracy", "seg_accuracy_param { ignore_label: 255 }"),
    ("Accuracy", "accuracy_param { ignore_label: 255 }")])
def test_labels_are_not_mixed(build, kind, more):
    labels = np.full((1, 1, 33, 41), 255)
    labels[:, :, 8] = 1
    net = build(LABELLED.format(kind=kind, more=more), x=labels, z=normal(1, 3, 5, 6))
    np.testing.assert_array_equal(output(net, "small"), labels[:, :, ::8, ::8])
    with pytest.raises(LayerError, match=r"layer 'layer' \(Interp\).*'x'.*labels.*8k \+ 1.*shrink"):
        build(LABELLED.format(kind=kind, more=more), x=np.zeros((1, 1, 32, 41)),
              z=normal(1, 3, 4, 6))


def test_labels_are_not_mixed_behind_a_crop(build):
    """Scores are, of which the crop takes the size."""
    text = ('type: "Interp" bottom: "x" top: "small" interp_param {{ height: {0} width: {0} }} }}\n'
            'layer {{ name: "scores" type: "Interp" bottom: "z" top: "s" interp_param {{ height: 7 '
            'width: 7 }} }}\n'
            'layer {{ name: "crop" type: "Crop" bottom: "small" bottom: "s" top: "c" }}\n'
            'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "c" top: "y"')
    given = {"x": np.ones((1, 1, 33, 33)), "z": normal(1, 3, 4, 4)}
    output(build(text.format(9), **given))
    with pytest.raises(LayerError, match=r"layer 'layer' \(Interp\).*labels"):
        build(text.format(10), **given)


def test_labels_of_pixels_are_not_mixed_though_no_loss_follows(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png a.png\n")
    (tmp_path / "net.prototxt").write_text(f"""
layer {{ name: "data" type: "ImageSegData" top: "data" top: "label" image_data_param {{
        source: "{tmp_path}/list.txt" root_folder: "{tmp_path}/" label_type: PIXEL }} }}
layer {{ name: "shrink" type: "Interp" bottom: "label" top: "small" interp_param {{
        shrink_factor: 8 }} }}""")
    with pytest.raises(LayerError, match=r"layer 'shrink' \(Interp\).*labels"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_scores_may_be_interpolated_to_any_size(build):
    net = build('type: "Interp" bottom: "x" top: "s" interp_param { height: 5 width: 7 } }\n'
                'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "z" top: "y"',
                x=normal(1, 3, 4, 4), z=np.zeros((1, 1, 5, 7)))
    output(net)


UP = ('type: "Upsample" bottom: "x" bottom: "z" top: "y" upsample_param { upsample_h: 4 '
      'upsample_w: 4 }')


def test_of_equal_indices_the_last_wins_and_all_have_a_gradient(build):
    net = build(UP, x=[[[[1, 2], [3, 4]]]], z=[[[[5, 5], [5, 0]]]])
    expected = np.zeros((1, 1, 4, 4))
    expected[0, 0, 1, 1], expected[0, 0, 0, 0] = 3, 4
    np.testing.assert_array_equal(output(net), expected)
    dy = normal(1, 1, 4, 4)
    gradients = backward(net, y=dy)
    np.testing.assert_array_equal(gradients["x"].ravel(), dy.ravel()[[5, 5, 5, 0]])
    assert not gradients["z"].any()


@pytest.mark.parametrize("index", [-1, 16, np.nan])
def test_an_index_beyond_the_top(build, index):
    net = build(UP, x=np.ones((1, 1, 2, 2)), z=[[[[0, 1], [2, index]]]])
    with pytest.raises(LayerError, match=r"layer 'layer' \(Upsample\).*0 to 15"):
        net.forward()


def test_upsample_of_pooling_that_learns_below(net):
    made = net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: '
               '6 dim: 6 } } }\nlayer { name: "c" type: "Convolution" bottom: "x" top: "c" '
               'convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } '
               '} }\nlayer { name: "p" type: "Pooling" bottom: "c" top: "p" top: "m" pooling_param '
               '{ kernel_size: 2 stride: 2 } }\nlayer { name: "u" type: "Upsample" bottom: "p" '
               'bottom: "m" top: "u" }\nlayer { name: "s" type: "Reduction" bottom: "u" top: "s" '
               'loss_weight: 1 }')
    made.forward(x=normal(1, 2, 6, 6))
    made.backward()
    assert made.params["c"][0].diff.any()


def test_frozen_bn_passes_gradients_on_and_learns_nothing(build):
    net = build(f'type: "BN" {X} bn_param {{ slope_{GAUSS} frozen: true eps: 0 }}', caffe.TRAIN,
                x=normal(2, 3, 4, 4))
    net.params["layer"][3].data[...] = 4
    slope = net.params["layer"][0].data
    np.testing.assert_allclose(output(net), net.blobs["x"].data * slope / 2, rtol=1e-6)
    dy = normal(2, 3, 4, 4, seed=1)
    np.testing.assert_allclose(backward(net, y=dy)["x"], dy * slope / 2, rtol=1e-6)
    assert not any(blob.diff.any() for blob in net.params["layer"])
    assert all(param.lr_mult == 0 for param in net.layer_dict["layer"].layer_param.param)


@pytest.mark.parametrize("given, values", [
    ("frozen: false", [0, 0, 0, 0]), ("frozen: true", [0, 0, 0, 1]),
    ("slope_filler { value: 2 } bias_filler { value: 3 }", [2, 3, 0, 0]),
    ("bn_mode: LEARN", [0, 0]), ("scale_filler { value: 2 }", [2, 0])])
def test_without_fillers_a_bn_begins_with_zeros(build, given, values):
    """As all of Caffe's layers, but for the variance of a frozen one."""
    net = build(f'type: "BN" {X} bn_param {{ {given} }}', x=np.ones((1, 1, 2, 2)))
    assert [blob.data.item() for blob in net.params["layer"]] == values


def test_bn_follows_the_batch_and_forces_rates_to_zero(build):
    net = build(f'type: "BN" {X} bn_param {{ momentum: 0.75 }}', caffe.TRAIN, x=normal(4, 2, 3, 3))
    x = net.blobs["x"].data.copy()
    net.forward()
    slope, bias, mean, variance = net.params["layer"]
    np.testing.assert_allclose(mean.data.ravel(), x.mean((0, 2, 3)) / 4, rtol=1e-5)
    np.testing.assert_allclose(variance.data.ravel(), x.var((0, 2, 3)) / 4, rtol=1e-5)
    param = net.layer_dict["layer"].layer_param.param
    assert [(p.lr_mult, p.decay_mult) for p in param] == [(1, 1), (1, 1), (0, 0), (0, 0)]


@pytest.mark.parametrize("count, kind", [(4, "PSPNetBN"), (2, "SegNetBN")])
def test_weights_decide_which_bn_it_is(build, tmp_path, count, kind):
    given = "frozen: false" if count == 4 else "bn_mode: LEARN"
    saved = build(f'type: "BN" {X} bn_param {{ {given} }}', x=np.ones((1, 2, 3, 3)))
    saved.save(str(tmp_path / "w.caffemodel"))
    plain = tmp_path / "plain.prototxt"
    plain.write_text('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 '
                     'dim: 3 dim: 3 } } }\nlayer { name: "layer" type: "BN" bottom: "x" top: "y" }')
    net = caffe.Net(str(plain), str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert type(net.layer_dict["layer"]).__name__ == kind


@pytest.mark.parametrize("given", ["", "bn_param { frozen: true }", "bn_param { bn_mode: LEARN }"])
def test_a_bn_of_three_parameters_is_neither(tmp_path, given):
    data = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }\n'
    saved = caffe_pb2.NetParameter()
    saved.layer.add(name="layer", type="BN").blobs.extend(
        [caffe_pb2.BlobProto(data=[1, 1], shape=dict(dim=[1, 2, 1, 1]))] * 3)
    weights, prototxt = tmp_path / "w.caffemodel", tmp_path / "net.prototxt"
    weights.write_bytes(saved.SerializeToString())
    prototxt.write_text(data + f'layer {{ name: "layer" type: "BN" {X} {given} }}')
    with pytest.raises((LayerError, WeightsError)) as raised:
        caffe.Net(str(prototxt), str(weights), caffe.TEST)
    assert all(part in str(raised.value) for part in (
        "net.prototxt", "'layer'", "3 parameters", "PSPNet's and ICNet's BN has 4", "DeconvNet 2"))


def test_parameter_gradients_of_bn_add_up(build):
    net = build(f'type: "BN" {X} bn_param {{ scale_{GAUSS} shift_{GAUSS} }}', x=normal(2, 3, 4, 4))
    output(net)
    backward(net, y=normal(2, 3, 4, 4))
    once = net.params["layer"][0].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["layer"][0].diff, 2 * once, rtol=1e-5)


def test_seg_accuracy_by_hand(build):
    scores = np.zeros((1, 3, 1, 4))
    scores[0, 0, 0, 0] = scores[0, 1, 0, 1] = 1         # 0, 1, and a tie of all, which is 2
    net = build('type: "SegAccuracy" bottom: "x" bottom: "z" top: "y" seg_accuracy_param { '
                'ignore_label: 7 ignore_label: 9 }', x=scores, z=[[[[0, 0, 2, 9]]]])
    np.testing.assert_allclose(output(net).ravel(), [2 / 3, (0.5 + 1) / 2, (0.5 + 0 + 1) / 3],
                               rtol=1e-6)
    net.blobs["z"].data[...] = 5
    with pytest.raises(LayerError, match="label 5 is outside.*ignore_label 7 and not.*label 9"):
        net.forward()


def test_eltwise_accuracy_by_hand(build):
    scores = np.zeros((1, 3, 1, 5))
    scores[0, 0, 0, 0] = scores[0, 1, 0, 1] = 1         # 0, 1, and ties, of which 2 comes first
    layer = ('type: "EltwiseAccuracy" bottom: "x" bottom: "z" top: "y" '
             'eltwise_accuracy_param {{ {} }}')
    labels = [[[[0, 0, 2, 1, 9]]]]
    net = build(layer.format("ignore_label: 9"), x=scores, z=labels)
    assert output(net).shape == (1, 1, 1, 1)
    np.testing.assert_allclose(output(net).ravel(), 2 / 4, rtol=1e-6)
    net = build(layer.format("ignore_label: 9 top_k: 2"), x=scores, z=labels)
    np.testing.assert_allclose(output(net).ravel(), 3 / 4, rtol=1e-6)      # of 0 the 0 is third
    net.blobs["z"].data[...] = 9
    net.forward()
    assert not net.blobs["y"].data.any()                                   # NaN there
    net.blobs["z"].data[...] = 3
    with pytest.raises(LayerError, match="label 3 is outside.*ignore_label 9"):
        net.forward()
    with pytest.raises(LayerError, match="top_k is 4, expected 1 to 3"):
        build(layer.format("top_k: 4"), x=scores, z=labels)


POOLED = ('type: "Pooling" bottom: "x" top: "p" top: "mask" pooling_param {{ kernel_size: 2 '
          'stride: 2 }} }}\nlayer {{ name: "up" type: "{}" bottom: "p" bottom: "mask" top: "y" {}')


@pytest.mark.parametrize("layer, param", [
    ("Upsample", "upsample_param { scale: 2 }"),
    ("Upsample", "upsample_param { upsample_h: 6 upsample_w: 9 }"),
    ("Unpooling", "unpooling_param { kernel_size: 2 stride: 2 unpool_size: 10 }")])
def test_a_mask_of_another_width_is_refused(build, layer, param):
    with pytest.raises(LayerError, match=r"(?s)layer 'up' .*'mask'.*places in 7 x 9.*the top is "
                                         r"\d+ x \d+.*upsample_h: 7.*unpool_h: 7.*multiples of 2"):
        build(POOLED.format(layer, param), x=normal(1, 3, 7, 9))


def test_a_mask_follows_the_image(build):
    net = build(POOLED.format("Upsample", "upsample_param { scale: 2 }"), x=normal(1, 3, 8, 10))
    x = net.blobs["x"]
    assert set(output(net)[output(net) != 0]) <= set(x.data.ravel())
    x.reshape(1, 3, 8, 9)
    with pytest.raises(LayerError, match="8 x 9.*8 x 10"):
        net.reshape()
    x.reshape(1, 3, 6, 4)
    x.data[...] = normal(1, 3, 6, 4)
    net.forward()
    kept = net.blobs["y"].data
    np.testing.assert_array_equal(kept[kept != 0], x.data[kept != 0])


def test_a_loss_without_a_label_that_counts_is_0(build):
    for param in ("softmaxloss_param { ignore_label: 255 }",
                  "loss_param { weight_by_label_freqs: true ignore_label: 255 }"):
        net = build(f'type: "SoftmaxWithLoss" {Z} {param}', x=normal(1, 3, 2, 2),
                    z=np.full((1, 1, 2, 2), 255))
        assert output(net) == 0
        net.backward()
        assert not net.blobs["x"].diff.any()


def test_dropout_in_testing(build):
    net = build(f'type: "Dropout" {X} dropout_param {{ sample_weights_test: true }}',
                x=np.ones((1, 1000)))
    y = output(net)
    assert 350 < (y == 0).sum() < 650 and set(np.unique(y)) == {0, 2}
    assert (backward(net, y=1)["x"] == y).all()


@pytest.mark.parametrize("phase, values", [(caffe.TRAIN, {0, 1}), (caffe.TEST, {0.75})])
def test_dropout_that_scales_in_testing(build, phase, values):
    """As Faster R-CNN's ZF nets have it."""
    net = build(f'type: "Dropout" {X} dropout_param {{ dropout_ratio: 0.25 scale_train: false }}',
                x=np.ones((1, 1000)), phase=phase)
    y = output(net)
    assert set(np.unique(y)) == values and 0.65 < y.mean() < 0.85
    np.testing.assert_array_equal(backward(net, y=2)["x"], 2 * y)


def test_regions_window_by_window(build):
    x, regions = normal(2, 3, 9, 11), [[0, 0, 0, 21, 17], [1, 4, 6, 9, 7], [1, 18, 2, 40, 8]]
    net = build(f'type: "ROIPooling" {Z} roi_pooling_param {{ pooled_h: 2 pooled_w: 3 '
                'spatial_scale: 0.5 }', x=x, z=regions)
    y = output(net)
    for region, (item, left, top, right, bottom) in zip(y, regions):
        left, top, right, bottom = (int(v * 0.5 + 0.5) for v in (left, top, right, bottom))
        high, wide = max(1, bottom - top + 1) / 2, max(1, right - left + 1) / 3
        for i in range(2):
            for j in range(3):
                window = x[item, :, top + int(i * high):top + int(np.ceil((i + 1) * high)),
                           left + int(j * wide):left + int(np.ceil((j + 1) * wide))]
                expected = window.max((1, 2)) if window.size else 0
                np.testing.assert_array_equal(region[:, i, j], expected)
    gradients = backward(net, y=1)
    assert gradients["x"].sum() == (y != 0).sum() and not gradients["z"].any()
    net.blobs["z"].data[0, 0] = 2
    with pytest.raises(LayerError, match=r"layer 'layer' \(ROIPooling\).*2 items"):
        net.forward()


def test_places_of_regions_are_rounded_as_in_c(build):
    """Halves away from 0; and what float32 has just below a half, down."""
    net = build(f'type: "ROIPooling" {Z} roi_pooling_param {{ pooled_h: 1 pooled_w: 1 }}',
                x=np.arange(-9.0, 0).reshape(1, 1, 1, 9),
                z=[[0, -0.5, 0, 0.49999997, 0], [0, 0, 0, 0.5, 0], [0, 0, 0, 2.4999998, 0]])
    assert output(net).ravel().tolist() == [-9, -8, -7]


def test_weights_of_a_smooth_loss_have_no_gradient(build):
    net = build('type: "SmoothL1Loss" bottom: "x" bottom: "z" bottom: "v" bottom: "w" top: "y"',
                x=[[0, 0, 5]], z=[[0.5, 2, 0]], v=[[1, 1, 0]], w=[[2, 3, 1]])
    assert output(net) == pytest.approx(2 * 0.125 + 3 * 1.5)
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, [[-1, -3, 0]])
    np.testing.assert_allclose(net.blobs["z"].diff, [[1, 3, 0]])
    assert not net.blobs["v"].diff.any() and not net.blobs["w"].diff.any()


def test_padding_puts_zeros_around_or_takes_rows_away(build):
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    net = build(f'type: "Padding" {X} padding_param {{ pad_beg: 1 pad_end: 2 }}', x=x)
    np.testing.assert_array_equal(output(net), np.pad(x, [(0, 0), (0, 0), (1, 2), (1, 2)]))
    net = build(f'type: "Padding" {X} padding_param {{ pad_beg: -1 }}', x=x)
    np.testing.assert_array_equal(output(net), x[:, :, 1:, 1:])


@pytest.mark.parametrize("more, names", [
    ('source: "SOURCE" strip: 4', ["a", "b/c"]), ("period: 2", ["iter_0"])])
def test_mat_write_gives_matlab_the_blobs(build, tmp_path, more, names):
    (tmp_path / "list.txt").write_text("a.png /labels/a.png\n\nb/c.png 3\n")
    (tmp_path / "out" / "b").mkdir(parents=True)
    x, z = normal(2, 3, 4, 5), normal(2, 3)
    text = more.replace("SOURCE", str(tmp_path / "list.txt"))
    net = build(f'type: "MatWrite" bottom: "x" bottom: "z" mat_write_param {{ prefix: '
                f'"{tmp_path}/out/" {text} }}', x=x, z=z)
    for _ in range(2):
        net.forward()
    found = sorted(path.relative_to(tmp_path / "out").as_posix()
                   for path in tmp_path.glob("out/**/*.mat"))
    assert found == sorted(f"{name}_blob_{i}.mat" for name in names for i in (0, 1))
    data = scipy.io.loadmat(tmp_path / "out" / found[0])["data"]
    assert data.dtype == np.float32 and data.shape == (5, 4, 3, 2)
    np.testing.assert_allclose(data.T, x, rtol=1e-6)
    data = scipy.io.loadmat(tmp_path / "out" / found[1])["data"]
    np.testing.assert_allclose(data.reshape(3, 2).T, z, rtol=1e-6)
    if "source" in more:
        with pytest.raises(LayerError, match=r"pass 3 has no name: .*list.txt has 2"):
            net.forward()


def test_a_list_of_names_that_are_too_short(build, tmp_path):
    (tmp_path / "list.txt").write_text("abc\n")
    with pytest.raises(LayerError, match="strip 3 leaves nothing of the name 'abc'"):
        build(f'type: "MatWrite" bottom: "x" mat_write_param {{ prefix: "{tmp_path}/x" source: '
              f'"{tmp_path}/list.txt" strip: 3 }}', x=normal(1, 1))
