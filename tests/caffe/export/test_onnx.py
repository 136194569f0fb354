"""ONNX files, run by onnxruntime at several sizes, against the engine."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest

import caffe
from caffe.errors import LayerError, WeightsError
from caffe.export import onnx_file, to_onnx
from fcn import nets
from single_layers import FILL, FIXED, LAYERS, X, Z, build


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
    bigger = {name: shape if name == "r" else (3, *shape[1:]) if name == "f"
              else (3, shape[1], shape[2] + more[0], shape[3] + more[1])
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


NORM = f'type: "BatchNorm" {X}'
SCALE = ('type: "Scale" bottom: "y" top: "y" scale_param {{ {more} filler {{ type: "gaussian" }} '
         'bias_filler {{ type: "gaussian" }} }}')


def nodes(path):
    """The (name, operation, what it makes) of the nodes in a file."""
    return [(node.name, node.op_type, *node.output) for node in onnx.load(path).graph.node]


def normalized(tmp_path, *layers, shape=(2, 4, 7, 6)):
    """A net that begins with a BatchNorm, whose statistics are set."""
    caffe.set_random_seed(3)
    net, shapes = build(tmp_path, NORM + "".join(
        f' }} layer {{ name: "layer{i}" {text}' for i, text in enumerate(layers, 2)), x=shape)
    for blob, value in zip(net.params["layer"], ([1, 2, 3, 4], [1, 2, 3, 4], [2])):
        blob.data[...] = value
    return net, shapes


@pytest.mark.parametrize("axes", [1, 2, 3, 4, 5])
def test_batch_norm_is_one_node(tmp_path, axes):
    shape = (2, 4, 5, 6, 7)[:axes]
    net, shapes = (build(tmp_path, NORM, x=shape) if axes == 1
                   else normalized(tmp_path, shape=shape))
    if axes == 1:
        for blob in net.params["layer"]:
            blob.data[...] = 2
    check(net, tmp_path / "net.onnx", [shapes])
    if axes > 1:
        assert nodes(tmp_path / "net.onnx") == [("layer", "BatchNormalization", "y")]


@pytest.mark.parametrize("scale", ["bias_term: true", "bias_term: false", "axis: -3",
                                   "axis: 1 num_axes: 1 bias_term: true"])
@pytest.mark.parametrize("top", ["y", "v"])
def test_a_scale_behind_is_part_of_it(tmp_path, scale, top):
    text = SCALE.format(more=scale).replace('top: "y"', f'top: "{top}"')
    net, shapes = normalized(
        tmp_path, text, f'type: "ReLU" bottom: "{top}" top: "{top}"')
    check(net, tmp_path / "net.onnx", [shapes, {"x": (3, 4, 9, 5)}])
    assert [node[:2] for node in nodes(tmp_path / "net.onnx")] == [
        ("layer", "BatchNormalization"), ("layer3", "Relu")]
    kept = {each.name for each in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert {"layer.0", "layer.1", "layer2.0"} <= kept


@pytest.mark.parametrize("scale", [
    SCALE.format(more="num_axes: 0"), SCALE.format(more="axis: 2"),
    SCALE.format(more="num_axes: 2"), 'type: "Bias" bottom: "y" top: "y" bias_param { }',
    SCALE.format(more="").replace('top: "y"', 'top: "w"')
    + ' } layer { name: "other" type: "ReLU" bottom: "y" top: "v"',
    'type: "ReLU" bottom: "y" top: "y" } layer { name: "other" ' + SCALE.format(more=""),
    'type: "Scale" bottom: "y" bottom: "x" top: "v" scale_param { axis: 0 }'])
def test_another_scale_is_not(tmp_path, scale):
    net, shapes = normalized(tmp_path, scale)
    check(net, tmp_path / "net.onnx", [shapes])
    assert {"Mul", "Add"} & {operation for _, operation, *_ in nodes(tmp_path / "net.onnx")}


def test_nodes_and_values_have_the_names_of_layers_and_blobs(tmp_path):
    text = 'type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 4 ' \
        f'kernel_size: 1 {FILL} }} }} ' + " ".join(f"layer {{ {each} }}" for each in (
            'name: "relu" type: "ReLU" bottom: "a" top: "a"',
            'name: "drop" type: "Dropout" bottom: "a" top: "a"',
            'name: "relu" type: "ReLU" bottom: "a" top: "b"',
            'name: "fc" type: "InnerProduct" bottom: "b" top: "c" inner_product_param { '
            f'num_output: 3 axis: 3 {FILL} }}',
            'name: "none" type: "Power" bottom: "c" top: "y"',)).removesuffix("}")
    net, shapes = build(tmp_path, text)
    check(net, tmp_path / "net.onnx", [shapes])
    assert nodes(tmp_path / "net.onnx") == [
        ("layer", "Conv", "a/layer"), ("relu", "Relu", "a"), ("relu_2", "Relu", "b"),
        ("fc/Reshape", "Reshape", "fc/Reshape"), ("fc/MatMul", "MatMul", "fc/MatMul"),
        ("fc", "Add", "c"), ("y", "Identity", "y")]
    model = onnx.load(tmp_path / "net.onnx")
    names = {each.name for each in model.graph.initializer}
    assert {"layer.0", "layer.1", "fc.0", "fc.1"} <= names
    assert (model.producer_name, model.producer_version) == ("fcn-caffe", caffe.__version__)
    assert not model.metadata_props


def test_metadata(tmp_path):
    net, _ = build(tmp_path, LAYERS["relu"])
    path = str(tmp_path / "net.onnx")
    to_onnx(net, path, classes=["background", "écran"], mean=[104.0, 117.0, 123.0, 0.0],
            inputs=["color"], name="voc-fcn8s", margin=92, multiple=32)
    expected = {"classes": '["background", "écran"]', "mean": "[104.0, 117.0, 123.0, 0.0]",
                "channels": "BGR", "inputs": '{"x": "color"}', "name": "voc-fcn8s",
                "margin": "92", "multiple": "32"}
    assert {each.key: each.value for each in onnx.load(path).metadata_props} == expected
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == expected


def test_a_mean_of_another_number_of_channels(tmp_path):
    net, _ = build(tmp_path, LAYERS["relu"])
    channels = net.blobs["x"].shape[1]
    with pytest.raises(LayerError, match=f"the mean has {channels + 1} numbers, expected one for "
                                         f"each channel of an input: {channels}$"):
        to_onnx(net, str(tmp_path / "net.onnx"), mean=[1.0] * (channels + 1))


def test_metadata_of_another_number_of_inputs(tmp_path):
    net, _ = build(tmp_path, LAYERS["relu"])
    with pytest.raises(LayerError, match="its inputs are x, .* color, depth: expected 1"):
        to_onnx(net, str(tmp_path / "net.onnx"), inputs=["color", "depth"])
    assert not (tmp_path / "net.onnx").exists()


def test_inputs_changed_in_place_and_inputs_that_nobody_reads(tmp_path):
    net, shapes = build(tmp_path, f'{Z} type: "Eltwise" }} layer {{ name: "i" type: "Input" '
                        'top: "unused" top: "other" input_param { shape { dim: 2 dim: 3 } } } '
                        'layer { name: "sink" type: "Silence" bottom: "other"')
    shapes = {**shapes, "unused": (2, 3), "other": (2, 3)}
    to_onnx(net, str(tmp_path / "net.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    assert [each.name for each in session.get_inputs()] == ["x", "z", "unused", "other"]
    assert [each.name for each in session.get_outputs()] == ["y"]
    inputs = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    np.testing.assert_array_equal(session.run(None, inputs)[0], 2)
    net, shapes = build(tmp_path, 'type: "Power" bottom: "x" top: "x" power_param { shift: 1 } } '
                                  'layer { name: "more" type: "Power" bottom: "x" top: "y" '
                                  'power_param { scale: 3 }')
    check(net, tmp_path / "net.onnx", [shapes])


@pytest.mark.parametrize("power", ["scale: 0 shift: 2 power: 3", "power: 0", "scale: 0"])
def test_constant_powers(tmp_path, power):
    net, shapes = build(tmp_path, f'type: "Power" {X} power_param {{ {power} }}')
    check(net, tmp_path / "net.onnx", [shapes])
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    assert np.isfinite(session.run(None, {"x": np.full((1, 4, 7, 6), np.inf, np.float32)})[0]).all()


def test_too_many_weights_are_refused_before_the_work(tmp_path, monkeypatch):
    net, _ = build(tmp_path, LAYERS["conv"])
    monkeypatch.setattr(onnx_file, "LIMIT", 4 * 76)
    monkeypatch.setattr(onnx_file, "Graph", None)
    with pytest.raises(WeightsError, match="holds less than 2 GB, the weights are"):
        to_onnx(net, str(tmp_path / "net.onnx"))


@pytest.mark.parametrize("more", ["", ' } layer { name: "s" type: "Silence" bottom: "x"'])
def test_a_net_without_layers_is_refused(net, tmp_path, more):
    made = net('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } }'
               + more + " }")
    with pytest.raises(LayerError, match="nothing to export: no layer has an output"):
        to_onnx(made, str(tmp_path / "net.onnx"))


POOL = ('type: "Pooling" {} top: "p" top: "mask" pooling_param {{ kernel_size: {} stride: 2 }} }}\n'
        'layer {{ name: "up" type: "Upsample" bottom: "p" bottom: "mask" top: "y" {}')


def test_values_go_back_to_where_their_maxima_were(tmp_path):
    net, _ = build(tmp_path, POOL.format('bottom: "x"', 2, ""), x=(2, 3, 6, 8))
    check(net, tmp_path / "net.onnx", [{"x": (2, 3, 6, 8)}, {"x": (1, 3, 10, 4)}])
    net, _ = build(tmp_path, POOL.format('bottom: "x"', 2, "upsample_param { upsample_h: 5 "
                                         "upsample_w: 7 }"), x=(2, 3, 5, 7))
    check(net, tmp_path / "net.onnx", [{"x": (2, 3, 5, 7)}])


def test_masks_that_have_no_form(tmp_path):
    for text, said in ((POOL.format('bottom: "x"', 3, ""), "windows that overlap"),
                       ('type: "Upsample" bottom: "x" bottom: "z" top: "y"', "that no pooling"),
                       (f'type: "Dropout" {X} dropout_param {{ sample_weights_test: true }}',
                        "dropout that acts in testing")):
        net, _ = build(tmp_path, text, x=(2, 3, 6, 8))
        with pytest.raises(LayerError, match=f"no ONNX form for .*{said}"):
            to_onnx(net, str(tmp_path / "net.onnx"))


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
