"""Fine-tuning: what `--from` takes over from another net, and what starts anew.

    vgg16, caffenet, googlenet      the classifiers that were trained on ILSVRC
    RUN                             a run, by its name or folder: its newest snapshot
    FILE                            a caffemodel, binary or HDF5, of any net with such a trunk

Layers are taken by their names, classes by theirs.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcn import nets, surgery
from fcn.nets import segnet
from fcn.nets.heads import HEADS
from fcn.solvers import experiments
from fcn.solvers.experiments import EXPERIMENTS, HEAD, Experiment
from fcn.solvers.preflight import Finding, weights
from fcn.solvers.runs import Run, RunError, damage, find
from segdata.download import catalog
from segdata.files import replacing
from segdata.lists import some
from segdata.paths import build_root

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

RATE = 2e-9     # of nets whose images are scaled to unit variance: docs/own-data.md has why
# {trunk: the experiment whose recipe fits its ILSVRC weights}, for that of VGG-16 by the head
RECIPES = {"vgg16": "voc-{head}", "caffenet": "voc-fcn-alexnet", "googlenet": "voc-fcn-googlenet"}
NET_OPTIONS = ("trunk", "fusion", "normalize", "learned", "scale", "skip_scales", "width", "filler",
               "fc6_kernel")
ROUNDED = 1e-4  # difference up to which a deconvolution is taken to interpolate
GENERATED = re.compile(r"class\d+")     # names that stand where there is no classes.txt


# what there is to start from

@dataclass(frozen=True)
class Start:
    """Weights to start from.

    origin : what settings.json records: a classifier's name, the path of a run or file
    path : the file of the weights
    home : the run that they are of; for a file alone, its folder if there are class names in it
    """
    origin: str
    path: Path
    home: Run | None = None

    @cached_property
    def weights(self) -> surgery.Weights:
        if told := damage(self.path):
            raise RunError(told)
        return surgery.Weights(self.path)

    def outputs(self, name: str) -> int:
        return int(self.weights.params[name][0].data.shape[0])

    def class_names(self, label: str) -> Sequence[str]:
        """The names of a label's classes; none where they are not known."""
        if self.home is None or not (self.home.directory / "classes.txt").exists():
            return ()
        return known_names(self.home.class_names(label))

    def definition(self) -> caffe_pb2.NetParameter:
        """What is known of the net's layers, beside their names and weights."""
        from google.protobuf.message import DecodeError

        from caffe.proto import caffe_pb2
        if self.home and self.home.prototxt("deploy").exists():
            return self.home.net_param("deploy")
        try:
            return caffe_pb2.NetParameter.FromString(self.path.read_bytes())
        except DecodeError:     # HDF5, or a fork's
            return caffe_pb2.NetParameter()


def known_names(names: Sequence[str]) -> Sequence[str]:
    """Names of classes, none if they were generated: class1 of two data sets is not one thing."""
    return () if all(map(GENERATED.fullmatch, names)) else names


def origins(text: str) -> list[str]:
    """What settings.json may have recorded for a `--from`, whether or not it is there still."""
    if text in nets.TRUNKS:
        return [text]
    build = build_root()
    return [str(path.resolve()) for path in (build / text, build / "demo" / text, Path(text))]


def found(text: str) -> Start:
    """The Start that `--from` says. Raises RunError where there is none."""
    if text in nets.TRUNKS:
        if problem := catalog.missing(text):
            raise RunError(f"--from {text}: {problem}")
        return Start(text, catalog.path(text))
    path = Path(text)
    if path.is_file():
        return Start(str(path.resolve()), path, _home(path.resolve()))
    if path.suffix in (".caffemodel", ".h5"):
        raise RunError(f"--from {text}: no such file")
    try:
        run = find(text)
    except RunError as error:
        raise RunError(f"--from {text}: no file, none of {', '.join(nets.TRUNKS)}, and {error}"
                       ) from None
    return Start(str(run.directory.resolve()), _newest(run), run)


def _home(path: Path) -> Run | None:
    """The Run whose weights a file is, or that has class names beside it."""
    folder = path.parent.parent
    if path.parent.name == Run(folder).folder.name and (folder / "deploy.prototxt").exists():
        return Run(folder)
    return Run(path.parent) if (path.parent / "classes.txt").exists() else None


