"""ONNX files, run by onnxruntime at several sizes, against the engine."""

import itertools

import numpy as np
import onnxruntime
import pytest

import caffe
import nets
from caffe.errors import LayerError
from caffe.export import to_onnx

Z = 'bottom: "x" bottom: "z" top: "y"'
X = 'bottom: "x" top: "y"'
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" }'
GAUSS = 'filler { type: "gaussian" }'

LAYERS = {
    "conv": f'type: "Convolution" {X} convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 '
            f'group: 2 {FILL} }}',
    "conv rect": f'type: "Convolution" {X} convolution_param {{ num_output: 3 kernel_h: 3 '
                 f'kernel_w: 2 stride: 2 pad: 2 dilation: 2 {FILL} }}',
    "deconv": f'type: "Deconvolution" {X} convolution_param {{ num_output: 4 kernel_size: 4 '
              f'stride: 2 pad: 1 group: 2 {FILL} }}',
    "relu": f'type: "ReLU" {X}', "leaky": f'type: "ReLU" {X} relu_param {{ negative_slope: 0.1 }}',
    "prelu": f'type: "PReLU" {X} prelu_param {{ {GAUSS} }}',
    "prelu shared": f'type: "PReLU" {X} prelu_param {{ channel_shared: true }}',
    "elu": f'type: "ELU" {X} elu_param {{ alpha: 0.5 }}',
    "sigmoid": f'type: "Sigmoid" {X}', "tanh": f'type: "TanH" {X}', "abs": f'type: "AbsVal" {X}',
    "bnll": f'type: "BNLL" {X}', "swish": f'type: "Swish" {X} swish_param {{ beta: 2 }}',
    "clip": f'type: "Clip" {X} clip_param {{ min: -0.5 max: 1 }}',
    "threshold": f'type: "Threshold" {X} threshold_param {{ threshold: 0.2 }}',
    "power": f'type: "Power" {X} power_param {{ power: 2 scale: 3 shift: 1 }}',
    "exp": f'type: "Exp" {X} exp_param {{ base: 2 scale: 0.5 shift: 1 }}',
    "exp e": f'type: "Exp" {X}',
    "log": f'type: "Log" {X} log_param {{ base: 10 scale: 0.1 shift: 3 }}',
    "dropout": f'type: "Dropout" {X}',
    "sum": f'type: "Eltwise" {Z} eltwise_param {{ coeff: 2 coeff: -1 }}',
    "product": f'type: "Eltwise" {Z} eltwise_param {{ operation: PROD }}',
    "maximum": f'type: "Eltwise" {Z} eltwise_param {{ operation: MAX }}',
    "scale": f'type: "Scale" {X} scale_param {{ bias_term: true {GAUSS} bias_{GAUSS} }}',
    "scale scalar": f'type: "Scale" {X} scale_param {{ num_axes: 0 {GAUSS} }}',
    "bias": f'type: "Bias" {X} bias_param {{ {GAUSS} }}',
    "scale given": f'type: "Scale" {Z} scale_param {{ axis: 0 }}',
    "fc axis": f'type: "InnerProduct" {X} inner_product_param {{ num_output: 3 axis: 1 {FILL} }}',
    "fc transposed": f'type: "InnerProduct" {X} inner_product_param {{ num_output: 3 axis: -1 '
                     f'transpose: true bias_term: false {FILL} }}',
    "batch norm": f'type: "BatchNorm" {X}',
    "lrn": f'type: "LRN" {X} lrn_param {{ alpha: 0.5 local_size: 5 k: 2 }}',
    "lrn within": f'type: "LRN" {X} lrn_param {{ alpha: 0.5 norm_region: WITHIN_CHANNEL }}',
    "softmax": f'type: "Softmax" {X}',
    "mvn": f'type: "MVN" {X}',
    "mvn across": f'type: "MVN" {X} mvn_param {{ across_channels: true '
                  'normalize_variance: false }',
    "argmax": f'type: "ArgMax" {X} argmax_param {{ axis: 1 }}',
    "argmax values": f'type: "ArgMax" {X} argmax_param {{ axis: 1 out_max_val: true }}',
    "argmax all": f'type: "ArgMax" {X} argmax_param {{ out_max_val: true }}',
    "sum of squares": f'type: "Reduction" {X} reduction_param {{ operation: SUMSQ axis: 1 '
                      'coeff: 0.5 }',
    "mean": f'type: "Reduction" {X} reduction_param {{ operation: MEAN axis: 2 }}',
    "asum": f'type: "Reduction" {X} reduction_param {{ operation: ASUM coeff: 2 }}',
    "crop": f'type: "Crop" bottom: "x" bottom: "r" top: "y" crop_param {{ axis: 2 offset: 1 '
            'offset: 2 }',
    "concat": f'type: "Concat" {Z}',
    "slice": f'type: "Slice" {X} top: "y2" slice_param {{ slice_point: 1 }}',
    "slice height": f'type: "Slice" {X} top: "y2" top: "y3" slice_param {{ axis: 2 slice_point: 1 '
                    'slice_point: 3 }',
    "slice equally": f'type: "Slice" {X} top: "y2" slice_param {{ axis: 3 }}',
    "tile": f'type: "Tile" {X} tile_param {{ axis: 1 tiles: 2 }}',
    "reshape": f'type: "Reshape" {X} reshape_param {{ shape {{ dim: 0 dim: -1 dim: 2 }} }}',
    "reshape middle": f'type: "Reshape" {X} reshape_param {{ shape {{ dim: 2 dim: 2 }} axis: 1 '
                      'num_axes: 1 }',
    "flatten": f'type: "Flatten" {X}',
    "flatten middle": f'type: "Flatten" {X} flatten_param {{ axis: 1 end_axis: 2 }}',
    "global ave": f'type: "Pooling" {X} pooling_param {{ pool: AVE global_pooling: true }}',
    "global max": f'type: "Pooling" {X} pooling_param {{ global_pooling: true }}',
}
# these take all of an image's values, or of a row
FIXED = {"fc axis", "fc transposed"}


