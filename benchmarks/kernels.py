"""The engine's own kernels beside PyTorch's, on one CPU thread: python benchmarks/kernels.py

Prints, as a Markdown table, the least milliseconds of five runs at the sizes of FCN-8s on a
500x500 image, and of those of other nets for what FCN-8s has not.
"""

import argparse

import torch
import torch.nn.functional as F
from google.protobuf import text_format

from caffe.engine.blob import Blob
from caffe.engine.layers.kernels.convolution import conv2d
from caffe.engine.layers.kernels.interpolation import interpolate
from caffe.engine.layers.kernels.pooling import largest
from caffe.engine.layers.kernels.product import linear
from caffe.engine.layers.kernels.windows import Windows
from caffe.engine.layers.registry import create
from caffe.proto import caffe_pb2
from subjects.clock import least

PLACES, INPUTS, OUTPUTS = 256, 7 * 7 * 512, 4096      # of fc6
MAP = 1, 64, 514, 514                                   # what pool1 reads
CONV1, KERNEL1 = (1, 3, 514, 514), (64, 3, 3, 3)       # conv1_1
CONV4, KERNEL4 = (1, 512, 74, 74), (512, 512, 3, 3)     # conv4_2
SCORES, UPSCORE = (1, 21, 22, 22), 64                   # of FCN-32s: what is interpolated, kernel
LARGEFOV = (512, 65, 65), (1024, 512, 3, 3), 12         # fc6 of DeepLab-LargeFOV: map, kernel, hole
LRN = 'type: "LRN" lrn_param { local_size: 5 alpha: 1e-4 }', (1, 192, 125, 125)    # GoogLeNet's 2nd
UPCONV = ('type: "Deconvolution" convolution_param { num_output: 64 kernel_size: 2 stride: 2 '
          'weight_filler { type: "xavier" } }', (1, 128, 196, 196))     # U-Net's last


def main():
    torch.set_num_threads(1)
    x = torch.randn(PLACES, INPUTS, requires_grad=True)
    weight = torch.randn(OUTPUTS, INPUTS, requires_grad=True)
    image, windows = torch.randn(MAP), Windows((2, 2), (2, 2), (0, 0))
    learned = image.clone().requires_grad_()
    conv1 = torch.randn(CONV1), torch.randn(KERNEL1, requires_grad=True)
    conv4 = torch.randn(CONV4, requires_grad=True), torch.randn(KERNEL4, requires_grad=True)
    scores, upscore = torch.randn(SCORES, requires_grad=True), bilinear(SCORES[1], UPSCORE)
    interpolations = [lambda x, w: interpolate(x, w, (UPSCORE // 2,) * 2, (0, 0)),
                      lambda x, w: F.conv_transpose2d(x, w, stride=UPSCORE // 2, groups=len(w))]
    convolutions = [lambda x, w, f=f: f(x, w, None, (1, 1), (1, 1), (1, 1), 1)
                    for f in (conv2d, F.conv2d)]
    rows = {
        "conv1_1, gradient by its kernel": [gradients(f, *conv1) for f in convolutions],
        "conv4_2": [lambda f=f: f(*conv4) for f in convolutions],
        "conv4_2, gradients": [gradients(f, *conv4) for f in convolutions],
        "fc6": [lambda f=f: f(x, weight) for f in (linear, F.linear)],
        "fc6, gradients": [gradients(f, x, weight) for f in (linear, F.linear)],
        "pool1": [lambda: largest(image, windows), lambda: windows.maximum(image)],
        "pool1 in training": [lambda: largest(learned, windows), lambda: windows.maximum(learned)],
        "upscore of FCN-32s": [lambda f=f: f(scores, upscore) for f in interpolations],
        "upscore of FCN-32s, gradient": [gradients(f, scores, upscore) for f in interpolations],
    } | rows_of_other_nets(image)
    print("| | the engine, ms | PyTorch, ms |\n| --- | --- | --- |")
    for name, runs in rows.items():
        print(f"| {name} | {' | '.join(f'{1000 * least(run):.0f}' for run in runs)} |")


def rows_of_other_nets(image):
    """The same, all without gradients."""
    padded = Windows((3, 3), (2, 2), (1, 1))
    size, kernel, hole = LARGEFOV
    conv = torch.randn(1, *size), torch.randn(kernel), None, (1, 1), (hole,) * 2, (hole,) * 2, 1
    lrn, before = layer(*LRN), torch.randn(LRN[1])
    upconv, x = layer(*UPCONV), torch.randn(UPCONV[1])
    return {
        "pool1 of DeepLab": [lambda: largest(image, padded), lambda: padded.maximum(image)],
        "fc6 of DeepLab-LargeFOV": [lambda f=f: f(*conv) for f in (conv2d, F.conv2d)],
        "LRN of GoogLeNet": [lambda: lrn.compute(before),
                             lambda: F.local_response_norm(before, 5, 1e-4)],
        "last deconvolution of U-Net": [lambda: upconv.compute(x),
                                        lambda: F.conv_transpose2d(x, *upconv.weights, stride=2)],
    }


def bilinear(channels, size):
    """Kernels (channels, 1, size, size) of an even size that interpolate by half of it."""
    side = 1 - (torch.arange(size) - (size - 1) / 2).abs() / (size / 2)
    return torch.outer(side, side).expand(channels, 1, size, size).contiguous()


def layer(text, shape):
    """The engine's layer on a bottom of that shape."""
    made = create(text_format.Parse(text, caffe_pb2.LayerParameter()))
    made.setup([Blob(shape)], [Blob()])
    made.weights = tuple(blob.data_tensor for blob in made.blobs)
    return made


def gradients(product, x, weight):
    """A function that computes the gradients of a product by those of its factors that learn."""
    y = product(x, weight)
    slope, learned = torch.ones_like(y), [each for each in (x, weight) if each.requires_grad]
    return lambda: torch.autograd.grad(y, learned, slope, retain_graph=True)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
