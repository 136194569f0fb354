"""A net as an ONNX file, written operation by operation from Caffe's definitions.

Batch, height and width are dynamic: what Caffe computes from the sizes of blobs (crops, the last
windows of pooling) is computed in the graph. `onnx_graph` is the graph as it grows; `onnx_layers`,
and `onnx_forks` for the layers of Caffe's forks, say which operations each type of layer becomes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

from ..context import TEST
from ..engine.net import Net
from ..errors import LayerError, WeightsError
from ..formats.atomic import replacing
from . import onnx_forks, onnx_layers  # noqa: F401  they make their types of layers known
from .onnx_graph import Graph, outputs_of, writers

LIMIT = (1 << 31) - (1 << 24)   # bytes of weights: protobuf takes 2 GB, some go to the rest


def to_onnx(net: Net, path: str, classes: Sequence[str] | None = None,
            mean: Sequence[float] | None = None, inputs: Sequence[str] | None = None,
            name: str | None = None, margin: int | None = None, multiple: int | None = None
            ) -> None:
    """Write a caffe.Net in phase TEST, with its weights, to an ONNX file.

    Nodes have the names of layers, values those of blobs, and parameters are `<layer>.<number>`.
    A layer of several nodes has `<layer>/<operation>` for all but its last, and a blob that layers
    in place change is named as it is after the last of them, `<blob>/<layer>` before.

    The rest is kept as metadata, for whoever reads the file, each in JSON but for the name:

    classes : the names of the classes, as `classes`, a list
    mean : what is subtracted from each channel of an image, in the net's order, B G R; as `mean`,
        a list, with `channels`: "BGR"
    inputs : what each input takes, in their order, such as "color", "depth" or "hha"; as `inputs`,
        a dict of the inputs' names
    name : of the net or of the run that trained it, as `name`, a text
    margin : the pixels of its reflection that an image needs on each side, as `margin`
    multiple : of which the sides of an image have to be, as `multiple`

    Raises LayerError naming all layers that have no form in ONNX here, for a net in phase TRAIN,
    for one without layers or outputs, for one that computes an output in the place of an input,
    for another number of `inputs` than the net has, and for a `mean` of another number of channels
    than an input has; and WeightsError for 2 GB of weights or
    more, which no ONNX file holds.
    """
    _check(net)
    metadata = _metadata(net, classes, mean, inputs, name, margin, multiple)
    graph = Graph(net)
    for step in net.program.steps:
        if step.spec.type != "Input":
            graph.add_layer(step.number, step.spec, step.layer)
    model = graph.model()
    helper.set_model_props(model, metadata)
    content = model.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    with replacing(path) as file:
        file.write(content)


def _metadata(net: Net, classes: Sequence[str] | None, mean: Sequence[float] | None,
              inputs: Sequence[str] | None, name: str | None, margin: int | None,
              multiple: int | None) -> dict[str, str]:
    """What of it is given, as texts."""
    if inputs is not None and len(inputs) != len(net.inputs):
        raise LayerError(f"{net.program.source}: its inputs are {', '.join(net.inputs)}, what they "
                         f"take is given as {', '.join(inputs)}: expected {len(net.inputs)}")
    channels = [net.blobs[each].shape[1] for each in net.inputs if len(net.blobs[each].shape) > 1]
    if mean is not None and len(mean) not in channels:
        raise LayerError(f"{net.program.source}: the mean has {len(mean)} numbers, expected "
                         f"one for each channel of an input: {' or '.join(map(str, channels))}")
    given: dict[str, Any] = {"classes": classes and list(classes),
                             "mean": None if mean is None else list(mean),
                             "inputs": inputs and dict(zip(net.inputs, inputs)),
                             "margin": margin, "multiple": multiple}
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in given.items()
                if value is not None}
    texts = {"channels": None if mean is None else "BGR", "name": name}
    return metadata | {key: text for key, text in texts.items() if text is not None}


def _check(net: Net) -> None:
    """Raises what to_onnx raises, before the work."""
    program, source = net.program, net.program.source
    if program.param.state.phase != TEST:
        raise LayerError(f"{source}: ONNX holds nets in phase TEST, this one is in TRAIN")
    layers = [spec for spec in program.param.layer if spec.type != "Input"]
    missing = [f"'{spec.name}' ({spec.type})" for spec in layers if spec.type not in writers]
    if missing:
        raise LayerError(f"{source}: no ONNX form for the layers {', '.join(missing)}")
    both = sorted({top for spec in layers for top in spec.top} & set(net.inputs))
    if set(both) & set(net.outputs):
        raise LayerError(f"{source}: ONNX has no blobs that are input and output: {both}")
    if not outputs_of(net):
        raise LayerError(f"{source}: there is nothing to export: no layer has an output")
    size = 4 * sum(blob.count for layer in net.layers for blob in layer.blobs)
    if size >= LIMIT:
        raise WeightsError(f"{source}: an ONNX file holds less than 2 GB, the weights are "
                           f"{size / 1e9:.1f} GB; keep them as safetensors or HDF5")
