"""From the trunk to per-pixel scores: the heads of the paper (section 4.2, figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caffe import layers as L
from caffe import params as P
from caffe.coord_map import coord_map_from_to, crop
from caffe.net_spec import NetSpec, Top

from .layers import Features, score, upsample


@dataclass(frozen=True)
class Head:
    """What tells the heads apart.

    skips : how many finer layers of the trunk are fused, one after the other
    scales : fixed factors on the skips, in proportion to which their gradients shrink
    fixed : only the scores learn, the trunk does not
    """
    skips: int = 0
    scales: tuple = ()
    fixed: bool = False


HEADS = {"fcn32s": Head(), "fcn16s": Head(1), "fcn8s": Head(2),
         "fcn8s-atonce": Head(2, scales=(0.01, 0.0001)), "fcn32s-fixed": Head(fixed=True)}


def predict(n: NetSpec, features: Features, head: Head, classes: int, task: str = "",
            learned: bool = False) -> None:
    """Set `n.score`, aligned with the image: scores at stride 32, fused with those of the skips.

    The offsets of the crops follow from the coordinate map. `task` goes to every name. With
    `learned`, interpolation between stages learns; the last, to the image, is always fixed
    (section 4.3). Raises ValueError for a head that fuses more skips than the trunk hands over.
    """
    if head.skips > len(features.skips):
        name = next((name for name, each in HEADS.items() if each is head), "head")
        raise ValueError(f"{name} fuses {head.skips} skips, but the trunk hands over only "
                         f"{len(features.skips)}: {', '.join(features.skips)}; add the next finer "
                         "pooling to the `skips` of the trunk's Features")
    top, stride, odd = features.scores.get("fr"), 32, features.odd
    if top is None:
        n["score_fr" + task] = top = score(features.top, classes)
    up = "upscore2"
    for i, (name, skip) in enumerate(list(features.skips.items())[:head.skips]):
        n[up + task] = upsample(top, classes, 2, odd, learned)
        if head.scales:
            n[f"scale_{name}{task}"] = skip = _fixed_scale(skip, head.scales[i])
        n[f"score_{name}{task}"] = features.scores.get(name) or score(skip, classes)
        n[f"fuse_{name}{task}"] = top = _fuse(n, up + task, f"score_{name}{task}")
        up, stride = f"upscore_{name}", stride // 2
    up = f"upscore{stride if head.skips else ''}{task}"
    n[up] = upsample(top, classes, stride, odd)
    n["score" + task] = crop(n[up], features.image)


def _fuse(n: NetSpec, up: str, skip: str) -> Top:
    """The sum of two blobs at one stride; the one that begins earlier is cropped to the other.

    Where they begin together the trunk has lost no border, and what was interpolated ends later.
    """
    _, _, shift = coord_map_from_to(n[skip], n[up])
    if np.max(shift) < 0:
        n[skip + "c"] = crop(n[skip], n[up])
        skip += "c"
    else:
        n[up + "c"] = crop(n[up], n[skip])
        up += "c"
    return L.Eltwise(n[up], n[skip], operation=P.Eltwise.SUM)


def _fixed_scale(bottom: Top, factor: float) -> Top:
    return L.Scale(bottom, filler=dict(type="constant", value=factor), param=[dict(lr_mult=0)])
