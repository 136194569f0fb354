"""GoogLeNet (Szegedy et al.) with the names of BVLC's: the classifier, without the auxiliary ones
that help to train it, and its fully convolutional trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caffe import coord_map
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec, Top

from .layers import FIXED, LEARN, PAD, Features, conv_relu, dropout, filled, lrn, max_pool, scaled

SIZE = 224                                                   # of the classifier's image
# channels of the branches 1x1 | 3x3_reduce, 3x3 | 5x5_reduce, 5x5 | pool_proj
MODULES = {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
           "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
           "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
           "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
           "5b": (384, 192, 384, 48, 128, 128)}


def body(n: NetSpec, bottom: Top, pad: int, width: float, params: dict, suffix: str = "",
         first_conv_suffix: str = "") -> Top:
    """conv1/7x7_s2 … inception_5b/output; returns the last.

    `pad` and `first_conv_suffix`, which goes to its name, are for the first convolution.
    """
    def conv(stage: str, kind: str, bottom: Top, channels: int, kernel: int,
             first_conv_suffix: str = "", **more: int) -> Top:
        name = f"{stage}/relu_{kind.removesuffix('_s2')}{suffix}"
        n[f"{stage}/{kind}{first_conv_suffix}{suffix}"], n[name] = conv_relu(
            bottom, scaled(channels, width), kernel, **more, **params)
        return n[name]

    bottom = conv("conv1", "7x7_s2", bottom, 64, 7, first_conv_suffix, pad=pad, stride=2)
    n[f"pool1/3x3_s2{suffix}"] = bottom = max_pool(bottom, 3)
    n[f"pool1/norm1{suffix}"] = bottom = lrn(bottom)
    bottom = conv("conv2", "3x3_reduce", bottom, 64, 1, pad=0)
    bottom = conv("conv2", "3x3", bottom, 192, 3)
    n[f"conv2/norm2{suffix}"] = bottom = lrn(bottom)
    n[f"pool2/3x3_s2{suffix}"] = bottom = max_pool(bottom, 3)
    for module, channels in MODULES.items():
        bottom = _inception(n, f"inception_{module}", bottom, channels, conv, suffix)
        if module in ("3b", "4e"):
            n[f"pool{module[0]}/3x3_s2{suffix}"] = bottom = max_pool(bottom, 3)
    return bottom


def _inception(n: NetSpec, stage: str, bottom: Top, channels: Sequence[int],
               conv: Callable[..., Top], suffix: str) -> Top:
    """Convolutions of three sizes and pooling, side by side (their figure 2b)."""
    c1, c3_reduce, c3, c5_reduce, c5, c_pool = channels
    branches = [conv(stage, "1x1", bottom, c1, 1, pad=0)]
    reduced = conv(stage, "3x3_reduce", bottom, c3_reduce, 1, pad=0)
    branches.append(conv(stage, "3x3", reduced, c3, 3))
    reduced = conv(stage, "5x5_reduce", bottom, c5_reduce, 1, pad=0)
    branches.append(conv(stage, "5x5", reduced, c5, 5, pad=2))
    n[f"{stage}/pool{suffix}"] = pooled = max_pool(bottom, 3, 1, pad=1)
    branches.append(conv(stage, "pool_proj", pooled, c_pool, 1, pad=0))
    n[f"{stage}/output{suffix}"] = L.Concat(*branches)
    return n[f"{stage}/output{suffix}"]


def trunk(n: NetSpec, image: Top, width: float = 1.0, filler: str | None = None, suffix: str = "",
          first_conv_suffix: str = "", fixed: bool = False) -> Features:
    """The Features of the fully convolutional trunk: the average pooling is dropped.

    The options are those of VGG-16's. Padding by 100 is what the published trunks have; the
    paper's own GoogLeNet was never published.
    """
    # The branches of a module meet at equal coordinates; pycaffe's list does not know that.
    if "Concat" not in coord_map.PASS_THROUGH_LAYERS:
        coord_map.PASS_THROUGH_LAYERS.append("Concat")
    params = dict(param=FIXED if fixed else LEARN, **filled(filler))
    last = body(n, image, PAD, width, params, suffix, first_conv_suffix)
    n[f"pool5/drop_7x7_s1{suffix}"] = last = dropout(last, 0.4)
    skips = {name: n[f"{name}/3x3_s2{suffix}"] for name in ("pool3", "pool2")}
    return Features(image, last, skips, odd=True)


def classifier(n: NetSpec, image: Top, classes: int = 1000, width: float = 1.0,
               filler: str | None = None, size: int = SIZE) -> Top:
    """The ILSVRC classifier of images of `size` × `size`, at least 31; returns loss3/classifier."""
    side = (size + 1) // 32         # of inception_5b
    params = dict(param=LEARN, **filled(filler))
    n["pool5/7x7_s1"] = L.Pooling(body(n, image, 3, width, params), pool=P.Pooling.AVE,
                                  kernel_size=side, stride=1)
    n["pool5/drop_7x7_s1"] = bottom = dropout(n["pool5/7x7_s1"], 0.4)
    n["loss3/classifier"] = L.InnerProduct(bottom, num_output=classes, **params)
    return n["loss3/classifier"]