def check(net, path, sizes, seed=0):
    """One file, at each of the sizes {input: shape}, gives what the engine gives."""
    to_onnx(net, str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    for shapes in sizes:
        inputs = {name: rng.normal(size=shape).astype(np.float32)
                  for name, shape in shapes.items()}
        for name, array in inputs.items():
            net.blobs[name].reshape(*array.shape)
        expected = net.forward(**inputs)
        found = dict(zip(net.outputs, session.run(net.outputs, inputs)))
        for name in net.outputs:
            assert found[name].shape == expected[name].shape
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4,
                                       atol=1e-5 * np.nanmax(np.abs(expected[name])) + 1e-6)


def build(tmp_path, layer, x=(2, 4, 7, 6), phase=caffe.TEST):
    inputs = [name for name in "xzr" if f'bottom: "{name}"' in layer]
    shape = {"x": x, "z": x, "r": (1, 1, 3, 4)}
    text = "".join(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
                   + " ".join(f"dim: {n}" for n in shape[name]) + " } } }\n" for name in inputs)
    (tmp_path / "net.prototxt").write_text(text + f'layer {{ name: "layer" {layer} }}')
    net = caffe.Net(str(tmp_path / "net.prototxt"), phase)
    return net, {name: shape[name] for name in inputs}


@pytest.mark.parametrize("kind", LAYERS)
def test_layer(tmp_path, kind):
    caffe.set_random_seed(3)
    net, shapes = build(tmp_path, LAYERS[kind])
    if kind == "batch norm":
        for blob, value in zip(net.params["layer"], ([1, 2, 3, 4], [1, 2, 3, 4], [2])):
            blob.data[...] = value
    more = (0, 0) if kind in FIXED else (4, 6)
    bigger = {name: (3, shape[1], shape[2] + more[0], shape[3] + more[1]) if name != "r" else shape
              for name, shape in shapes.items()}
    check(net, tmp_path / "net.onnx", [shapes, bigger])


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_other_numbers_of_axes(tmp_path, kind, axes):
    caffe.set_random_seed(3)
    first, second = (2, 4, 5, 6, 7), (1, 4, 8, 5, 9)
    net, _ = build(tmp_path, f'type: "{kind}" {X} convolution_param {{ num_output: 2 '
                             f'kernel_size: 3 pad: 1 stride: 2 {FILL} }}', x=first[:2 + axes])
    check(net, tmp_path / "net.onnx", [{"x": shape[:2 + axes]} for shape in (first, second)])


