"""torch.export with free sizes, the way to torch.compile: one graph, right at every size."""

import re
import warnings

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe.engine.layers import registry
from caffe.proto import caffe_pb2
from fcn import nets
from golden_runs import NETS, load_net
from single_layers import FILL, FIXED, GAUSS, LAYERS, X, Z, build

# of a pooling's kernel, stride and padding: one set for the rows, another for the columns
PADDED = (3, 2, 0), (3, 2, 1), (2, 3, 0), (2, 3, 1), (4, 2, 3), (1, 2, 0)
SMALL = (2, 3, 0), (2, 3, 1), (1, 2, 0), (2, 3, 0)
PLAIN = (2, 3, 0), (1, 2, 0)
POOLS = {
    f"{pool} {mode} {rows} {columns}":
    f'type: "Pooling" {X} pooling_param {{ pool: {pool} round_mode: {mode} ' + " ".join(
        f"kernel_{axis}: {kernel} stride_{axis}: {stride} pad_{axis}: {pad}"
        for axis, (kernel, stride, pad) in (("h", rows), ("w", columns)))
    + " }"
    for pool, mode, sets in (
        ("MAX", "CEIL", PADDED), ("MAX", "FLOOR", SMALL), ("AVE", "CEIL", PADDED),
        ("AVE", "FLOOR", SMALL), ("STOCHASTIC", "CEIL", PLAIN), ("STOCHASTIC", "FLOOR", PLAIN))
    for rows, columns in zip(sets[::2], sets[1::2])}
