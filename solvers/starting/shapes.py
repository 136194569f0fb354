"""What is taken over from the shapes of a source: trunk, width, side of fc6, scale of images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn import nets
from fcn.nets.layers import SCORES
from fcn.solvers.console.errors import RunError
from fcn.solvers.starting.source import Start

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2


def trunk_of(start: Start) -> str:
    """The trunk with which the source has most layers in common, VGG-16's if with none."""
    def common(trunk: str) -> int:
        return sum(name in start.weights.params
                   for name in convolutions(nets.fcn("fcn32s", "deploy", trunk=trunk)))
    return max(nets.TRUNKS, key=common)


def convolutions(net: caffe_pb2.NetParameter) -> dict[str, int]:
    """{layer: channels} of a net's trunks."""
    return {layer.name: layer.convolution_param.num_output for layer in net.layer
            if layer.type == "Convolution" and not layer.name.startswith(SCORES)}


def options_of(start: Start, nominal: caffe_pb2.NetParameter, trunk: str, width: float | None,
               own: Mapping[str, Any]) -> dict:
    """Options of nets.fcn for a net with the source's trunk; `nominal` is that net at full width,
    `own` are options that it has already."""
    full = convolutions(nominal)
    have = {name: start.outputs(name) for name in full if name in start.weights.params}
    net = dict(own, width=width_of(start, trunk, full, have, width), filler="msra",
               **scale_of(start))
    fc6 = next((blobs[0].data for name, blobs in start.weights.params.items()
                if name.startswith("fc6") and name in full), None)
    if fc6 is not None and trunk != "googlenet":
        last = next((name for name in reversed([*have]) if name.startswith("conv")), "")
        inputs = start.outputs(last) if last else fc6.shape[-1]
        side = fc6.shape[-1] if fc6.ndim == 4 else math.isqrt(fc6.shape[-1] // inputs)
        net["fc6_kernel"] = max(1, side)
    return net


def scale_of(start: Start) -> dict[str, float]:
    """{"scale": by which the source's net multiplies images}, {} where it does not."""
    scale = next((layer.power_param.scale for layer in start.definition().layer
                  if layer.type == "Power" and layer.name.startswith("scaled")), None)
    return {"scale": float(np.format_float_positional(np.float32(scale)))} if scale else {}


def width_of(start: Start, trunk: str, full: dict[str, int], have: dict[str, int],
             asked: float | None) -> float:
    """The fraction of the trunk's channels that the source has; `full` and `have` are {layer:
    channels} of the whole trunk and of the source, `asked` is what the command line says."""
    if not have:
        return asked or 1.0
    widest = sorted(have, key=lambda name: -full[name])
    recorded = start.home.settings().get("width") if start.home else None
    candidates = [recorded] if isinstance(recorded, (int, float)) else []
    candidates.append(round(have[widest[0]] / full[widest[0]], 2))
    candidates += [have[name] / full[name] for name in widest]
    for multiple in (1, 2):     # channels are rounded, in groups to even numbers
        low = max((have[name] - multiple / 2) / full[name] for name in have)
        high = min((have[name] + multiple / 2) / full[name] for name in have)
        candidates.append((low + high) / 2)

    def fitting(width: float) -> int:
        made = convolutions(nets.fcn("fcn32s", "deploy", trunk=trunk, width=width))
        return sum(made.get(name, have[name]) == have[name] for name in have)
    widths = [width for width in dict.fromkeys(candidates) if width > 0]
    best = next((width for width in widths if fitting(width) == len(have)), None)
    best = best or max(widths, key=fitting)
    if asked and fitting(asked) < fitting(best):
        check_width(start.origin, asked, best)
    return asked or best


def check_width(source: str, asked: float | None, width: float) -> None:
    """Raise RunError where another width is asked for than that of the source."""
    if asked is not None and asked != width:
        raise RunError(f"--width {asked:g}, but the trunk of {source} has width {width:.4g}; "
                       "leave --width out, or start from another net")
