"""What images a net takes, as its data layer says."""

from __future__ import annotations

import numbers
import reprlib
from typing import TYPE_CHECKING, NamedTuple

from segdata.lists import literal
from segdata.means import ILSVRC, IMAGE_KINDS, OF_LAYERS

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2


class Images(NamedTuple):
    """What a net takes. kinds : 'color', 'grey', 'depth' or 'hha', one an input; mean : of colour,
    BGR, of grey the first; margin : pixels of their reflection around images; multiple : of which
    their sides are; for both see `segdata.layer`."""
    kinds: tuple = ("color",)
    mean: tuple = ILSVRC
    margin: int = 0
    multiple: int = 1


def images_of(param: caffe_pb2.PythonParameter) -> Images:
    """The Images of a data layer's PythonParameter."""
    params = dict(literal(param.param_str))
    tops = params.get("tops", IMAGE_KINDS.get(param.module, ("color",)))
    kinds = tuple(top for top in tops if top != "label")
    mean = params.get("mean", OF_LAYERS[param.module])
    if len(mean) != 3 or not all(isinstance(value, numbers.Real) for value in mean):
        raise ValueError(f"its mean is {reprlib.repr(mean)}, expected three numbers B, G, R")
    margin = params.get("margin", 0)
    if type(margin) is not int or margin < 0:
        raise ValueError(f"its margin is {reprlib.repr(margin)}, expected 0 or more pixels")
    multiple = params.get("multiple", 1)
    if type(multiple) is not int or multiple < 1:
        raise ValueError(f"its multiple is {reprlib.repr(multiple)}, expected 1 or more pixels")
    return Images(kinds, mean, margin, multiple)
