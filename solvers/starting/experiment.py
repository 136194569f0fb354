"""The experiment that starts from another net: its trunk's width, its head, its recipe."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn import nets
from fcn.nets import segnet
from fcn.nets.heads import HEADS
from fcn.solvers import experiments
from fcn.solvers.experiments import EXPERIMENTS, HEAD, Experiment
from fcn.solvers.runs import Run, RunError
from fcn.solvers.starting.source import Start, find_start, origins
from segdata.paths import build_root

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2

RATE = 2e-9     # of nets whose images are scaled to unit variance: docs/own-data.md has why
# {trunk: the experiment whose recipe fits its ILSVRC weights}, for that of VGG-16 by the head
RECIPES = {"vgg16": "voc-{head}", "caffenet": "voc-fcn-alexnet", "googlenet": "voc-fcn-googlenet"}
# {head: (a layer of its decoder, one of its encoder, the channels of that at full width)}
SEGNETS = {"segnet": ("conv1_2_D", "conv5_3", 512),
           "segnet-basic": ("conv_decode1", "conv1", segnet.BASIC[1])}
NET_OPTIONS = ("trunk", "fusion", "normalize", "learned", "scale", "skip_scales", "width", "filler",
               "fc6_kernel")


def on_folder(path: str | Path, text: str, *, name: str | None = None, head: str | None = None,
              width: float | None = None, fresh: bool = False, **options: Any) -> Experiment:
    """The experiment on a folder that starts from `text`, as `--from` says it.

    Trunk, its width, the side of fc6 and the scale of the images are those of the source; so is
    the head, unless given. Raises RunError where there is nothing to start from, where `width`
    is another, and where the source is the very run.
    """
    data = str(Path(path).resolve())
    before = {} if fresh else _earlier(text, Path(data).name, data=data, head=head, name=name)
    start = None if before else find_start(text)
    if start is None:
        head, net = before["head"], _net_of(before)
        _check_width(text, width, [net["width"]])
    elif own := _of_a_segnet(start):
        head, net = head or own["head"], _net_of(own)
        _check_width(text, width, [net["width"]])
    else:
        trunk = _trunk_of(start)
        net = _options(start, nets.fcn("fcn32s", "deploy", trunk=trunk), trunk, width,
                       dict(trunk=trunk) if trunk != "vgg16" else {})
        head = head or _head_of(start, net)
    experiment = experiments.on_folder(path, name, head, **options)
    return _with_start(experiment, start, before, net, _recipe(head, net))


def named(experiment: Experiment, text: str, fresh: bool = False) -> Experiment:
    """An experiment of the table that starts from `text`, at the width of that."""
    before = {} if fresh else _earlier(text, "", name=experiment.name)
    start = None if before else find_start(text)
    if start is None:
        net = _net_of(before)
    else:
        own = nets.fcn(experiment.head, "deploy", experiment.source, **experiment.net)
        net = _options(start, own, experiment.net.get("trunk", "vgg16"), None, experiment.net)
    is_mean = net.get("normalize") or experiment.head in segnet.VARIANTS
    recipe = dict(lr=RATE) if net.get("scale") and not is_mean else {}
    needs = tuple(name for name in experiment.needs if name not in nets.TRUNKS)
    return _with_start(replace(experiment, bases={}, needs=needs), start, before, net, recipe)


def _of_a_segnet(start: Start) -> dict:
    """The settings of a SegNet's run, or what its weights say of them, as its convolutions have
    other trunks' names; else {}."""
    settings = start.home.settings() if start.home else {}
    if settings.get("head") in segnet.VARIANTS and "width" in settings:
        return settings
    for head, (decoder, encoder, channels) in SEGNETS.items():
        if decoder in start.weights.params:
            draws = any(layer.name.startswith("encdrop") for layer in start.definition().layer)
            return dict(head=head + "-bayesian" * draws, filler="msra",
                        width=start.outputs(encoder) / channels, **_scale(start))
    return {}


def _with_start(experiment: Experiment, start: Start | None, before: dict, net: dict, recipe: dict
             ) -> Experiment:
    if start and start.home and start.home.directory.resolve() == experiment.directory.resolve():
        raise RunError(f"--from {start.origin} is the run that would be trained anew; give that "
                       "another --name")
    origin = start.origin if start else before["from"]
    return replace(experiment, net=net, start=origin, **recipe)


