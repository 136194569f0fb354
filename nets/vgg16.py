"""VGG-16 (Simonyan & Zisserman): the classifier, and its fully convolutional trunk."""

from __future__ import annotations

from caffe.net_spec import NetSpec, Top

from .layers import (
    FC,
    FIXED,
    LEARN,
    PAD,
    Features,
    conv_relu,
    dropout,
    filled,
    inner_products,
    max_pool,
    scaled,
)

SIZE = 224                                                   # of the classifier's image
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))   # channels, convolutions


def body(n: NetSpec, bottom: Top, pad: int, width: float, params: dict, suffix: str = "",
         first_conv_suffix: str = "") -> Top:
    """conv1_1 … pool5; returns pool5.

    `pad` and `first_conv_suffix`, which goes to its name, are for conv1_1.
    """
    for block, (channels, depth) in enumerate(BLOCKS, 1):
        for i in range(1, depth + 1):
            name = f"{block}_{i}"
            n[f"conv{name}{first_conv_suffix}{suffix}"], n[f"relu{name}{suffix}"] = conv_relu(
                bottom, scaled(channels, width), pad=pad, **params)
            bottom, pad, first_conv_suffix = n[f"relu{name}{suffix}"], 1, ""
        n[f"pool{block}{suffix}"] = bottom = max_pool(bottom)
    return bottom


def trunk(n: NetSpec, image: Top, width: float = 1.0, filler: str | None = None,
          fc6_kernel: int = 7, suffix: str = "", first_conv_suffix: str = "", fixed: bool = False
          ) -> Features:
    """The Features of the fully convolutional trunk: fc6 and fc7 are convolutions.

    `fc6_kernel` is the side of pool5 in the classifier that the weights come from. `suffix` goes
    to every name, `first_conv_suffix` to that of the first convolution. `fixed` layers do not
    learn.
    """
    params = dict(param=FIXED if fixed else LEARN, **filled(filler))
    bottom = body(n, image, PAD, width, params, suffix, first_conv_suffix)
    for name, kernel in (("6", fc6_kernel), ("7", 1)):
        name += suffix
        n["fc" + name], n["relu" + name] = conv_relu(
            bottom, scaled(FC, width), kernel=kernel, pad=0, **params)
        n["drop" + name] = bottom = dropout(n["relu" + name])
    skips = {name: n[name + suffix] for name in ("pool4", "pool3")}
    return Features(image, bottom, skips, odd=False)


def classifier(n: NetSpec, image: Top, classes: int = 1000, width: float = 1.0,
               filler: str | None = None, size: int = SIZE) -> Top:
    """The ILSVRC classifier with InnerProduct layers; returns fc8. Any `size` will do."""
    params = dict(param=LEARN, **filled(filler))
    return inner_products(n, body(n, image, 1, width, params), width, classes, params)