MORE = {
    "spp": f'type: "SPP" {X} spp_param {{ pyramid_height: 2 }}',
    "spp ave": f'type: "SPP" {X} spp_param {{ pyramid_height: 2 pool: AVE }}',
    "spp one": f'type: "SPP" {X} spp_param {{ pyramid_height: 1 }}',
    "argmax some": f'type: "ArgMax" {X} argmax_param {{ top_k: 2 }}',
    "argmax some of axis": f'type: "ArgMax" {X} argmax_param {{ top_k: 2 axis: 2 }}',
    "im2col": f'type: "Im2col" {X} convolution_param {{ kernel_size: 3 stride: 2 pad: 1 }}',
    "split": f'type: "Split" {X} top: "y2"',
    "silence": f'type: "ReLU" {X} }} layer {{ name: "s" type: "Silence" bottom: "x"',
    "maxima": f'type: "Pooling" {X} top: "y2" pooling_param {{ kernel_size: 3 stride: 2 pad: 1 }}',
    "global maxima": f'type: "Pooling" {X} top: "y2" pooling_param {{ global_pooling: true }}',
    "concat height": f'type: "Concat" {Z} concat_param {{ axis: 2 }}',
    "flatten front": f'type: "Flatten" {X} flatten_param {{ axis: 0 end_axis: 1 }}',
    "reshape rest": f'type: "Reshape" {X} reshape_param {{ shape {{ dim: 0 dim: 0 dim: -1 }} }}',
    "tile height": f'type: "Tile" {X} tile_param {{ axis: 2 tiles: 2 }}',
    "conv stride": f'type: "Convolution" {X} convolution_param {{ num_output: 4 kernel_size: 3 '
                   f'stride: 2 {FILL} }}',
    "bias": f'type: "Bias" {X} bias_param {{ axis: 1 num_axes: 1 {GAUSS} }}',
    "measured batch norm": f'type: "BatchNorm" {X} batch_norm_param {{ use_global_stats: false }}',
    "euclidean": f'type: "EuclideanLoss" {Z}',
    "cross entropy": f'type: "SigmoidCrossEntropyLoss" {Z}',
    "softmax loss": 'type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "y"',
    "accuracy": 'type: "Accuracy" bottom: "x" bottom: "t" top: "y"',
    "infogain": 'type: "InfogainLoss" bottom: "x" bottom: "t" bottom: "h" top: "y"',
    "hinge": 'type: "HingeLoss" bottom: "v" bottom: "l" top: "y"',
    "multinomial": 'type: "MultinomialLogisticLoss" bottom: "v" bottom: "l" top: "y"',
    "contrastive": 'type: "ContrastiveLoss" bottom: "v" bottom: "w" bottom: "l" top: "y"',
    "embed": 'type: "Embed" bottom: "t" top: "y" embed_param { input_dim: 4 num_output: 3 '
             f'{FILL} }}',
    "reindex": 'type: "BatchReindex" bottom: "x" bottom: "i" top: "y"',
    "filter": 'type: "Filter" bottom: "x" bottom: "l" top: "y"',
    "parameter": f'type: "ReLU" {X} }} layer {{ name: "p" type: "Parameter" top: "q" '
                 'parameter_param { shape { dim: 3 } }',
    "rnn": 'type: "RNN" bottom: "sequence" bottom: "cont" top: "y" recurrent_param { num_output: 3 '
           f'{FILL} }}',
    "lstm": 'type: "LSTM" bottom: "sequence" bottom: "cont" top: "y" recurrent_param { '
            f'num_output: 3 {FILL} }}',
    "upsample": 'type: "Upsample" bottom: "x" bottom: "m" top: "y"',
    "unpool without mask": f'type: "Unpooling" {X} unpooling_param {{ kernel_size: 2 stride: 2 '
                           'unpool_size: 40 }',
    "unpool evenly": f'type: "Unpooling" {X} unpooling_param {{ unpool: AVE kernel_size: 3 stride: '
                     '2 unpool_h: 41 unpool_w: 39 }',
    "unpool tiles": f'type: "Unpooling" {X} unpooling_param {{ unpool: TILE kernel_size: 3 stride: '
                    '2 unpool_h: 41 unpool_w: 39 }',
    "depthwise too": f'type: "ConvolutionDepthwise" {X} convolution_param {{ num_output: 4 '
                     f'kernel_size: 3 {FILL} }}',
    "prior box": f'type: "PriorBox" {Z} prior_box_param {{ min_size: 2 max_size: 4 aspect_ratio: 2 '
                 'clip: true }',
    "smooth": f'type: "SmoothL1Loss" {Z} smooth_l1_loss_param {{ sigma: 3 }}',
    "seg accuracy": 'type: "SegAccuracy" bottom: "x" bottom: "t" top: "y"',
    "eltwise accuracy": 'type: "EltwiseAccuracy" bottom: "x" bottom: "t" top: "y" '
                        'eltwise_accuracy_param { top_k: 2 }',
    "loss by weights": 'type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "y" softmaxloss_param '
                       '{ ignore_label: 255 }',
    "loss by frequency": 'type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "y" loss_param { '
                         'weight_by_label_freqs: true }',
    "running bn": f'type: "BN" {X} bn_param {{ slope_{GAUSS} }}',
    "learning bn": f'type: "BN" {X} top: "y2" top: "y3" bn_param {{ bn_mode: LEARN '
                   f'scale_{GAUSS} }}',
    "lstm unit": 'type: "LSTMUnit" bottom: "c" bottom: "gates" bottom: "go" top: "y" top: "y2"',
}
CASES = {**LAYERS, **MORE, **POOLS}
SHAPES = {"m": (2, 4, 7, 6), "t": (2, 1, 7, 6), "h": (4, 4), "v": (2, 4), "w": (2, 4), "l": (2,),
          "i": (3,),
          "sequence": (3, 2, 5), "cont": (3, 2), "c": (1, 2, 3), "gates": (1, 2, 12), "go": (1, 2)}
STREAMS = {"sequence", "cont", "c", "gates", "go"}      # their batch is axis 1
CLASSES = {"m", "t", "l", "i", "cont", "go"}
NO_FUNCTIONS = {"Input", "Data", "ImageData", "WindowData", "MemoryData", "HDF5Data", "HDF5Output",
                "DummyData", "Python", "ImageSegData", "DenseImageData", "MatWrite",
                "WindowSegData"}
# what these do follows from values: torch.export cannot see it
UNTRACED = {"DenseCRF", "DetectionOutput", "MultiStageMeanfield", "PSROIPooling", "ROIPooling"}
SIZES = [(3, 9, 14), (5, 8, 10), (2, 16, 8), (4, 7, 12), (6, 13, 16), (2, 7, 6)]


