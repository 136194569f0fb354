"""The experiment that starts from another net: its trunk's width, its head, its recipe."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fcn import nets
from fcn.nets import deeplab, unet
from fcn.nets.heads import HEADS
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments import own_folder
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import family_of
from fcn.solvers.experiments.own_folder import HEAD
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.runs.run import Run
from fcn.solvers.starting.recognise import is_related, settings_of
from fcn.solvers.starting.shapes import check_width, options_of, trunk_of
from fcn.solvers.starting.source import Start, find_start, origins
from segdata.paths import build_root

FEW = deeplab.VARIANTS["deeplab-largefov"].channels
NET_OPTIONS = ("trunk", "fusion", "normalize", "learned", "scale", "skip_scales", "width", "filler",
               "fc6_kernel", "all_filters", "score_rate", "depth", "released")


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
        check_width(text, width, net["width"])
    elif (own := settings_of(start)) and is_related(head or own["head"], own["head"]):
        head, net = head or own["head"], _net_of(own)
        check_width(text, width, net["width"])
    else:
        _check_trunk(text, head, own)
        trunk = trunk_of(start)
        net = options_of(start, nets.fcn("fcn32s", "deploy", trunk=trunk), trunk, width,
                         dict(trunk=trunk) if trunk != "vgg16" else {})
        if own:         # of a DeepLab, whose fc6 has fewer taps than that which it began with
            net.update(fc6_kernel=own.get("fc6_kernel", deeplab.CLASSIFIER_SIDE))
        head = head or _head_of(start, net)
        _check_vgg16(text, head, net)
        if head in deeplab.HEADS:
            net.update(_for_a_deeplab(start, net))
    experiment = own_folder.on_folder(path, name, head, **options)
    return _with_start(experiment, start, before, net, _recipe(head, net, experiment.source.batch))


def _check_trunk(text: str, head: str | None, own: dict) -> None:
    """Raise RunError where a U-Net would start from another net, or another net from one."""
    if unet.HEAD in (head, own.get("head")):
        raise RunError(
            f"--from {text}: that is {'a U-Net' if own.get('head') == unet.HEAD else 'no U-Net'}, "
            f"and the head is {head}: a U-Net has no layer in common with others. Start a U-Net "
            "from a U-Net, another head from another net, or leave --from out")


def _check_vgg16(text: str, head: str, net: dict) -> None:
    """Raise RunError where a head that has VGG-16's trunk would start from another one."""
    if net.get("trunk") and head not in HEADS:
        raise RunError(f"--from {text}: its trunk is {net['trunk']}, that of the head {head} is "
                       "vgg16; start from a net with that, or take another head")


def _for_a_deeplab(start: Start, net: dict) -> dict:
    """Options of a DeepLab that starts from an FCN or a classifier. Where that has no more than the
    1024 filters of LargeFOV it keeps them all, for a quarter of few is too few (docs/deeplab.md);
    an fc6 of a side that DeepLab does not know starts anew."""
    is_narrow = "fc6" in start.weights.params and start.outputs("fc6") <= FEW
    side = net.get("fc6_kernel")
    return dict(fc6_kernel=side if side in deeplab.SIDES else deeplab.CLASSIFIER_SIDE,
                **({"all_filters": True} if is_narrow else {}))


def named(experiment: Experiment, text: str, fresh: bool = False) -> Experiment:
    """An experiment of the table that starts from `text`, at the width of that."""
    before = {} if fresh else _earlier(text, "", name=experiment.name)
    start = None if before else find_start(text)
    if start is None:
        net = _net_of(before)
    else:
        own = nets.fcn(experiment.head, "deploy", experiment.source, **experiment.net)
        net = options_of(start, own, experiment.net.get("trunk", "vgg16"), None, experiment.net)
    recipe = _of_scaled(experiment.head) if net.get("scale") and not net.get("normalize") else {}
    needs = tuple(name for name in experiment.needs if name not in nets.TRUNKS)
    return _with_start(replace(experiment, bases={}, needs=needs), start, before, net, recipe)


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
    the one that was begun or continued last."""
    runs = (Run(path.parent) for path in build_root().glob("*/settings.json"))
    for run in sorted(runs, key=lambda run: (-run.turn(), run.directory)):
        settings: dict = {}
        with suppress(RunError):        # of another run, that is damaged
            settings = run.settings() if run.snapshots() else {}
        has = {**settings, "name": run.directory.name}
        default = own_folder.default_name(folder, settings.get("head", ""))
        wanted = {**expected, "name": expected["name"] or default}
        if settings.get("from") in origins(text) and "width" in settings and all(
                value is None or has.get(key) == value for key, value in wanted.items()):
            return settings
    return {}


def _net_of(settings: dict) -> dict:
    """The options of nets.fcn in a run's settings."""
    return {key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items() if key in NET_OPTIONS}


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


def _recipe(head: str, net: dict, batch: int) -> dict:
    """The solver's recipe for a net on a folder with so many images in a pass: that of the paper
    where the features are as large as those of ILSVRC's nets."""
    if net.get("scale"):
        return _of_scaled(head)
    row = EXPERIMENTS[family_of(head).recipes[net.get("trunk", "vgg16")].format(head=head)]
    if row.net.get("normalize"):
        net["normalize"] = True
    return dict(lr=row.lr, momentum=row.momentum, iter_size=row.images // batch)


def _of_scaled(head: str) -> dict:
    """The solver's recipe for a head that starts from a net that scales its images."""
    rate = family_of(head).scaled_rate
    return {} if rate is None else dict(lr=rate)