def _earlier(text: str, folder: str, **expected: str | None) -> dict:
    """The settings of a run that began so and has snapshots, {} without one: it goes on without
    what it started from. Where no name is expected it is the default one; of several heads,
    that trained last."""
    runs = (Run(path.parent) for path in build_root().glob("*/settings.json"))
    for run in sorted(runs, key=lambda run: (-run.turn(), run.directory)):
        settings: dict = {}
        with suppress(RunError):        # of another run, that is damaged
            settings = run.settings() if run.snapshots() else {}
        has = {**settings, "name": run.directory.name}
        default = experiments.default_name(folder, settings.get("head", ""))
        wanted = {**expected, "name": expected["name"] or default}
        if settings.get("from") in origins(text) and "width" in settings and all(
                value is None or has.get(key) == value for key, value in wanted.items()):
            return settings
    return {}


def _net_of(settings: dict) -> dict:
    """The options of nets.fcn in a run's settings."""
    return {key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items() if key in NET_OPTIONS}


# what is taken over from the source's shapes

def _trunk_of(start: Start) -> str:
    """The trunk with which the source has most layers in common, VGG-16's if with none."""
    def common(trunk: str) -> int:
        return sum(name in start.weights.params
                   for name in convolutions(nets.fcn("fcn32s", "deploy", trunk=trunk)))
    return max(nets.TRUNKS, key=common)


def convolutions(net: caffe_pb2.NetParameter) -> dict[str, int]:
    """{layer: channels} of a net's trunks."""
    return {layer.name: layer.convolution_param.num_output for layer in net.layer
            if layer.type == "Convolution" and not layer.name.startswith("score")}


def _options(start: Start, nominal: caffe_pb2.NetParameter, trunk: str, width: float | None,
             own: Mapping[str, Any]) -> dict:
    """Options of nets.fcn for a net with the source's trunk; `nominal` is that net at full width,
    `own` are options that it has already."""
    full = convolutions(nominal)
    have = {name: start.outputs(name) for name in full if name in start.weights.params}
    net = dict(own, width=width_of(start, trunk, full, have, width), filler="msra",
               **_scale(start))
    fc6 = next((blobs[0].data for name, blobs in start.weights.params.items()
                if name.startswith("fc6") and name in full), None)
    if fc6 is not None and trunk != "googlenet":
        last = next((name for name in reversed([*have]) if name.startswith("conv")), "")
        inputs = start.outputs(last) if last else fc6.shape[-1]
        side = fc6.shape[-1] if fc6.ndim == 4 else math.isqrt(fc6.shape[-1] // inputs)
        net["fc6_kernel"] = max(1, side)
    return net


def _scale(start: Start) -> dict[str, float]:
    """{"scale": by which the source's net multiplies images}, {} where it does not."""
    scale = next((layer.power_param.scale for layer in start.definition().layer
                  if layer.type == "Power" and layer.name.startswith("scaled")), None)
    return {"scale": float(np.format_float_positional(np.float32(scale)))} if scale else {}


def width_of(start: Start, trunk: str, full: dict[str, int], have: dict[str, int],
           asked: float | None) -> float:
    """The fraction of the trunk's channels that the source has."""
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
        _check_width(start.origin, asked, [best])
    return asked or best


def _check_width(source: str, asked: float | None, widths: Sequence[float]) -> None:
    if asked is not None and asked not in widths:
        raise RunError(f"--width {asked:g}, but the trunk of {source} has width {widths[0]:.4g}; "
                       "leave --width out, or start from another net")


def _head_of(start: Start, net: dict) -> str:
    """The head that the source has; for a classifier the one that can be trained from it."""
    names = start.weights.params
    if any(name.startswith("score_fr") for name in names):
        skips = {match[1] for name in names if (match := re.match(r"score_(pool\d)", name))}
        is_scaled = any(name.startswith("scale_pool") for name in names)
        return next((name for name, head in HEADS.items()
                     if head.skips == len(skips) and bool(head.scales) == is_scaled), HEAD)
    if "trunk" in net:
        return "fcn32s"         # as the paper
    return HEAD if net.get("scale") else "fcn8s-atonce"


def _recipe(head: str, net: dict) -> dict:
    """The solver's recipe for a net on a folder: that of the paper where the features are as large
    as those of ILSVRC's nets."""
    if head in segnet.VARIANTS:
        return {} if net.get("scale") else dict(lr=EXPERIMENTS[f"camvid-{head}"].lr)
    if net.get("scale"):
        return dict(lr=RATE)
    row = EXPERIMENTS[RECIPES[net.get("trunk", "vgg16")].format(head=head)]
    if row.net.get("normalize"):
        net["normalize"] = True
    return dict(lr=row.lr, momentum=row.momentum, iter_size=row.iter_size)
