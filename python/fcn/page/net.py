"""A run's net as ONNX, of a skip net with what each of its strides says alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcn.export import write, writer
from fcn.page.errors import PageError
from fcn.solvers.inference.network import Chosen, Network

PROBE = 65, 97      # height and width, such as no net is written for
BROWSER = 1 << 32   # bytes of memory that WebAssembly has
COPIES = 4          # of the weights that a browser holds while it loads them: FCN-8s took 2.1 GB
PASSING = "Crop", "Dropout", "Power", "Scale"      # whose top is their first bottom, in its way


class Stage(NamedTuple):
    """Scores in the size of the image. stride : pixels from one of the finest scores that count to
    the next; blob : whose they are"""
    stride: int
    blob: str


def export(chosen: Chosen, network: Network, path: Path) -> list[Stage]:
    """Write the net as ONNX with all metadata; returns its stages, the coarsest first, of a net
    without skips none.

    Raises PageError of a net that takes anything but one colour image, that takes only images of
    one size, that ONNX does not hold, or that is too large for browsers.
    """
    if chosen.inputs.kinds != ("color",):
        raise PageError(f"{network.path}: the net takes {' and '.join(chosen.inputs.kinds)}, a "
                        "page shows it one colour photograph; `fcn infer` gives it all that it "
                        "takes")
    check_size(network)
    writer()        # on the original Caffe there is none, which is said before the work
    from caffe import CaffeError
    try:
        network.scores([np.zeros((1, 3, *PROBE), np.float32)])
        net, stages = _with_stages(network)
        write(chosen, network, net, path)
    except CaffeError as error:
        raise PageError(f"{error}. A page needs the net as ONNX, for photographs of any size; "
                        "`fcn infer` runs it without") from None
    return stages


def check_size(network: Network) -> None:
    """Raise PageError of a net whose weights no browser can hold."""
    if (needed := memory(network)) > BROWSER:
        raise PageError(f"{network.path}: its weights take {needed / COPIES / 1e9:.2g} GB, and a "
                        f"browser holds them {COPIES} times while it loads them, {needed / 1e9:.2g}"
                        f" GB, but has {BROWSER / 1e9:.2g} GB for a net. A narrower net (fcn solve "
                        "--width) fits; `fcn infer` runs this one")


def memory(network: Network) -> int:
    """About the bytes that a browser takes to load a net; a photograph comes on top."""
    count = sum(blob.count for blobs in network.net.params.values() for blob in blobs)
    return COPIES * 4 * count


def _with_stages(network: Network) -> tuple[Any, list[Stage]]:
    """The net, with blobs of what its strides say, and with its scores among its outputs."""
    import caffe
    from caffe.formats.prototxt import read_net
    from caffe.proto import caffe_pb2
    param = read_net(str(network.path))
    layers = list(param.layer)
    made, stages = _stages(layers, network)
    if network.blob not in network.net.outputs:
        made.append((network.blob, caffe_pb2.LayerParameter(
            name=f"{network.blob}/output", type="Power", bottom=[network.blob],
            top=[f"{network.blob}/output"])))
        stages = [stage._replace(blob=made[-1][1].top[0]) if stage.blob == network.blob else stage
                  for stage in stages]
    if not made:
        return network.net, stages
    param.layer.extend(layer for _, layer in made)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, network.path.name)
        path.write_text(str(param), encoding="utf-8")
        net: Any = caffe.Net(str(path), caffe.TEST)
    origins = {layer.name: origin for origin, layer in made}
    for name, blobs in net.params.items():
        for blob, trained in zip(blobs, network.net.params[origins.get(name, name)]):
            blob.data[...] = trained.data
    return net, stages


def shown(network: Network) -> str:
    """The output of the exported net that has the scores."""
    return network.blob if network.blob in network.net.outputs else f"{network.blob}/output"


# what the strides of a skip net say

def _stages(layers: Sequence[Any], network: Network) -> tuple[list[tuple[str, Any]], list[Stage]]:
    """([(name of a layer, a copy of it)], Stages): for each stride but the finest the layers from
    its scores to the image's size, in which the finer skips are left out."""
    chain = _chain(layers, network)
    fusions: list[tuple[int, int]] = []     # (place in the chain, stride of its sum)
    stride = 1
    for place, (number, _) in enumerate(chain):
        if layers[number].type == "Eltwise":
            fusions.append((place, stride))
        elif layers[number].type == "Deconvolution":
            stride *= _stride(layers[number])
    if not fusions:
        return [], []
    made: list[tuple[str, Any]] = []
    stages = [Stage(fusions[0][1], network.blob)]
    for (place, _), coarser in zip(fusions, [each for _, each in fusions[1:]] + [stride]):
        copies = _without_finer(layers, chain[:place + 1], f"stride{coarser}")
        made += copies
        stages.insert(0, Stage(coarser, copies[-1][1].top[0]))
    return made, stages


def _chain(layers: Sequence[Any], network: Network) -> list[tuple[int, int]]:
    """[(number of a layer, which bottom)] from the score back to where the coarsest scores are
    computed: through upsampling and, of sums of scores with a skip, through what is upsampled."""
    chain: list[tuple[int, int]] = []
    blob, end = network.blob, len(layers)
    classes = len(network.names)
    while (number := _producer(layers, blob, end)) is not None:
        layer, bottom = layers[number], 0
        if layer.type == "Eltwise":
            upsampled = [i for i, name in enumerate(layer.bottom)
                         if _is_upsampled(layers, name, number)]
            if len(layer.bottom) != 2 or len(upsampled) != 1 or not _adds(layer) \
                    or network.net.blobs[layer.top[0]].channels != classes:
                break
            bottom, = upsampled
        elif layer.type not in (*PASSING, "Deconvolution"):
            break
        chain.append((number, bottom))
        blob, end = layer.bottom[bottom], number
    return chain


def _producer(layers: Sequence[Any], blob: str, end: int) -> int | None:
    """The number of the last layer before number `end` that writes a blob."""
    return next((i for i in reversed(range(end)) if blob in layers[i].top), None)


def _is_upsampled(layers: Sequence[Any], blob: str, end: int) -> bool:
    """Whether a blob comes from a Deconvolution."""
    number = _producer(layers, blob, end)
    while number is not None and layers[number].type in PASSING:
        number = _producer(layers, layers[number].bottom[0], number)
    return number is not None and layers[number].type == "Deconvolution"


def _adds(layer: Any) -> bool:
    """Whether an Eltwise adds its bottoms as they are."""
    param = layer.eltwise_param
    return param.operation == param.SUM and all(each == 1 for each in param.coeff)


def _stride(layer: Any) -> int:
    param = layer.convolution_param
    return param.stride_h or (param.stride[0] if param.stride else 1)


def _without_finer(layers: Sequence[Any], chain: Sequence[tuple[int, int]], suffix: str
                   ) -> list[tuple[str, Any]]:
    """[(name of a layer, a copy of it)] of the layers of a chain, from its end, a sum, on; sums are
    what is upsampled in them."""
    made: list[tuple[str, Any]] = []
    value = ""
    for number, bottom in reversed(chain):
        layer = layers[number]
        value = value or layer.bottom[bottom]
        if layer.type == "Eltwise":
            continue
        copy = type(layer)()
        copy.CopyFrom(layer)
        copy.name, copy.top[0] = f"{layer.name}/{suffix}", f"{layer.top[0]}/{suffix}"
        copy.bottom[0] = value
        made.append((layer.name, copy))
        value = copy.top[0]
    return made
