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
class Row:
    """head : of nets.fcn; source() : a nets.source.Source; options : further ones
    of nets.fcn."""
    head: str
    source: Callable
    options: dict = field(default_factory=dict)


TABLE = {
    **{f"voc-{head}": Row(head, voc)
       for head in ("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce", "fcn32s-fixed")},
    "voc-fcn-alexnet": Row("fcn32s", voc, dict(trunk="caffenet", normalize=True)),
    "voc-fcn-googlenet": Row("fcn32s", voc, dict(trunk="googlenet", normalize=True)),
    **{f"voc-{head}": Row(head, voc2012) for head in deeplab.HEADS},
    "voc-crfrnn": Row("crfrnn", voc),
    "voc-dilated-frontend": Row("dilated-frontend", dilated_voc2012),
    **{f"voc-{head}": Row(head, context_voc2012)
       for head in dilated.HEADS[1:]},
    **{f"camvid-{head}": Row(head, camvid) for head in segnet.HEADS},
    "nyud-fcn32s-color": Row("fcn32s", nyud),
    "nyud-fcn32s-hha": Row("fcn32s", partial(nyud, ("hha",))),
    "nyud-fcn32s-color-d": Row("fcn32s", partial(nyud, ("color", "depth")), dict(fusion="early")),
    "nyud-fcn32s-color-hha": Row("fcn32s", partial(nyud, ("color", "hha")), dict(fusion="late")),
    "nyud-fcn16s-color-hha": Row("fcn16s", partial(nyud, ("color", "hha")), dict(fusion="late")),
    **{f"siftflow-{head}": Row(head, siftflow) for head in ("fcn32s", "fcn16s", "fcn8s")},
    **{f"pascalcontext-{head}": Row(head, pascalcontext) for head in ("fcn32s", "fcn16s", "fcn8s")},
    **{f"{name}-unet": Row(unet.HEAD, partial(cells, name), dict(scale=1 / 64, filler="msra"))
       for name in ("isbi", "phc", "dic")},
}
