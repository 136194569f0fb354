"""Which ONNX operations the layers of Caffe's forks become."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from .onnx_graph import END, Graph, integers, sizes, weights, writes


@writes("Interp")
def interp(g: Graph, layer: Any, x: str, reference: str = "") -> str:
    p = layer.layer_param.interp_param
    if p.pad_beg or p.pad_end:
        x = g("Slice", x, integers(*[-p.pad_beg] * 2), integers(*[p.pad_end or END] * 2),
              integers(2, 3))
    zooms, shrinks = p.HasField("zoom_factor"), p.HasField("shrink_factor")
    size = sizes(g, reference or x, 2)
    if reference:
        pass        # its size is the top's
    elif zooms == shrinks and p.HasField("height") and p.HasField("width"):
        size = g.constant(integers(p.height, p.width))
    else:       # n - 1 is divided by the one factor, and multiplied by the other
        steps = g("Div", g("Sub", size, integers(1)), integers(p.shrink_factor if shrinks else 1))
        size = g("Add", g("Mul", steps, integers(p.zoom_factor if zooms else 1)), integers(1))
    whole = g("Concat", g("Shape", x, start=0, end=2), size, axis=0)
    return g("Resize", x, "", "", whole, mode="linear",
             coordinate_transformation_mode="align_corners")


@writes("Padding")
def padding(g: Graph, layer: Any, x: str) -> str:
    p = layer.layer_param.padding_param
    return g("Pad", x, integers(0, 0, p.pad_beg, p.pad_beg, 0, 0, p.pad_end, p.pad_end))


@writes("BN")
def bn(g: Graph, layer: Any, x: str) -> str:
    if layer.learns:
        raise g.unsupported("statistics of the batch, bn_mode: LEARN")
    shape = (-1,) + (1,) * (g.rank() - 2)
    slope, bias, *statistics = weights(layer)
    if not statistics:
        return g("Add", g("Mul", x, g.parameter(0, slope.reshape(shape))),
                 g.parameter(1, bias.reshape(shape)))
    names = [g.parameter(i, array.reshape(-1)) for i, array in enumerate(weights(layer))]
    return g("BatchNormalization", x, *names, epsilon=layer.layer_param.bn_param.eps)


@writes("Upsample")
def upsample(g: Graph, layer: Any, x: str, mask: str) -> str:
    if not any(spec.type == "Pooling" and len(spec.top) > 1 and g.values.get(spec.top[1]) == mask
               for spec in g.net.program.param.layer):
        raise g.unsupported("a mask that no pooling of the net makes")
    front = g("Shape", x, start=0, end=2)
    size = integers(*layer.given) if layer.given else g(
        "Sub", g("Mul", sizes(g, x, 2), integers(*layer.scales)), integers(*layer.less))
    flat = integers(0, 0, -1)
    zeros = g("ConstantOfShape", g("Concat", front, g("ReduceProd", size), axis=0))
    index = g("Reshape", g("Cast", mask, to=TensorProto.INT64), flat)
    y = g("ScatterElements", zeros, index, g("Reshape", x, flat), axis=2)
    return g("Reshape", y, g("Concat", front, size, axis=0))


@writes("ReLU6")
def relu6(g: Graph, layer: Any, x: str) -> str:
    return g("Clip", x, 0, 6)


@writes("Axpy")
def axpy(g: Graph, layer: Any, factor: str, x: str, y: str) -> str:
    behind = integers(*range(g.rank(0), g.rank(1)))
    return g("Add", g("Mul", g("Unsqueeze", factor, behind) if behind.size else factor, x), y)


@writes("Permute")
def permute(g: Graph, layer: Any, x: str) -> str:
    return g("Transpose", x, perm=layer.order(g.rank()))


@writes("Normalize")
def normalize(g: Graph, layer: Any, x: str) -> str:
    p, (scale,) = layer.layer_param.norm_param, weights(layer)
    axes = integers(*range(1, g.rank())) if p.across_spatial else integers(1)
    norm = g("Sqrt", g("Add", g("ReduceSumSquare", x, axes), p.eps))
    behind = (1,) * (g.rank() - 2) if scale.ndim else ()
    return g("Mul", g("Div", x, norm), g.parameter(0, scale.reshape(scale.shape + behind)))


@writes("ROIPooling")
def roi_pooling(g: Graph, layer: Any, x: str, regions: str) -> str:
    p = layer.layer_param.roi_pooling_param
    return g("MaxRoiPool", x, g("Reshape", regions, integers(-1, 5)),
             pooled_shape=[p.pooled_h, p.pooled_w], spatial_scale=p.spatial_scale)