def resized(name, shape, batch, height, width):
    """`shape` of the input `name`, at another size."""
    if name in ("r", "h", "i"):
        return shape
    if name == "f":
        return (batch, *shape[1:])
    if name in STREAMS:
        return (shape[0], batch, *shape[2:])
    return (batch, shape[1], height, width) if len(shape) == 4 else (batch, *shape[1:])


def values(name, shape, generator):
    if name in CLASSES:
        return torch.randint(0, 2, shape, generator=generator).float()
    return torch.rand(shape, generator=generator) * 3


def program(module, inputs, fixed=False):
    """What torch.export makes of a module, with the sizes free that may be."""
    free = {name: {} if name in ("h", "i") else {1: torch.export.Dim.AUTO} if name in STREAMS
            else {axis: torch.export.Dim.AUTO
                  for axis in ((0,) if fixed or name == "f" else (0, 2, 3))
                  if axis < x.dim()} for name, x in inputs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, tuple(inputs.values()), strict=False,
                                   dynamic_shapes=(tuple(free.values()),)).module()


def check(module, made, inputs):
    torch.testing.assert_close(made(*inputs.values()), module(*inputs.values()), rtol=1e-4,
                               atol=1e-5, equal_nan=True)


TAKE_LONG = "spp", "spp ave"      # to be traced
FIRST = set({re.search(r'type: "(\w+)"', text)[1]: kind     # of each type of layers
             for kind, text in reversed(CASES.items()) if kind not in TAKE_LONG}.values())


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=() if kind in FIRST else pytest.mark.slow) for kind in CASES])
def test_layer(tmp_path, kind):
    caffe.set_random_seed(3)
    net, shapes = build(tmp_path, CASES[kind], more=SHAPES)
    module, generator = caffe.to_torch(net), torch.Generator().manual_seed(1)
    made = program(module, {name: values(name, shape, generator)
                            for name, shape in shapes.items()}, kind in FIXED)
    for batch, height, width in SIZES:
        size = (batch, *shapes["x"][2:]) if kind in FIXED else (batch, height, width)
        inputs = {name: values(name, resized(name, shape, *size), generator)
                  for name, shape in shapes.items()}
        if kind in ("rnn", "lstm"):     # streams begin anew; else they go on from what was before
            inputs["cont"][0] = 0
        check(module, made, inputs)


def test_every_type_of_layer_is_tried():
    """By a text in tests/support/single_layers.py or above; or it is one of NO_FUNCTIONS."""
    tried = {layer.type for text in CASES.values() for layer in text_format.Parse(
        f"layer {{ {text} }}", caffe_pb2.NetParameter()).layer}
    types = {kind for kind in caffe.layer_type_list()
             if registry.known[kind].__module__.startswith("caffe.")}
    assert types - NO_FUNCTIONS - UNTRACED == tried
    assert not any(registry.known[kind].is_function for kind in NO_FUNCTIONS - {"Python"})


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_recorded_nets(tmp_path, path):
    net = load_net(dict(np.load(path)), tmp_path / "net.prototxt")
    module = caffe.to_torch(net).eval()
    inputs = {name: torch.tensor(net.blobs[name].data) for name in net.inputs}
    check(module, program(module, inputs, fixed=True), inputs)


@pytest.mark.slow
@pytest.mark.parametrize("trunk, head", [("vgg16", "fcn8s"), ("caffenet", "fcn32s"),
                                         ("googlenet", "fcn32s")])
def test_fcns(tmp_path, trunk, head):
    path = nets.write_prototxt(tmp_path / "deploy.prototxt",
                               nets.fcn(head, "deploy", trunk=trunk, width=1 / 16))
    net = caffe.Net(str(path), caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = np.random.default_rng(blob.count).normal(
                scale=(2 / max(1, blob.count // blob.shape[0])) ** 0.5, size=blob.shape)
    module, generator = caffe.to_torch(net), torch.Generator().manual_seed(1)
    made = program(module, {"data": torch.rand((2, 3, 64, 70), generator=generator)})
    for size in ((2, 3, 64, 70), (3, 3, 96, 33)):
        x = torch.rand(size, generator=generator)
        expected = module(x)
        torch.testing.assert_close(made(x), expected, rtol=1e-4,
                                   atol=1e-5 * expected.abs().max().item())