def _newest(run: Run) -> Path:
    """The newest weights of a run, in HDF5 too."""
    numbered = [(int(match[1]), path) for path in run.folder.glob("train_iter_*.caffemodel.h5")
                if (match := re.fullmatch(r"train_iter_(\d+)\.caffemodel\.h5", path.name))]
    numbered += run.caffemodels()
    return max(numbered)[1] if numbered else run.newest_weights()       # which says what lacks


# the experiment

def on_folder(path: str | Path, text: str, *, name: str | None = None, head: str | None = None,
              width: float | None = None, fresh: bool = False, **options: Any) -> Experiment:
    """The experiment on a folder that starts from `text`, as `--from` says it.

    Trunk, its width, the side of fc6 and the scale of the images are those of the source; so is
    the head, unless given. Raises RunError where there is nothing to start from, where `width`
    is another, and where the source is the very run.
    """
    data = str(Path(path).resolve())
    before = {} if fresh else _begun(text, Path(path).name, data=data, head=head, name=name)
    start = None if before else found(text)
    if start is None:
        head, net = before["head"], _net_of(before)
        _check_width(text, width, [net["width"]])
    elif (own := _of_a_segnet(start)):
        head, net = head or own["head"], _net_of(own)
        _check_width(text, width, [net["width"]])
    else:
        trunk = _trunk_of(start)
        net = _options(start, nets.fcn("fcn32s", "deploy", trunk=trunk), trunk, width,
                       dict(trunk=trunk) if trunk != "vgg16" else {})
        head = head or _head_of(start, net)
    experiment = experiments.on_folder(path, name, head, **options)
    return _started(experiment, start, before, net, _recipe(head, net))


def named(experiment: Experiment, text: str, fresh: bool = False) -> Experiment:
    """An experiment of the table that starts from `text`, at the width of that."""
    before = {} if fresh else _begun(text, "", name=experiment.name)
    start = None if before else found(text)
    if start is None:
        net = _net_of(before)
    else:
        own = nets.fcn(experiment.head, "deploy", experiment.source, **experiment.net)
        net = _options(start, own, experiment.net.get("trunk", "vgg16"), None, experiment.net)
    is_mean = net.get("normalize") or experiment.head in segnet.VARIANTS
    recipe = dict(lr=RATE) if net.get("scale") and not is_mean else {}
    needs = tuple(name for name in experiment.needs if name not in nets.TRUNKS)
    return _started(replace(experiment, bases={}, needs=needs), start, before, net, recipe)


def _of_a_segnet(start: Start) -> dict:
    """The settings of the run of a SegNet, whose convolutions have other trunks' names; else {}."""
    settings = start.home.settings() if start.home else {}
    return settings if settings.get("head") in segnet.VARIANTS and "width" in settings else {}


def _started(experiment: Experiment, start: Start | None, before: dict, net: dict, recipe: dict
             ) -> Experiment:
    if start and start.home and start.home.directory.resolve() == experiment.directory.resolve():
        raise RunError(f"--from {start.origin} is the run that would be trained anew; give that "
                       "another --name")
    origin = start.origin if start else before["from"]
    return replace(experiment, net=net, start=origin, **recipe)


def _begun(text: str, folder: str, **expected: str | None) -> dict:
    """The settings of a run that began so and has snapshots, {} without one: it goes on without
    what it started from. Where no name is expected it is FOLDER-HEAD; of several heads, that
    trained last."""
    runs = (Run(path.parent) for path in build_root().glob("*/settings.json"))
    for run in sorted(runs, key=lambda run: (-run.turn(), run.directory)):
        settings: dict = {}
        with suppress(RunError):        # of another run, that is damaged
            settings = run.settings() if run.snapshots() else {}
        has = {**settings, "name": run.directory.name}
        wanted = {**expected, "name": expected["name"] or f"{folder}-{settings.get('head')}"}
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
                   for name in _convolutions(nets.fcn("fcn32s", "deploy", trunk=trunk)))
    return max(nets.TRUNKS, key=common)


def _convolutions(net: caffe_pb2.NetParameter) -> dict[str, int]:
    """{layer: channels} of a net's trunks."""
    return {layer.name: layer.convolution_param.num_output for layer in net.layer
            if layer.type == "Convolution" and not layer.name.startswith("score")}


