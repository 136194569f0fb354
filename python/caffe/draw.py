"""Pictures of nets: a NetParameter as a graph, drawn by Graphviz."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from .errors import CaffeError
from .formats.atomic import replacing
from .formats.text import encode
from .other_names import __getattr__  # noqa: F401  names that scripts find in the original's
from .proto import caffe_pb2

# The pictures' colours, as those who know Caffe's drawings expect them.
_COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900",
           "InnerProduct": "#CC33FF"}
_LAYER_COLOR, _IN_PLACE_COLOR, _BLOB_COLOR = "#6495ED", "#90EE90", "#E0E0E0"
_NO_LABEL = '""'

# the same under the original's names, with the shapes that it draws
LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": _LAYER_COLOR, "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": _IN_PLACE_COLOR, "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": _BLOB_COLOR, "style": "filled"}


def draw_net_to_file(caffe_net: caffe_pb2.NetParameter, filename: str, rankdir: str = "LR",
                     phase: int | None = None, display_lrm: bool = False) -> None:
    """Draw a NetParameter into a file, whose ending names the format (.png, .pdf, .svg, .dot, ...).

    Parameters
    ----------
    rankdir : "LR", "TB", ...: where the graph runs
    phase : caffe.TRAIN or caffe.TEST for the layers of that phase alone; None for all
    display_lrm : whether to show rate multipliers
    """
    kind = os.path.splitext(filename)[1][1:] or "png"
    picture = draw_net(caffe_net, rankdir, kind, phase, display_lrm)
    with replacing(filename) as file:
        file.write(picture)


def draw_net(caffe_net: caffe_pb2.NetParameter, rankdir: str, ext: str = "png",
             phase: int | None = None, display_lrm: bool = False) -> bytes:
    """The bytes of a picture of a NetParameter, in the format `ext`; see draw_net_to_file.

    Raises CaffeError where Graphviz's `dot` is missing; the formats "dot" and "raw", the
    graph's text, need none.
    """
    text = encode(dot(caffe_net, rankdir, phase=phase, display_lrm=display_lrm))
    if ext in ("dot", "raw"):
        return text
    try:
        return subprocess.run(["dot", f"-T{ext}"], input=text, capture_output=True,
                              check=True).stdout
    except FileNotFoundError:
        raise CaffeError(f"drawing as {ext} needs Graphviz (the program `dot`); a file "
                         "whose name ends in .dot does not") from None
    except subprocess.CalledProcessError as error:
        raise CaffeError(f"Graphviz failed: {error.stderr.decode().strip()}") from None


def get_pydot_graph(caffe_net: caffe_pb2.NetParameter, rankdir: str, label_edges: bool = True,
                    phase: int | None = None, display_lrm: bool = False) -> Any:
    """The graph as a pydot.Dot. Raises CaffeError where the package pydot is missing."""
    try:
        import pydot
    except ImportError:
        raise CaffeError("get_pydot_graph needs the package pydot") from None
    return pydot.graph_from_dot_data(dot(caffe_net, rankdir, label_edges, phase, display_lrm))[0]


def dot(caffe_net: caffe_pb2.NetParameter, rankdir: str = "LR", label_edges: bool = True,
        phase: int | None = None, display_lrm: bool = False) -> str:
    """The graph in Graphviz's language: a box for each layer, an octagon for each blob; layers in
    place stand beside their blob."""
    lines = [f"digraph {_quoted(caffe_net.name or 'Net')} {{", f"rankdir={rankdir};"]
    blobs = []
    for layer in caffe_net.layer:
        if not _included(layer, phase):
            continue
        name = f"layer {layer.name}"
        in_place = list(layer.bottom) == list(layer.top) and len(layer.top) == 1
        color = _IN_PLACE_COLOR if in_place else choose_color_by_layertype(layer.type)
        lines.append(f"{_quoted(name)} [label={get_layer_label(layer, rankdir, display_lrm)}, "
                     f'shape=box, style=filled, fillcolor="{color}"];')
        label = get_edge_label(layer) if label_edges else _NO_LABEL
        edge = "" if label == _NO_LABEL else f" [label={_quoted(label)}]"
        lines += [f"{_quoted('blob ' + blob)} -> {_quoted(name)};" for blob in layer.bottom]
        lines += [f"{_quoted(name)} -> {_quoted('blob ' + blob)}{edge};" for blob in layer.top]
        blobs += [*layer.bottom, *layer.top]
    lines += [f"{_quoted('blob ' + blob)} [label={_quoted(blob)}, shape=octagon, style=filled, "
              f'fillcolor="{_BLOB_COLOR}"];' for blob in dict.fromkeys(blobs)]
    return "\n".join([*lines, "}"]) + "\n"


def get_pooling_types_dict() -> dict[int, str]:
    """{number: name} of the methods of pooling."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_layer_label(layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False
                    ) -> str:
    """What a layer's box says, in Graphviz's quotes: name, type, the geometry of those that slide,
    and, if display_lrm, the rate multipliers of weights and biases."""
    lines = [layer.name, f"({layer.type})"]
    if layer.type in ("Convolution", "Deconvolution"):
        lines += _geometry(layer.convolution_param)
    elif layer.type == "Pooling":
        kind = get_pooling_types_dict()[layer.pooling_param.pool]
        lines[1] = f"(Pooling {kind})"
        lines += _geometry(layer.pooling_param)
    if display_lrm and layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        rates = get_layer_lr_mult(layer)
        if any(rates):
            lines.append("lr mult: {:.1f}, {:.1f}".format(*rates))
    return _quoted((" " if rankdir in ("TB", "BT") else "\n").join(lines))


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> Any:
    """The rate multipliers of the weights and the biases of a Convolution, Deconvolution or
    InnerProduct layer, two floats. Raises ValueError for other layers."""
    if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
        raise ValueError(f"the rate multipliers of a {layer.type} layer are not those of weights "
                         "and biases")
    weights, biases, *_ = [spec.lr_mult for spec in layer.param] + [1.0, 1.0]
    return weights, biases


def _geometry(param: Any) -> list[str]:
    """kernel size, stride and pad of a Convolution- or PoolingParameter."""
    lines = []
    titles = (("kernel size", "kernel_size", "kernel", 1), ("stride", "stride", "stride", 1),
              ("pad", "pad", "pad", 0))
    for title, field, stem, default in titles:
        pair = f"{stem}_h", f"{stem}_w"
        given = getattr(param, field)
        if any(param.HasField(each) for each in pair):
            value = "x".join(str(getattr(param, each)) for each in pair)
        elif hasattr(given, "append"):
            value = "x".join(map(str, given)) or str(default)
        else:
            value = given
        lines.append(f"{title}: {value}")
    return lines


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What stands at the arrow from a layer to its top: the number of its outputs, or '""'."""
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    return _NO_LABEL


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's box."""
    return _COLORS.get(layertype, _LAYER_COLOR)


def _included(layer: caffe_pb2.LayerParameter, phase: int | None) -> bool:
    """Whether a layer runs in the phase."""
    if phase is None:
        return True
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