@pytest.mark.parametrize("mode", ["CEIL", "FLOOR"])
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_pooling(tmp_path, kernel, pool, mode):
    for stride, pad in itertools.product((1, 2, 3, 4), range(kernel)):
        net, _ = build(tmp_path, f'type: "Pooling" {X} pooling_param {{ pool: {pool} kernel_size: '
                                 f'{kernel} stride: {stride} pad: {pad} round_mode: {mode} }}')
        check(net, tmp_path / "net.onnx",
              [{"x": (1, 4, *size)} for size in ((4, 5), (5, 4), (6, 7), (8, 9))])


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_pooling_of_unequal_sides(tmp_path, pool):
    net, _ = build(tmp_path, f'type: "Pooling" {X} pooling_param {{ pool: {pool} kernel_h: 3 '
                             'kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 2 pad_w: 0 }')
    check(net, tmp_path / "net.onnx", [{"x": (1, 4, *size)} for size in ((4, 5), (9, 6))])


def test_the_later_of_equal_maxima(tmp_path):
    net, shapes = build(tmp_path, LAYERS["argmax all"])
    to_onnx(net, str(tmp_path / "net.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (index, _), = session.run(None, {"x": np.zeros((1, *shapes["x"][1:]), np.float32)})[0]
    assert index == 4 * 7 * 6 - 1 == net.forward(x=np.zeros(shapes["x"]))["y"][0, 0]


def test_names_like_those_made_here(tmp_path):
    net, shapes = build(tmp_path, 'type: "Power" bottom: "x" top: "layer/2" power_param { shift: 1 '
                                  '} } layer { name: "layer" type: "Power" bottom: "layer/2" '
                                  'top: "layer/4" power_param { scale: 3 }')
    check(net, tmp_path / "net.onnx", [shapes])


@pytest.mark.parametrize("head", ["fcn32s", "fcn16s", "fcn8s"])
def test_fcn(tmp_path, head):
    caffe.set_random_seed(3)
    path = nets.write_prototxt(tmp_path / "deploy.prototxt",
                               nets.fcn(head, "deploy", width=1 / 16))
    net = caffe.Net(str(path), caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = np.random.default_rng(blob.count).normal(
                scale=(2 / max(1, blob.count // blob.shape[0])) ** 0.5, size=blob.shape)
    check(net, tmp_path / "net.onnx", [{"data": (1, 3, 33, 47)}, {"data": (2, 3, 64, 96)}])


def test_what_has_no_form_is_refused(tmp_path):
    net, _ = build(tmp_path, f'type: "SPP" {X} spp_param {{ pyramid_height: 1 }}')
    with pytest.raises(LayerError, match=r"no ONNX form for the layers 'layer' \(SPP\)"):
        to_onnx(net, str(tmp_path / "net.onnx"))
    net, _ = build(tmp_path, f'type: "ArgMax" {X} argmax_param {{ top_k: 2 }}')
    with pytest.raises(LayerError, match=r"'layer' \(ArgMax\): no ONNX form for top_k above 1"):
        to_onnx(net, str(tmp_path / "net.onnx"))
    net, _ = build(tmp_path, LAYERS["dropout"], phase=caffe.TRAIN)
    with pytest.raises(LayerError, match="phase TEST, this one is in TRAIN"):
        to_onnx(net, str(tmp_path / "net.onnx"))
    net, _ = build(tmp_path, 'type: "ReLU" bottom: "x" top: "x"')
    with pytest.raises(LayerError, match=r"input and output: \['x'\]"):
        to_onnx(net, str(tmp_path / "net.onnx"))
    assert not (tmp_path / "net.onnx").exists()