def _options(start: Start, nominal: caffe_pb2.NetParameter, trunk: str, width: float | None,
             own: Mapping[str, Any]) -> dict:
    """Options of nets.fcn for a net with the source's trunk; `nominal` is that net at full width,
    `own` are options that it has already."""
    full = _convolutions(nominal)
    have = {name: start.outputs(name) for name in full if name in start.weights.params}
    net = dict(own, width=_width(start, trunk, full, have, width), filler="msra")
    scale = next((layer.power_param.scale for layer in start.definition().layer
                  if layer.type == "Power" and layer.name.startswith("scaled")), None)
    if scale:
        net["scale"] = float(np.format_float_positional(np.float32(scale)))
    fc6 = next((blobs[0].data for name, blobs in start.weights.params.items()
                if name.startswith("fc6") and name in full), None)
    if fc6 is not None and trunk != "googlenet":
        last = next((name for name in reversed([*have]) if name.startswith("conv")), "")
        inputs = start.outputs(last) if last else fc6.shape[-1]
        side = fc6.shape[-1] if fc6.ndim == 4 else math.isqrt(fc6.shape[-1] // inputs)
        net["fc6_kernel"] = max(1, side)
    return net


def _width(start: Start, trunk: str, full: dict[str, int], have: dict[str, int],
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
        made = _convolutions(nets.fcn("fcn32s", "deploy", trunk=trunk, width=width))
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


# the weights

class Row(NamedTuple):
    """What becomes of a layer. kind : one of KINDS; have, want : shapes of its weights, there and
    here; note : why, or which"""
    kind: str
    layer: str
    have: tuple = ()
    want: tuple = ()
    note: str = ""


KINDS = ("copied", "reshaped", "expanded", "permuted", "started anew", "left over")
TAKEN = KINDS[:4]


def fill(experiment: Experiment, net: caffe.Net) -> list[Finding]:
    """Fill a new net from what the experiment starts from; print, and write to start.txt, what
    became of each layer. Returns findings about the source.

    Raises RunError, and fills nothing, where nothing fits.
    """
    start = found(experiment.start)
    rows = sorted(plan(experiment, net, start), key=lambda row: KINDS.index(row.kind))
    if not any(row.kind in TAKEN and not row.layer.startswith("upscore") for row in rows):
        raise RunError(_nothing_fits(experiment, start, net))
    copied = {row.layer for row in rows if row.kind in ("copied", "reshaped")}
    if copied:
        surgery.transplant(net, start.weights, verbose=None,
                           skip=[name for name in start.weights.params if name not in copied])
    for row in rows:
        if row.kind in ("expanded", "permuted"):
            _expand(experiment, net, start, row)
    surgery.interp(net, [name for name in net.params
                         if name.startswith("upscore") and name not in copied])
    _tell(experiment, start, rows)
    return [] if start.origin not in nets.TRUNKS else [
        *weights.not_what_its_name_says(start.origin, start.path)]


def _expand(experiment: Experiment, net: caffe.Net, start: Start, row: Row) -> None:
    if row.layer.endswith("_bgrd"):
        surgery.expand_image(net, row.layer, start.weights, row.layer.removesuffix("_bgrd"))
        return
    label = _label(experiment, row.layer)
    surgery.expand_score(net, row.layer, start.weights, row.layer,
                         experiment.class_names[label], start.class_names(label))


def plan(experiment: Experiment, net: caffe.Net, start: Start) -> Iterator[Row]:
    """A Row for each layer with parameters, of the net and then of what it has no use for."""
    params, used = start.weights.params, set(net.params)
    for name in net.params:
        if name.endswith("_bgrd") and name not in params:
            used.add(name.removesuffix("_bgrd"))
        want = _shapes(surgery.layer_parameters(net, name))
        have = _shapes(params.get(name, ()))
        kind, note = _fate(experiment, start, name, have, want)
        yield Row(kind, name, (have or [()])[0], want[0], note)
    for name, blobs in params.items():
        if name not in used:
            yield Row("left over", name, tuple(blobs[0].data.shape))


def _shapes(blobs: Sequence) -> list[tuple[int, ...]]:
    return [tuple(blobs[i].data.shape) for i in range(len(blobs))]


def _fate(experiment: Experiment, start: Start, name: str, have: list, want: list
          ) -> tuple[str, str]:
    """(kind, note) of a layer whose parameters have these shapes, there and here."""
    if name.startswith("upscore"):
        kernel = np.asarray(start.weights.params[name][0].data) if have == want else None
        return ("copied", "") if kernel is not None and _interpolates(kernel) else (
            "started anew", "interpolates bilinearly")
    if not have:
        base = start.weights.params.get(name.removesuffix("_bgrd"))
        if base and _is_deeper(_shapes(base), want):
            return "expanded", "the new channels see the mean of the old"
        return "started anew", "it has no such layer"
    if name.startswith("score"):
        return _score_fate(experiment, start, name, have, want)
    return _fit(have, want) or ("started anew", "the shapes do not fit")


def _interpolates(kernel: np.ndarray) -> bool:
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
        return False
    diagonal = np.arange(len(kernel))
    expected = np.zeros_like(kernel)
    expected[diagonal, diagonal if kernel.shape[1] > 1 else 0] = surgery.bilinear(kernel.shape[2])
    return np.allclose(kernel, expected, atol=ROUNDED)


def _is_deeper(have: list, want: list) -> bool:
    return (len(have[0]) == len(want[0]) == 4 and have[1:] == want[1:]
            and have[0][0] == want[0][0] and have[0][2:] == want[0][2:]
            and have[0][1] < want[0][1])


def _fit(have: list, want: list) -> tuple[str, str] | None:
    """How parameters of these shapes fit: as they are, or products as convolutions."""
    if len(have) < len(want):
        return None
    if have[:len(want)] == want:
        return "copied", ""
    outputs_agree = all(old[:1] == new[:1] and math.prod(old) == math.prod(new)
                        for old, new in zip(have, want))
    return ("reshaped", "") if outputs_agree and 2 in map(len, (have[0], want[0])) else None


def _score_fate(experiment: Experiment, start: Start, name: str, have: list, want: list
                ) -> tuple[str, str]:
    """(kind, note) of a score layer, whose classes go by their names."""
    label = _label(experiment, name)
    old, new = start.class_names(label), known_names(experiment.class_names[label])
    if len(old) != have[0][0] or len(new) != want[0][0]:        # unknown, or of another layer
        told = f"{have[0][0]} classes without names, {want[0][0]} here"
        fit = _fit(have, want)
        return (fit[0], "by number: class names are not known") if fit else ("started anew", told)
    if len(have) != len(want) or math.prod(have[0][1:]) != math.prod(want[0][1:]):
        return "started anew", "the shapes do not fit"
    if [*old] == [*new]:
        return _fit(have, want) or ("started anew", "the shapes do not fit")
    if missing := [each for each in old if each not in new]:
        return "started anew", f"of its classes the data have no {some(missing)}"
    added = [each for each in new if each not in old]
    return ("expanded", f"new: {some(added)}") if added else (
        "permuted", "the classes are in another order")


def _label(experiment: Experiment, layer: str) -> str:
    """The label whose scores a layer gives."""
    labels = [*experiment.class_names]
    return next((label for label in labels if len(labels) > 1 and layer.endswith(f"_{label}")),
                labels[0])


# what is said

def _tell(experiment: Experiment, start: Start, rows: Sequence[Row]) -> None:
    digest = hashlib.sha256(start.path.read_bytes()).hexdigest()
    net = experiment.net
    scale = f", images scaled by {net['scale']:.3g}" if net.get("scale") else ""
    text = "\n".join([
        f"{experiment.name} starts from {start.path} (SHA-256 {digest[:16]}), "
        f"width {net['width']:.4g}{scale}; rate {experiment.lr:g}", *_lines(rows)])
    print(text)
    with replacing(experiment.directory / "start.txt") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    kinds, layers = (max(len(row[i]) for row in rows) for i in (0, 1))
    for row in rows:
        shapes = " -> ".join(str(shape) for shape in dict.fromkeys((row.have, row.want)) if shape)
        note = f"  {row.note}" if row.note else ""
        yield f"    {row.kind:<{kinds}}  {row.layer:<{layers}}  {shapes}{note}"


def _nothing_fits(experiment: Experiment, start: Start, net: caffe.Net) -> str:
    def listed(params: Any) -> str:
        return some([f"{name} {_shapes(params[name])[0]}" for name in params])
    return (f"--from {start.origin}: nothing in {start.path} fits the net of {experiment.name}.\n"
            f"It has {listed(start.weights.params)}\nThe net has {listed(net.params)}\n"
            f"Start from a net whose trunk is one of {', '.join(nets.TRUNKS)} and has these names")
