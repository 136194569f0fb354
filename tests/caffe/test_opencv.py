"""A second opinion: OpenCV's own reader of Caffe models runs the project's nets and weights."""

import cv2
import numpy as np
import pytest

import caffe
from fcn import nets

NETS = {
    **{head: lambda head=head: nets.fcn(head, "deploy", width=1 / 16)
       for head in ("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce")},
    "classifier": lambda: nets.classifier(width=1 / 16, classes=7),
}

# OpenCV wants an Input layer for each input, and none that nothing reads
INPUTS = {name: f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
                + " ".join(f"dim: {n}" for n in shape) + " } } }\n"
          for name, shape in {"x": (2, 4, 7, 6), "z": (2, 4, 7, 6), "r": (1, 1, 3, 4)}.items()}
FILL = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" }'
GAUSS = 'filler { type: "gaussian" }'
# Not here is what OpenCV does not read: Bias, Clip, Threshold, ArgMax, Reduction, SPP, Python,
# scalar parameters and round_mode; or reads but does otherwise: it goes past k of LRN, beta of
# Swish, transpose of InnerProduct and all of log_param.
LAYERS = {
    "Convolution": [f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 group: 2 {FILL} }}",
                    "convolution_param { num_output: 3 kernel_h: 3 kernel_w: 2 stride: 2 pad: 2 "
                    f"dilation: 2 {FILL} }}"],
    "Deconvolution": [f"convolution_param {{ num_output: 4 kernel_size: 4 stride: 2 {FILL} }}",
                      "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 2 "
                      f"{FILL} }}"],
    "Pooling": [f"pooling_param {{ pool: {pool} kernel_size: {kernel} stride: {stride} "
                f"pad: {pad} }}"
                for pool in ("MAX", "AVE")
                for kernel, stride, pad in ((2, 2, 0), (2, 2, 1), (3, 2, 0), (3, 2, 1), (3, 1, 1))]
               + ["pooling_param { pool: AVE global_pooling: true }"],
    "ReLU": ["", "relu_param { negative_slope: 0.1 }"],
    "PReLU": [f"prelu_param {{ {GAUSS} }}"],
    "ELU": ["elu_param { alpha: 0.5 }"], "Sigmoid": [""], "TanH": [""], "AbsVal": [""],
    "BNLL": [""], "Dropout": [""],
    "Power": ["power_param { power: 2 scale: 3 shift: 1 }"],
    "Exp": ["exp_param { base: 2 scale: 0.5 shift: 1 }"],
    "InnerProduct": [f"inner_product_param {{ num_output: 3 {FILL} }}"],
    "Scale": [f"scale_param {{ bias_term: true {GAUSS} bias_{GAUSS} }}"],
    "BatchNorm": [""],
    "LRN": ["lrn_param { alpha: 0.5 local_size: 3 }",
            "lrn_param { alpha: 0.5 norm_region: WITHIN_CHANNEL }"],
    "MVN": ["", "mvn_param { across_channels: true normalize_variance: false }"],
    "Softmax": [""], "Flatten": ["", "flatten_param { axis: 1 end_axis: 2 }"],
    "Reshape": ["reshape_param { shape { dim: 0 dim: -1 dim: 2 } }"],
    "Eltwise": ['bottom: "z" eltwise_param { coeff: 2 coeff: -1 }',
                'bottom: "z" eltwise_param { operation: PROD }',
                'bottom: "z" eltwise_param { operation: MAX }'],
    "Concat": ['bottom: "z"'],
    "Crop": ['bottom: "r" crop_param { axis: 2 offset: 1 offset: 2 }'],
}


def opinions(net, prototxt, weights, inputs, blob):
    """A blob as the engine has it, and as OpenCV has it."""
    net.save(str(weights))
    reader = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    for name, array in inputs.items():
        net.blobs[name].reshape(*array.shape)
        reader.setInput(array, name)
    return net.forward(**inputs, blobs=[blob])[blob], reader.forward(blob)


def check(ours, theirs):
    assert np.abs(ours).max() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(ours).max(), rtol=0)


@pytest.mark.parametrize("name", NETS)
def test_nets(tmp_path, name):
    deploy = nets.write_prototxt(tmp_path / "deploy.prototxt", NETS[name]())
    net = caffe.Net(str(deploy), caffe.TEST)
    rng = np.random.default_rng(3)
    for blobs in net.params.values():
        for blob in blobs:
            fan = max(1, blob.count // blob.shape[0]) if blob.data.ndim > 1 else 100
            blob.data[...] = rng.normal(scale=(2 / fan) ** 0.5, size=blob.shape)
    shape = net.blobs["data"].shape if name == "classifier" else (1, 3, 75, 101)
    image = rng.normal(scale=50, size=shape).astype(np.float32)
    check(*opinions(net, deploy, tmp_path / "some.caffemodel", {"data": image}, net.outputs[0]))


@pytest.mark.parametrize("kind, more", [(kind, more) for kind in LAYERS for more in LAYERS[kind]])
def test_layer(net, tmp_path, kind, more):
    caffe.set_random_seed(3)
    layer = f'layer {{ name: "y" type: "{kind}" bottom: "x" top: "y" {more} }}'
    made = net("".join(text for name, text in INPUTS.items() if f'bottom: "{name}"' in layer)
               + layer)
    if kind == "BatchNorm":
        for blob, value in zip(made.params["y"], ([1, 2, 3, 4], [1, 2, 3, 4], [2])):
            blob.data[...] = value
    rng = np.random.default_rng(1)
    inputs = {name: rng.normal(size=made.blobs[name].shape).astype(np.float32)
              for name in made.inputs}
    check(*opinions(made, tmp_path / "net.prototxt", tmp_path / "some.caffemodel", inputs, "y"))
