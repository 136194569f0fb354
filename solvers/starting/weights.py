"""What becomes of each layer of a net that starts from another: a table, and the weights."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fcn import nets, surgery
from fcn.nets.deeplab import CLASSIFIER_SIDE
from fcn.nets.deeplab import VARIANTS as DEEPLAB
from fcn.nets.layers import SCORES
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import base_needed
from fcn.solvers.preflight import Finding, weights
from fcn.solvers.starting.source import Start, find_start, known_names
from segdata.files import replacing
from segdata.lists import some

if TYPE_CHECKING:
    import caffe

GREY = "each colour sees a third of the grey"
ROUNDED = 1e-4  # difference up to which a deconvolution is taken to interpolate


class Fate(NamedTuple):
    """What becomes of a layer. kind : one of FATES; have, want : shapes of its weights, there and
    here; note : why, or which"""
    kind: str
    layer: str
    have: tuple = ()
    want: tuple = ()
    note: str = ""


FATES = ("copied", "reshaped", "decimated", "expanded", "permuted", "started anew", "left over")
TAKEN = FATES[:5]


def fill(experiment: Experiment, net: caffe.Net) -> list[Finding]:
    """Fill a new net from what the experiment starts from; print, and write to start.txt, what
    became of each layer. Returns findings about the source.

    Raises RunError, and fills nothing, where nothing fits.
    """
    start = find_start(experiment.start)
    found = sorted(fates(experiment, net, start), key=lambda fate: FATES.index(fate.kind))
    if not any(fate.kind in TAKEN and not fate.layer.startswith("upscore") for fate in found):
        raise RunError(_nothing_fits(experiment, start, net))
    _check_fixed(experiment, start, found)
    copied = {fate.layer for fate in found if fate.kind in ("copied", "reshaped")}
    if copied:
        surgery.transplant(net, start.weights, verbose=None,
                           skip=[name for name in start.weights.params if name not in copied])
    for fate in found:
        if fate.kind in ("expanded", "permuted"):
            _expand(experiment, net, start, fate)
        elif fate.kind == "decimated":
            surgery.decimate(net, fate.layer, start.weights, _source_layer(start, fate.layer),
                             _side(experiment, fate.layer))
    surgery.interp(net, [name for name in net.params
                         if name.startswith("upscore") and name not in copied])
    _write_table(experiment, start, found)
    return [] if start.origin not in nets.TRUNKS else [
        *weights.not_what_its_name_says(start.origin, start.path)]


def _check_fixed(experiment: Experiment, start: Start, found: Sequence[Fate]) -> None:
    """Raise RunError where layers of a multi-scale DeepLab that do not learn get no weights."""
    if not (needed := base_needed(experiment.head)):
        return
    fixed = {layer.name for layer in experiment.run.net_param("train").layer
             if layer.param and not any(spec.lr_mult for spec in layer.param)}
    if anew := [fate.layer for fate in found
                if fate.kind == "started anew" and fate.layer in fixed]:
        raise RunError(f"--from {start.origin}: {start.path} has nothing for {some(anew)}, which "
                       f"would stay at random. {needed}")


def _expand(experiment: Experiment, net: caffe.Net, start: Start, fate: Fate) -> None:
    if fate.note == GREY:
        surgery.expand_grey(net, fate.layer, start.weights, fate.layer)
        return
    if fate.layer.endswith("_bgrd"):
        surgery.expand_image(net, fate.layer, start.weights, fate.layer.removesuffix("_bgrd"))
        return
    label = _label(experiment, fate.layer)
    surgery.expand_score(net, fate.layer, start.weights, fate.layer,
                         experiment.class_names[label], start.class_names(label))


def fates(experiment: Experiment, net: caffe.Net, start: Start) -> Iterator[Fate]:
    """The Fate of each layer with parameters, of the net and then of what it has no use for."""
    params, used = start.weights.params, set(net.params)
    for name in net.params:
        if name.endswith("_bgrd") and name not in params:
            used.add(name.removesuffix("_bgrd"))
        used.add(source := _source_layer(start, name))
        want = _shapes(surgery.layer_parameters(net, name))
        have = _shapes(params.get(source, ()))
        kind, note = _fate(experiment, start, name, have, want)
        yield Fate(kind, name, (have or [()])[0], want[0], note)
    for name, blobs in params.items():
        if name not in used:
            yield Fate("left over", name, tuple(blobs[0].data.shape))


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
    if name.startswith(SCORES):
        return _score_fate(experiment, start, name, have, want)
    if name in start.weights.params and (fit := _fit(have, want)):
        return fit
    if experiment.head in DEEPLAB and name[:3] in ("fc6", "fc7") and _decimates(
            have, want, _side(experiment, name)):
        return "decimated", "taps and filters that lie evenly"
    if have[1:] == want[1:] and have[0][:1] + have[0][2:] == want[0][:1] + want[0][2:] and (
            have[0][1:2], want[0][1:2]) == ((1,), (3,)):
        return "expanded", GREY
    return "started anew", "the shapes do not fit"


def _source_layer(start: Start, name: str) -> str:
    """The layer of the source that a layer starts from: of fc6_1 of an ASPP's branches fc6, unless
    the source has such branches."""
    return name if name in start.weights.params else re.sub(r"^(fc[67])_\d$", r"\1", name)


def _side(experiment: Experiment, name: str) -> int:
    """The side of what an fc6 or fc7 sees in the classifier."""
    return experiment.net.get("fc6_kernel", CLASSIFIER_SIDE) if name.startswith("fc6") else 1


def _decimates(have: list, want: list, side: int) -> bool:
    """Whether parameters of these shapes become others with fewer taps, filters and inputs."""
    first = have[0]
    if len(first) == 2 and first[1] % side ** 2 == 0:
        first = (first[0], first[1] // side ** 2, side, side)
    return (len(have) == len(want) and len(first) == len(want[0])
            and all(few <= many for few, many in zip(want[0], first)))


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
        fit = _fit(have, want)
        return (fit[0], "by number: class names are not known") if fit else (
            "started anew", f"{have[0][0]} classes without names, {want[0][0]} here")
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


# what is printed

def _write_table(experiment: Experiment, start: Start, found: Sequence[Fate]) -> None:
    digest = hashlib.sha256(start.path.read_bytes()).hexdigest()
    net = experiment.net
    scale = f", images scaled by {net['scale']:.3g}" if net.get("scale") else ""
    text = "\n".join([
        f"{experiment.name} starts from {start.path} (SHA-256 {digest[:16]}), "
        f"width {net['width']:.4g}{scale}; rate {experiment.lr:g}", *_lines(found)])
    print(text)
    with replacing(experiment.directory / "start.txt") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _lines(found: Sequence[Fate]) -> Iterator[str]:
    kinds, layers = (max(len(fate[i]) for fate in found) for i in (0, 1))
    for fate in found:
        shapes = " -> ".join(str(shape) for shape in dict.fromkeys((fate.have, fate.want)) if shape)
        note = f"  {fate.note}" if fate.note else ""
        yield f"    {fate.kind:<{kinds}}  {fate.layer:<{layers}}  {shapes}{note}"


def _nothing_fits(experiment: Experiment, start: Start, net: caffe.Net) -> str:
    def listed(params: Any) -> str:
        return some([f"{name} {_shapes(params[name])[0]}" for name in params])
    return (f"--from {start.origin}: nothing in {start.path} fits the net of {experiment.name}.\n"
            f"It has {listed(start.weights.params)}\nThe net has {listed(net.params)}\n"
            f"Start from a net whose trunk is one of {', '.join(nets.TRUNKS)} and has these names")
