"""From the trunk to per-pixel scores: the heads of the paper (section 4.2, figure 3).

Each takes the NetSpec with the trunk, the last trunk layer and the number of classes, and sets
`n.score`, aligned with `n.data`. The offsets of the crops follow from the coordinate map.
"""

from caffe import layers as L, params as P
from caffe.coord_map import crop

from .layers import score, upsample


def fcn32s(n, top, classes):
    """One prediction at stride 32."""
    n.score_fr = score(top, classes)
    n.upscore = upsample(n.score_fr, classes, 32)
    n.score = crop(n.upscore, n.data)


def fcn16s(n, top, classes):
    """Stride 32 fused with pool4."""
    n.score_fr = score(top, classes)
    n.upscore2 = upsample(n.score_fr, classes, 2)
    _fuse_pool4(n, n.pool4, classes)
    n.upscore16 = upsample(n.fuse_pool4, classes, 16)
    n.score = crop(n.upscore16, n.data)


def fcn8s(n, top, classes):
    """Stride 32 fused with pool4, then with pool3."""
    n.score_fr = score(top, classes)
    n.upscore2 = upsample(n.score_fr, classes, 2)
    _fuse_pool4(n, n.pool4, classes)
    n.upscore_pool4 = upsample(n.fuse_pool4, classes, 2)
    _fuse_pool3(n, n.pool3, classes)


def fcn8s_atonce(n, top, classes):
    """FCN-8s in one stage: fixed scales keep the skips' gradients in proportion."""
    n.score_fr = score(top, classes)
    n.upscore2 = upsample(n.score_fr, classes, 2)
    n.scale_pool4 = _fixed_scale(n.pool4, 0.01)
    _fuse_pool4(n, n.scale_pool4, classes)
    n.upscore_pool4 = upsample(n.fuse_pool4, classes, 2)
    n.scale_pool3 = _fixed_scale(n.pool3, 0.0001)
    _fuse_pool3(n, n.scale_pool3, classes)


def _fuse_pool4(n, pool4, classes):
    n.score_pool4 = score(pool4, classes)
    n.score_pool4c = crop(n.score_pool4, n.upscore2)
    n.fuse_pool4 = L.Eltwise(n.upscore2, n.score_pool4c, operation=P.Eltwise.SUM)


def _fuse_pool3(n, pool3, classes):
    n.score_pool3 = score(pool3, classes)
    n.score_pool3c = crop(n.score_pool3, n.upscore_pool4)
    n.fuse_pool3 = L.Eltwise(n.upscore_pool4, n.score_pool3c, operation=P.Eltwise.SUM)
    n.upscore8 = upsample(n.fuse_pool3, classes, 8)
    n.score = crop(n.upscore8, n.data)


def _fixed_scale(bottom, factor):
    return L.Scale(bottom, filler=dict(type="constant", value=factor), param=[dict(lr_mult=0)])


HEADS = {"fcn32s": fcn32s, "fcn16s": fcn16s, "fcn8s": fcn8s, "fcn8s-atonce": fcn8s_atonce}
