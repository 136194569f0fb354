"""SegNet (Badrinarayanan, Kendall and Cipolla, arXiv 1511.00561) and Bayesian SegNet (1511.02680).

An encoder, VGG-16 without its products, and a decoder that mirrors it. Poolings keep where their
maxima were, and the decoder puts values back there (Upsample), so that borders stay sharp without
anything that is learnt. Every convolution but the last is followed by BN, which learns with the
statistics of the batch (LEARN); for testing they are measured once over the training data and
folded into its parameters (INFERENCE, surgery.statistics).

SegNet-Basic has four convolutions of 7×7 each way. The Bayesian nets have dropout in the middle
layers, which in the deploy net acts, too: the mean over several passes is the prediction, their
variance says how sure the net is of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2

from .layers import LEARN, lrn, pixel_loss, scaled
from .source import Source
from .vgg16 import BLOCKS

BASIC = 4, 64           # blocks of SegNet-Basic, and channels of each
INNER = 3               # the first block with dropout
BN_LEARN = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=1, decay_mult=0)]


@dataclass(frozen=True)
class Variant:
    """basic : SegNet-Basic, not VGG-16; bayesian : with dropout, in testing, too"""
    basic: bool = False
    bayesian: bool = False

    @property
    def multiple(self) -> int:
        """Of which the sides of images are multiples: a half for each pooling."""
        return 2 ** (BASIC[0] if self.basic else len(BLOCKS))


VARIANTS = {"segnet": Variant(), "segnet-basic": Variant(basic=True),
            "segnet-bayesian": Variant(bayesian=True),
            "segnet-basic-bayesian": Variant(basic=True, bayesian=True)}
HEADS = tuple(VARIANTS)

Unit = Callable[..., Top]       # (name, bottom, channels) -> the top of convolution and BN


def fitting(source: Source, head: str, options: Mapping[str, Any]) -> Source:
    """See nets.fcn."""
    return source.with_multiple(VARIANTS[head].multiple)


def predict(n: NetSpec, image: Top, head: str, split: str, source: Source, width: float = 1.0,
            filler: str | None = None, fc6_kernel: int | None = None) -> None:
    """Set `n.score`, as large as the image, whose sides are multiples of `VARIANTS[head].multiple`,
    and `n.loss`.

    head : one of VARIANTS; split, source and width as of nets.fcn; filler of the weights, by
        default 'msra', as published; fc6_kernel does not matter, as there is no fc6

    Raises ValueError where the caffe that runs has no Upsample and BN, layers of SegNet's fork.
    """
    if not hasattr(caffe_pb2, "UpsampleParameter"):
        raise ValueError(f"head '{head}' needs the layers Upsample and BN of SegNet's fork, which "
                         "this caffe does not have; the package caffe of this project does")
    variant = VARIANTS[head]
    weights: dict[str, Any] = dict(weight_filler=dict(type=filler or "msra"))
    norm: dict[str, Any] = dict(
        scale_filler=dict(type="constant", value=1),
        shift_filler=dict(type="constant", value=0 if variant.bayesian else 0.001))
    if split != "train":
        norm.update(bn_mode=caffe_pb2.BNParameter.INFERENCE)

    def unit(name: str, bottom: Top, channels: int, kernel: int = 3, relu: bool = True) -> Top:
        n[f"conv{name}"] = L.Convolution(
            bottom, num_output=scaled(channels, width), kernel_size=kernel, pad=kernel // 2,
            param=LEARN, **weights)
        n[f"conv{name}_bn"] = top = L.BN(n[f"conv{name}"], in_place=True, param=BN_LEARN,
                                      bn_param=norm)
        if relu:
            n[f"relu{name}"] = top = L.ReLU(top, in_place=True)
        return top

    def drop(name: str, bottom: Top, block: int) -> Top:
        """Dropout behind the inner blocks of a Bayesian net; in deploy it draws."""
        if not variant.bayesian or block < INNER:
            return bottom
        draws: dict[str, Any] = dict(sample_weights_test=True) if split == "deploy" else {}
        n[f"{name}{block}"] = L.Dropout(bottom, in_place=True, dropout_ratio=0.5, **draws)
        return n[f"{name}{block}"]

    top = (_basic if variant.basic else _vgg16)(n, image, unit, drop)
    kernel = 1 if variant.basic else 3
    n.score = L.Convolution(top, num_output=source.classes, kernel_size=kernel, pad=kernel // 2,
                            param=LEARN, **weights)
    if split != "deploy":
        n.loss = pixel_loss(n.score, n.label)


def _vgg16(n: NetSpec, bottom: Top, unit: Unit, drop: Callable[[str, Top, int], Top]) -> Top:
    """conv1_1 … pool5 and back to conv1_2_D, which it returns."""
    masks = {}
    for block, (channels, depth) in enumerate(BLOCKS, 1):
        for i in range(1, depth + 1):
            bottom = unit(f"{block}_{i}", bottom, channels)
        bottom, masks[block] = _pooled(n, bottom, block)
        bottom = drop("encdrop", bottom, block)
    for block in range(len(BLOCKS), 0, -1):
        channels, depth = BLOCKS[block - 1]
        n[f"upsample{block}"] = bottom = L.Upsample(bottom, masks[block], scale=2)
        for i in range(depth, 0 if block > 1 else 1, -1):      # the scores are conv1_1_D
            below = BLOCKS[block - 2][0] if i == 1 else channels
            bottom = unit(f"{block}_{i}_D", bottom, below)
        bottom = drop("decdrop", bottom, block)
    return bottom


def _basic(n: NetSpec, image: Top, unit: Unit, drop: Callable[[str, Top, int], Top]) -> Top:
    """conv1 … pool4 and back to conv_decode1, which it returns."""
    (blocks, channels), masks = BASIC, {}
    n.norm = bottom = lrn(image)
    for block in range(1, blocks + 1):
        bottom, masks[block] = _pooled(n, unit(str(block), bottom, channels, 7), block)
        bottom = drop("encdrop", bottom, block)
    for block in range(blocks, 0, -1):
        n[f"upsample{block}"] = bottom = L.Upsample(bottom, masks[block], scale=2)
        bottom = drop("decdrop", unit(f"_decode{block}", bottom, channels, 7, relu=False), block)
    return bottom


def _pooled(n: NetSpec, bottom: Top, block: int) -> tuple[Top, Top]:
    """A pooling, and the mask of where its maxima were."""
    pool, mask = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=2, stride=2, ntop=2)
    n[f"pool{block}"], n[f"pool{block}_mask"] = pool, mask
    return pool, mask
