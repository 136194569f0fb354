"""ONNX files, run by onnxruntime at several sizes, against the engine."""

import itertools

import numpy as np
import onnxruntime
import pytest

import caffe
import nets
from caffe.errors import LayerError
from caffe.export import to_onnx
from single_layers import FILL, FIXED, LAYERS, X, build


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
