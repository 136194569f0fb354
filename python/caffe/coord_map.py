"""Where a blob's coordinates lie in another's, and the Crop that aligns two blobs.

Along each spatial axis, layers map coordinates affinely. With a and b such that a point x of the
layer's top lies at a·x + b in its bottom (samples at pixel centres):

    convolution, pooling   a = stride       b = (dilation·(kernel − 1)) / 2 − pad
    deconvolution          a = 1/stride     b = (pad − (kernel − 1) / 2) / stride
    crop                   a = 1            b = offset
    elementwise            a = 1            b = 0

A path of layers composes its maps. Two blobs that meet at a common ancestor are related by the
one's map and the inverse of the other's. If the result has scale 1 and a whole, non-negative
shift, that shift is the offset of the Crop.
"""

from fractions import Fraction

from .net_spec import layers as L

PASS_THROUGH_LAYERS = ["AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU",
                       "Exp", "Log", "LRN", "MVN", "Power", "PReLU", "ReLU", "Scale", "Sigmoid",
                       "Softmax", "Split", "Swish", "TanH", "Threshold"]


class UndefinedMapException(Exception):
    """A layer has no coordinate map (for example InnerProduct)."""


class AxisMismatchException(Exception):
    """Blobs on the way are aligned along different axes."""


def conv_params(fn):
    """(axis, stride, effective kernel, pad) of a convolution, deconvolution or pooling.

    Values are lists, one for each spatial axis, or of length 1 where they are all equal.
    """
    params = fn.params.get("convolution_param", fn.params.get("pooling_param", fn.params))
    axis = params.get("axis", 1)
    if params.get("global_pooling"):
        raise UndefinedMapException("global pooling has no coordinate map")
    kernel = _spatial(params, "kernel", "kernel_size", None)
    if kernel is None:
        raise UndefinedMapException(f"{fn.type_name} has no kernel_size")
    stride, pad = _spatial(params, "stride", "stride", 1), _spatial(params, "pad", "pad", 0)
    dilation = _spatial(params, "dilation", "dilation", 1)
    sides = max(map(len, (kernel, stride, pad, dilation)))
    kernel, stride, pad, dilation = ([*v] * (sides if len(v) == 1 else 1)
                                     for v in (kernel, stride, pad, dilation))
    return axis, stride, [d * (k - 1) + 1 for d, k in zip(dilation, kernel)], pad


def _spatial(params, prefix, name, default):
    if prefix + "_h" in params or prefix + "_w" in params:
        return [params.get(prefix + "_h", default), params.get(prefix + "_w", default)]
    value = params.get(name, default)
    return value if value is None or isinstance(value, (list, tuple)) else [value]


def crop_params(fn):
    """(axis, offsets) of a Crop; the offsets a list."""
    params = fn.params.get("crop_param", fn.params)
    offset = params.get("offset", 0)
    return params.get("axis", 2), list(offset) if isinstance(offset, (list, tuple)) else [offset]


def coord_map(fn):
    """(axis, scales a, shifts b) from the coordinates of a layer's top to its first bottom's.

    `axis` is None where the map is the same along all axes. Raises UndefinedMapException.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return (axis, [Fraction(s) for s in stride],
                [Fraction(k - 1, 2) - p for k, p in zip(kernel, pad)])
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return (axis, [Fraction(1, s) for s in stride],
                [(p - Fraction(k - 1, 2)) / s for s, k, p in zip(stride, kernel, pad)])
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, [Fraction(1)] * len(offset), [Fraction(o) for o in offset]
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, [Fraction(1)], [Fraction(0)]
    raise UndefinedMapException(f"no coordinate map through {fn.type_name}")


def inverse(mapping):
    """The inverse of an affine map (axis, a, b)."""
    axis, scales, shifts = mapping
    return axis, [1 / a for a in scales], [-b / a for a, b in zip(scales, shifts)]


def compose(outer, inner):
    """The map x → outer(inner(x)). Raises AxisMismatchException."""
    (axis_o, a_o, b_o), (axis_i, a_i, b_i) = outer, inner
    if axis_o is not None and axis_i is not None and axis_o != axis_i:
        raise AxisMismatchException(f"maps along the axes after {axis_o} and {axis_i}")
    sides = max(len(a_o), len(a_i))
    if any(len(a) not in (1, sides) for a in (a_o, a_i)):
        raise AxisMismatchException(f"maps along {len(a_o)} and {len(a_i)} axes")
    a_o, b_o, a_i, b_i = (v * (sides if len(v) == 1 else 1) for v in (a_o, b_o, a_i, b_i))
    return (axis_i if axis_o is None else axis_o, [p * q for p, q in zip(a_o, a_i)],
            [p * q + r for p, q, r in zip(a_o, b_i, b_o)])


_IDENTITY = (None, [Fraction(1)], [Fraction(0)])


def _ancestors(top):
    """{ancestor Top: map from `top` to it}, `top` itself included."""
    maps, frontier = {top: _IDENTITY}, [top]
    blocked = {}
    while frontier:
        current = frontier.pop()
        fn = current.fn
        sources = fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs
        for source in sources:
            if source in maps:
                continue
            try:
                maps[source] = compose(coord_map(fn), maps[current])
            except UndefinedMapException as error:
                blocked[fn] = error
                continue
            frontier.append(source)
    return maps, blocked


def coord_map_from_to(top_from, top_to):
    """The map (axis, a, b) from the coordinates of `top_from` to those of `top_to`.

    The two need a common ancestor. Raises UndefinedMapException or AxisMismatchException.
    """
    maps_from, blocked_from = _ancestors(top_from)
    maps_to, blocked_to = _ancestors(top_to)
    for ancestor, mapping in maps_from.items():
        if ancestor in maps_to:
            return compose(inverse(maps_to[ancestor]), mapping)
    reasons = {str(error) for error in (*blocked_from.values(), *blocked_to.values())}
    raise UndefinedMapException("the two blobs have no common ancestor with a coordinate map"
                                + "".join(f"; {reason}" for reason in sorted(reasons)))


def crop(top_from, top_to):
    """A Crop layer that cuts `top_from` to the extent of `top_to`, aligned with it.

    The map between the two must have scale 1 and a whole, non-positive shift from `top_from`'s
    origin (the offset is its negative); otherwise ValueError says which of them fails.
    """
    axis, scales, shifts = coord_map_from_to(top_from, top_to)
    if any(a != 1 for a in scales):
        raise ValueError(f"the blobs differ in scale, by {[str(a) for a in scales]}")
    if any(b > 0 for b in shifts):
        raise ValueError(f"the crop would begin {[str(b) for b in shifts]} before the blob "
                         "(negative offset)")
    if any(b.denominator != 1 for b in shifts):
        raise ValueError(f"the offset is not whole: {[str(-b) for b in shifts]}")
    offset = [int(-b) for b in shifts]
    crop_param = dict(axis=2 if axis is None else axis + 1,
                      offset=offset[0] if len(set(offset)) == 1 else offset)
    return L.Crop(top_from, top_to, crop_param=crop_param)
