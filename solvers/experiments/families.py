"""The families of nets: what the commands have to know of the heads that one script makes.

docs/architecture.md has what another head, or another family of them, needs beside an entry here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fcn.nets import deeplab, dilated, segnet, unet
from fcn.nets.heads import HEADS
from fcn.nets.layers import Sides


@dataclass(frozen=True)
class Family:
    """What the heads of a family have in common; the defaults are what holds for most of them.

    title : what people call it
    heads : of nets.fcn
    on_folder : those that people can train on a folder of their own
    from_scratch : {head: fields of an Experiment on such a folder, from random weights}
    batch : images in a pass on such a folder
    crops : (sides that training crops can have, the longest on such a folder); None: whole images
    needs_base : {head that learns a part of its layers alone: that of the net it starts from}
    recipes : {trunk: the experiment whose rate, momentum and batch fit its ILSVRC weights, by
        {head}}
    scaled_rate : the rate with which they start from a net that scales its images to unit variance
        (docs/own-data.md has why); None: that from random weights
    decimated : {head: endings of its fc6 and fc7, to which the classifier's are decimated}
    identity : {head: (its layers that begin as the identity, the deviation of their weights)}
    dataset : of segdata.datasets, where the names of the experiments do not begin with it
    loss_is_mean : whether the loss is the mean over pixels, not their sum
    has_own_options : whether it has options of nets.fcn that other families do not take
    has_fc6 : whether nets.fcn takes the side of fc6
    unused : layers of the classifier for which it has no use
    """
    title: str
    heads: tuple[str, ...]
    on_folder: tuple[str, ...] = ()
    from_scratch: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    batch: int = 1
    crops: tuple[Sides, int] | None = None
    needs_base: Mapping[str, str] = field(default_factory=dict)
    recipes: Mapping[str, str] = field(default_factory=lambda: {"vgg16": "voc-{head}"})
    scaled_rate: float | None = None
    decimated: Mapping[str, Sequence[str]] = field(default_factory=dict)
    identity: Mapping[str, tuple[Sequence[str], float]] = field(default_factory=dict)
    dataset: str = ""
    loss_is_mean: bool = False
    has_own_options: bool = False
    has_fc6: bool = True
    unused: tuple[str, ...] = ()


SCALED_RATE = 2e-9      # of losses that are sums over the pixels

# in the order in which --head lists them
FAMILIES = (
    Family("FCN", tuple(HEADS), on_folder=("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce"),
           recipes={"vgg16": "voc-{head}", "caffenet": "voc-fcn-alexnet",
                    "googlenet": "voc-fcn-googlenet"}, scaled_rate=SCALED_RATE),
    Family("CRF-RNN", ("crfrnn",), scaled_rate=SCALED_RATE),
    Family("SegNet", segnet.HEADS, on_folder=segnet.HEADS,
           from_scratch=dict.fromkeys(segnet.HEADS, dict(lr=0.05, momentum=0.9,
                                                         class_weights="median")),
           batch=4,     # as published
           recipes={"vgg16": "camvid-{head}"}, loss_is_mean=True, unused=("fc6", "fc7")),
    Family("DeepLab", deeplab.HEADS, on_folder=deeplab.HEADS,
           from_scratch={head: dict(lr=0.0015 if variant.multiscale else 0.01, momentum=0.9)
                         for head, variant in deeplab.VARIANTS.items()},
           crops=(deeplab.CROP_SIDES, 321),
           needs_base={head: head.replace("-msc", "")
                       for head, variant in deeplab.VARIANTS.items() if variant.multiscale},
           decimated={head: variant.branches for head, variant in deeplab.VARIANTS.items()},
           dataset="voc2012", loss_is_mean=True, has_own_options=True),
    Family("Dilated convolutions", dilated.HEADS, dataset="voc2012", loss_is_mean=True,
           # the large context module widens, and needs noise
           identity={head: (dilated.context_layers(head), noise)
                     for head, noise in zip(dilated.HEADS[1:], (0, 0.001))}),
    Family("U-Net", unet.HEADS, on_folder=unet.HEADS,
           from_scratch={unet.HEAD: dict(lr=0.01, momentum=0.9)},
           crops=(unet.score_sides(), unet.SIDE - unet.lost()),
           recipes={"vgg16": "isbi-{head}"}, loss_is_mean=True, has_own_options=True,
           has_fc6=False),
)

ON_FOLDER = tuple(head for family in FAMILIES for head in family.on_folder)
_BY_HEAD = {head: family for family in FAMILIES for head in family.heads}


def family_of(head: str) -> Family:
    """The Family of a head of nets.fcn. Raises ValueError for an unknown head."""
    if head not in _BY_HEAD:
        raise ValueError(f"unknown head '{head}'; known are {', '.join(_BY_HEAD)}")
    return _BY_HEAD[head]


def base_needed(head: str) -> str:
    """What a head that learns a part of its layers alone needs, in a sentence for messages; '' of
    another head."""
    base = family_of(head).needs_base.get(head)
    return "" if base is None else (
        f"The head {head} learns the scores of its branches alone, on a trained {base}: train "
        f"--head {base} first, and give that run with --from")
