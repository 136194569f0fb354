"""Where a loss that is not finite comes from, and progress that is none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fcn import surgery
from segdata.lists import some

if TYPE_CHECKING:
    import caffe

STRETCH = 25    # logged losses, over two of which in turn a loss may stand still
LEVEL = 0.7     # of ln(classes), above which a net has learnt nothing
CHANGE = 0.02   # of the loss, from one stretch to the next


def origin(net: caffe.Net, is_later: bool = False) -> str:
    """Where numbers that are not finite begin in the pass that a net has just done, and the likely
    causes in their order.

    is_later : whether weights were updated since such numbers may first have come, so that they
        tell nothing of the cause
    """
    weights = [name for name in net.params if not all(
        np.isfinite(blob.data).all() for blob in surgery.layer_parameters(net, name))]
    layer, blob = next(((layer, blob) for layer, tops in net.top_names.items() for blob in tops
                        if not np.isfinite(net.blobs[blob].data).all()), (None, None))
    parts, causes = [], [TOO_HIGH, BAD_IMAGE, DAMAGED]
    if layer:
        parts.append(f"the first layer whose output is not finite is '{layer}' (blob '{blob}')")
    else:       # they came with an image before, of the same update
        causes = [BAD_IMAGE, TOO_HIGH, DAMAGED]
    if weights:
        parts.append(f"the weights of {some(weights)} are not finite")
        causes = [TOO_HIGH + " in the iterations before", *(
            [BAD_IMAGE, DAMAGED] if is_later else [DAMAGED, BAD_IMAGE])]
    if layer == next(iter(net.top_names)):
        causes = [BAD_IMAGE, TOO_HIGH]
    return ("; ".join(parts) or "all blobs and weights are finite now") \
        + ". Likely causes, in this order: " + "; ".join(causes)


TOO_HIGH = "the rate is too high for this loss"
BAD_IMAGE = "an image holds numbers that are not finite, or labels that do not fit"
DAMAGED = "the weights that the run started from were damaged"


class Standstill:
    """Says once that a loss stands still."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.has_warned = False

    def warning(self, per_pixel: float, guessing: float) -> str | None:
        """Take a logged loss per pixel, and ln(classes); returns a warning if the loss stands
        still near what guessing costs, the first time."""
        if math.isfinite(per_pixel):
            self.losses = [*self.losses, per_pixel][-2 * STRETCH:]
        if self.has_warned or len(self.losses) < 2 * STRETCH:
            return None
        before, now = np.mean(self.losses[:STRETCH]), np.mean(self.losses[STRETCH:])
        if now < LEVEL * guessing or abs(now - before) > CHANGE * before:
            return None
        self.has_warned = True
        return (f"warning: the loss stands still at {now:.3g} per pixel; guessing costs "
                f"{guessing:.3g}. Likely causes, in this order: the rate is too low for this loss "
                "(1e-10 is for summed losses, 1e-4 for averaged ones); score layers or "
                "deconvolutions that are zero; weights that were not transplanted; a rate so high "
                "that the net has died; labels that do not belong to the images")
