"""The nets of the paper: a row says of what a net is made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from . import deeplab, dilated, segnet, unet
from .source import (
    camvid,
    cells,
    context_voc2012,
    dilated_voc2012,
    nyud,
    pascalcontext,
    siftflow,
    voc,
    voc2012,
)


@dataclass(frozen=True)
class NamedNet:
    """head : of nets.fcn; source() : a nets.source.Source; options : further ones
    of nets.fcn."""
    head: str
    source: Callable
    options: dict = field(default_factory=dict)


TABLE = {
    **{f"voc-{head}": NamedNet(head, voc)
       for head in ("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce", "fcn32s-fixed")},
    "voc-fcn-alexnet": NamedNet("fcn32s", voc, dict(trunk="caffenet", normalize=True)),
    "voc-fcn-googlenet": NamedNet("fcn32s", voc, dict(trunk="googlenet", normalize=True)),
    **{f"voc-{head}": NamedNet(head, voc2012) for head in deeplab.HEADS},
    "voc-crfrnn": NamedNet("crfrnn", voc),
    "voc-dilated-frontend": NamedNet("dilated-frontend", dilated_voc2012),
    **{f"voc-{head}": NamedNet(head, context_voc2012)
       for head in dilated.HEADS[1:]},
    **{f"camvid-{head}": NamedNet(head, camvid) for head in segnet.HEADS},
    "nyud-fcn32s-color": NamedNet("fcn32s", nyud),
    "nyud-fcn32s-hha": NamedNet("fcn32s", partial(nyud, ("hha",))),
    "nyud-fcn32s-color-d": NamedNet("fcn32s", partial(nyud, ("color", "depth")),
                                    dict(fusion="early")),
    **{f"nyud-{head}-color-hha": NamedNet(head, partial(nyud, ("color", "hha")),
                                          dict(fusion="late")) for head in ("fcn32s", "fcn16s")},
    **{f"siftflow-{head}": NamedNet(head, siftflow) for head in ("fcn32s", "fcn16s", "fcn8s")},
    **{f"pascalcontext-{head}": NamedNet(head, pascalcontext)
       for head in ("fcn32s", "fcn16s", "fcn8s")},
    **{f"{name}-unet": NamedNet(unet.HEAD, partial(cells, name), dict(scale=1 / 64, filler="msra"))
       for name in ("isbi", "phc", "dic")},
}
