"""VGG-16 (Simonyan & Zisserman): the classifier, and its fully convolutional trunk."""

import math

from caffe import layers as L

from .layers import LEARN, conv_relu, max_pool

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))   # channels, convolutions
FC = 4096


def scaled(channels, width):
    """`channels` at a fraction `width`, rounded, at least 1. ValueError unless it is positive."""
    if not (width > 0 and math.isfinite(width)):
        raise ValueError(f"width is {width}, expected a positive fraction of VGG-16's channels")
    return max(1, round(channels * width))


def filled(filler):
    """Weights start as `filler` says; without one they are zero, to be copied from a model."""
    return dict(weight_filler=dict(type=filler)) if filler else {}


def body(n, bottom, pad, width, filler):
    """conv1_1 … pool5; returns pool5. `pad` is that of conv1_1."""
    params = filled(filler)
    for block, (channels, depth) in enumerate(BLOCKS, 1):
        for i in range(1, depth + 1):
            name = f"{block}_{i}"
            n["conv" + name], n["relu" + name] = conv_relu(
                bottom, scaled(channels, width), pad=pad, **params)
            bottom, pad = n["relu" + name], 1
        n[f"pool{block}"] = bottom = max_pool(bottom)
    return bottom


def trunk(n, image, width=1.0, filler=None, fc6_kernel=7):
    """The fully convolutional trunk: pad 100, fc6 and fc7 as convolutions; returns drop7.

    `fc6_kernel` is the side of pool5 in the classifier that the weights come from.
    """
    params = filled(filler)
    bottom = body(n, image, 100, width, filler)
    for name, kernel in (("6", fc6_kernel), ("7", 1)):
        n["fc" + name], n["relu" + name] = conv_relu(
            bottom, scaled(FC, width), kernel=kernel, pad=0, **params)
        n["drop" + name] = bottom = L.Dropout(n["relu" + name], dropout_ratio=0.5, in_place=True)
    return bottom


def classifier(n, image, classes=1000, width=1.0, filler=None):
    """The ILSVRC classifier with InnerProduct layers; returns fc8."""
    params = filled(filler)
    bottom = body(n, image, 1, width, filler)
    for name in "67":
        n["fc" + name] = L.InnerProduct(bottom, num_output=scaled(FC, width), param=LEARN,
                                        **params)
        n["relu" + name] = L.ReLU(n["fc" + name], in_place=True)
        n["drop" + name] = bottom = L.Dropout(n["relu" + name], dropout_ratio=0.5, in_place=True)
    n.fc8 = L.InnerProduct(bottom, num_output=classes, param=LEARN, **params)
    return n.fc8
