"""CaffeNet, which is AlexNet (Krizhevsky et al.) but pools before it normalises: the classifier,
and its fully convolutional trunk."""

from __future__ import annotations

from caffe.net_spec import NetSpec, Top

from .layers import (
    FC,
    FIXED,
    PAD,
    Features,
    conv_relu,
    dropout,
    filled,
    inner_products,
    lrn,
    max_pool,
    scaled,
)

SIZE = 227                                                   # of the classifier's image
# channels, kernel, pad, stride, groups; None for the pad is that of the image
CONVOLUTIONS = ((96, 11, None, 4, 1), (256, 5, 2, 1, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2),
                (256, 3, 1, 1, 2))


def body(n: NetSpec, bottom: Top, pad: int, width: float, params: dict, suffix: str = "",
         first_conv_suffix: str = "") -> Top:
    """conv1 … pool5; returns pool5.

    `pad` and `first_conv_suffix`, which goes to its name, are for conv1.
    """
    for i, (channels, kernel, own_pad, stride, group) in enumerate(CONVOLUTIONS, 1):
        n[f"conv{i}{first_conv_suffix}{suffix}"], n[f"relu{i}{suffix}"] = conv_relu(
            bottom, scaled(channels, width, 2), kernel, pad if own_pad is None else own_pad,
            stride, group=group, **params)
        bottom, first_conv_suffix = n[f"relu{i}{suffix}"], ""
        if i in (1, 2, 5):
            n[f"pool{i}{suffix}"] = bottom = max_pool(bottom, kernel=3)
        if i in (1, 2):
            n[f"norm{i}{suffix}"] = bottom = lrn(bottom)
    return bottom


def trunk(n: NetSpec, image: Top, width: float = 1.0, filler: str | None = None,
          fc6_kernel: int = 6, suffix: str = "", first_conv_suffix: str = "", fixed: bool = False
          ) -> Features:
    """The Features of the fully convolutional trunk: fc6 and fc7 are convolutions.

    The options are those of VGG-16's. As published, biases learn and decay as weights do.
    """
    params = filled(filler) | (dict(param=FIXED) if fixed else {})
    bottom = body(n, image, PAD, width, params, suffix, first_conv_suffix)
    for name, kernel in (("6", fc6_kernel), ("7", 1)):
        name += suffix
        n["fc" + name], n["relu" + name] = conv_relu(
            bottom, scaled(FC, width), kernel, pad=0, group=1, **params)
        n["drop" + name] = bottom = dropout(n["relu" + name])
    skips = {name: n[name + suffix] for name in ("pool2", "pool1")}
    return Features(image, bottom, skips, odd=True)


def classifier(n: NetSpec, image: Top, classes: int = 1000, width: float = 1.0,
               filler: str | None = None, size: int = SIZE) -> Top:
    """The ILSVRC classifier with InnerProduct layers; returns fc8. Any `size` will do."""
    params = filled(filler)
    return inner_products(n, body(n, image, 0, width, params), width, classes, params)
