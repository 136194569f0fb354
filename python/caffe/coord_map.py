"""Where a blob's coordinates lie in another's, and the Crop that aligns two blobs.

Along each spatial axis, layers map coordinates affinely. With a and b such that a point x of the
layer's bottom lies at a·x + b in its top (samples at pixel centres, k = dilation·(kernel − 1) + 1):

    convolution, pooling   a = 1/stride     b = (pad − (k − 1) / 2) / stride
    deconvolution          a = stride       b = (k − 1) / 2 − pad
    crop                   a = 1            b = −offset
    elementwise            a = 1            b = 0
    interp (of forks)      a = its factor   b = a · pad_beg

A path of layers composes its maps. Two blobs that meet at a common ancestor are related by the
one's map after the inverse of the other's. If the result has scale 1 and a whole, non-positive
shift, the negative of that shift is the offset of the Crop.

A map is a tuple (axis, a, b): `axis` is the one before the first spatial axis, None for all axes
alike; a and b are arrays, one value for each spatial axis or one for all, or plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .net_spec import Function, Top
from .net_spec import layers as L
from .other_names import __getattr__  # noqa: F401  names that scripts find in the original's

PASS_THROUGH_LAYERS = ["AbsVal", "BatchNorm", "Bias", "BN", "BNLL", "Clip", "Dropout", "Eltwise",
                       "ELU", "Exp", "Log", "LRN", "MVN", "Power", "PReLU", "ReLU", "ReLU6",
                       "Scale", "Sigmoid", "Softmax", "Split", "Swish", "TanH", "Threshold"]
_IDENTITY = None, 1, 0


class UndefinedMapException(RuntimeError):
    """No coordinate map: a layer has none (InnerProduct), or the blobs are unconnected."""


class AxisMismatchException(Exception):
    """Blobs on the way are aligned along different axes."""


class MisalignedException(ValueError, AssertionError):
    """A Crop cannot align two blobs. (pycaffe asserts here.)"""


def conv_params(fn: Function) -> tuple:
    """(axis, stride, kernel, pad) of a convolution, deconvolution or pooling; all but axis arrays.

    The kernel is the extent that a dilated one covers.
    """
    params: Any = fn.params.get("convolution_param", fn.params.get("pooling_param", fn.params))
    if params.get("global_pooling"):
        raise UndefinedMapException("global pooling has no coordinate map")
    if not {"kernel_size", "kernel_h", "kernel_w"} & set(params):
        raise UndefinedMapException(f"{fn.type_name} has no kernel_size")
    kernel, stride, pad, dilation = (
        _spatial(params, "kernel", "kernel_size", 1), _spatial(params, "stride", "stride", 1),
        _spatial(params, "pad", "pad", 0), _spatial(params, "dilation", "dilation", 1)
        * _spatial(params, "hole", "hole", 1))
    return params.get("axis", 1), stride, dilation * (kernel - 1) + 1, pad


def _spatial(params: Mapping[str, Any], prefix: str, name: str, default: int) -> np.ndarray:
    if prefix + "_h" in params or prefix + "_w" in params:
        return np.array([params.get(prefix + "_h", default), params.get(prefix + "_w", default)])
    return np.array(params.get(name, default), ndmin=1)


def crop_params(fn: Function) -> tuple:
    """(axis, offsets) of a Crop; the offsets an array."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> tuple:
    """The map (axis, a, b) from a layer's first bottom to its top. Raises UndefinedMapException."""
    if fn.type_name in ("Convolution", "Pooling", "Im2col", "ConvolutionDepthwise",
                        "DepthwiseConvolution"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name == "Interp":
        return _interp_map(fn.params.get("interp_param", fn.params), len(fn.inputs) > 1)
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    raise UndefinedMapException(f"no coordinate map through {fn.type_name}")


def _interp_map(params: Any, sized: bool) -> tuple:
    """The map of a fork's Interp, by a whole factor; of a size alone, which a second bottom gives,
    too, none is known."""
    zoom, shrink = params.get("zoom_factor"), params.get("shrink_factor")
    if sized or not zoom and not shrink or zoom and shrink and "height" in params:
        raise UndefinedMapException("no coordinate map through an Interp to a given size")
    scale = (zoom or 1) / (shrink or 1)
    return 1, scale, scale * params.get("pad_beg", 0)


def inverse(mapping: tuple) -> tuple:
    """The inverse of a map."""
    axis, scales, shifts = mapping
    return axis, 1 / scales, -shifts / scales


def compose(outer: tuple, inner: tuple) -> tuple:
    """The map x → outer(inner(x)). Raises AxisMismatchException."""
    (axis_o, a_o, b_o), (axis_i, a_i, b_i) = outer, inner
    if axis_o is not None and axis_i is not None and axis_o != axis_i:
        raise AxisMismatchException(f"maps along the axes after {axis_o} and {axis_i}")
    try:
        return axis_i if axis_o is None else axis_o, a_o * a_i, a_o * b_i + b_o
    except ValueError:
        raise AxisMismatchException(f"maps along {max(map(np.size, (a_o, b_o)))} and "
                                    f"{max(map(np.size, (a_i, b_i)))} axes") from None


def _ancestors(top: Top) -> tuple[dict, dict]:
    """{ancestor Top: map from it to `top`}, and {layer: why there is no map through it}."""
    maps, frontier, blocked = {top: _IDENTITY}, [top], {}
    while frontier:
        current = frontier.pop()
        fn = current.fn
        sources = fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs
        for source in sources:
            if source in maps:
                continue
            try:
                maps[source] = compose(maps[current], coord_map(fn))
            except UndefinedMapException as error:
                blocked[fn] = error
                continue
            frontier.append(source)
    return maps, blocked


def coord_map_from_to(top_from: Top, top_to: Top) -> tuple:
    """The map (axis, a, b) from the coordinates of `top_from` to those of `top_to`.

    The two need a common ancestor. Raises UndefinedMapException or AxisMismatchException.
    """
    maps_from, blocked_from = _ancestors(top_from)
    maps_to, blocked_to = _ancestors(top_to)
    for ancestor, mapping in maps_from.items():
        if ancestor in maps_to:
            return compose(maps_to[ancestor], inverse(mapping))
    reasons = {str(error) for error in (*blocked_from.values(), *blocked_to.values())}
    raise UndefinedMapException("the two blobs have no common ancestor with a coordinate map"
                                + "".join(f"; {reason}" for reason in sorted(reasons)))


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the extent of `top_to`, aligned with it.

    The map from `top_from` to `top_to` must have scale 1 and a whole, non-positive shift (the
    offset is its negative); otherwise MisalignedException, a ValueError, says why.
    """
    axis, scales, shifts = coord_map_from_to(top_from, top_to)
    shifts = np.atleast_1d(shifts)
    offset = np.round(-shifts).astype(int)
    if not np.allclose(scales, 1):
        raise MisalignedException(f"the blobs differ in scale, by {_listed(scales)}")
    if (shifts > _EXACT).any():
        raise MisalignedException(f"the crop would begin {_listed(shifts)} before the blob "
                                  "(negative offset)")
    if (abs(shifts + offset) > _EXACT).any():
        raise MisalignedException(f"the offset is not whole: {_listed(-shifts)}")
    crop_param = dict(axis=2 if axis is None else axis + 1, offset=offset.tolist())
    return L.Crop(top_from, top_to, crop_param=crop_param)


# shifts are fractions over small products of strides: what is nearer to a whole number is rounding
_EXACT = 1e-6


def _listed(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in np.atleast_1d(values))
