"""How surgery finds the parameters of a layer, and what it raises where they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import caffe
from segdata.errors import UserError

if TYPE_CHECKING:
    from .weights import Weights


class SurgeryError(UserError):
    """Parameters that do not fit where they are to go."""


def layer_parameters(net: caffe.Net | Weights, name: str) -> list:
    """The parameter blobs of a layer. Raises SurgeryError unless the net has such a layer."""
    if name not in net.params:
        raise SurgeryError(f"no layer {name} with parameters in the net; "
                           f"there are {', '.join(net.params)}")
    blobs = net.params[name]
    return [blobs[i] for i in range(len(blobs))]
