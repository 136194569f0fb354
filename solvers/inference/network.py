"""The net that segments: which one, of what age and data, and its scores for arrays."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcn.nets import unet
from fcn.solvers.console.errors import reported
from fcn.solvers.inference import trust
from fcn.solvers.inference.errors import InferError, not_there
from fcn.solvers.inference.fields import Reach, reaches
from fcn.solvers.inference.tiles import Tiling, free_memory, tiling
from fcn.solvers.runs import all_runs
from fcn.solvers.runs.images import Images
from fcn.solvers.runs.reading import reading
from fcn.solvers.runs.run import Run
from fcn.solvers.scoring.prediction import load_net
from segdata.augment import reflected, to_multiple
from segdata.classes import NYUD, PASCALCONTEXT, SIFTFLOW, VOC, read_class_names
from segdata.embedded import is_drawn
from segdata.inputs import CHANNELS

PROBES = 512, 1024       # pixels: at sides of about these the memory of the blobs is counted
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


class Chosen(NamedTuple):
    """A net to segment with. inputs : the images that it takes; run : whose it is, if one's"""
    prototxt: Path
    weights: Path
    inputs: Images
    run: Run | None = None


def choose(net: str | Path | None = None, weights: str | Path | None = None,
           run: str | Path | None = None, best: bool = False) -> Chosen:
    """A deploy prototxt with weights, or a run with its newest snapshot; of neither, that of
    `newest_run`.

    best : of a run, the snapshot with the highest mean IU on its validation set
    Raises InferError or RunError where something is missing.
    """
    if net is not None and run is not None:
        raise InferError("give --experiment, or --net and --weights")
    if (net is None) != (weights is None) and run is None:
        raise InferError("--net and --weights go together")
    if best and weights is not None:
        raise InferError("--best chooses among the snapshots of a run; leave out --weights")
    for path in (net, weights):
        if path is not None and not Path(path).is_file():
            raise InferError(not_there(Path(path)))
    if net is not None and weights is not None:
        return Chosen(Path(net), Path(weights), Run(Path(net).parent).images())
    found = newest_run() if run is None else all_runs.find(run)
    if weights is None:
        weights, note = found.chosen_weights(best)
        if note:
            print(note)
    return Chosen(found.prototxt("deploy"), Path(weights), found.images(), found)


def newest_run() -> Run:
    """The run under build/ that was begun or continued last, as the runs say it, not the clock, of
    those that are finished, if any is; of those that do not say it, the last by name. Prints which,
    why, and what was passed over."""
    trained = sorted(all_runs.trained(), key=lambda run: (run.turn(), run.directory.name))
    if not trained:
        raise InferError(f"{all_runs.nothing_trained()}; or give --net and --weights")
    finished = [run for run in trained if run.is_finished()]
    run = (finished or trained)[-1]
    kind = " finished" * (0 < len(finished) < len(trained))
    among = finished or trained
    which = (f"the only{kind} run" if len(among) == 1 else
             f"of {len(among)}{kind} runs the one that was begun or continued last"
             if run.turn() else
             f"of {len(among)}{kind} runs, which do not say when they were trained, the last by "
             "name")
    if not finished:
        which += ", not finished yet" if len(among) == 1 else "; none is finished yet"
    later = [one for one in trained if one.turn() > run.turn()]
    passed = f"; {later[-1].directory}, which began later, is not finished" if later else ""
    print(f"{run.directory}: {which}{passed} (--experiment chooses another)")
    return run


# what a run was trained on, and when

def described(chosen: Chosen) -> str:
    """In words: the net, the weights with their age, and of a run its data."""
    lines = [f"net {chosen.prototxt}", f"weights {chosen.weights} ({age(chosen.weights)} old)"]
    if chosen.run and (data := data_of(chosen.run)):
        lines.append(f"trained on {data}")
    return "\n".join(lines)


def age(path: Path) -> str:
    """How long ago a file was written: 3 days, 1 hour."""
    seconds = time.time() - path.stat().st_mtime
    for length, name in UNITS:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {name}{'s' * (count > 1)}"
    return "less than a minute"


def data_of(run: Run) -> str:
    """What a run was trained on, as its settings or its data layer say; '' where neither does."""
    if run.is_miniature():
        return f"generated scenes ({run.settings()['data']})"
    return str(run.settings().get("data") or "") or ", ".join(map(str, folders_of(run)))


def folders_of(run: Run) -> list[Path]:
    """The folders from which the data layers of its val.prototxt read."""
    from segdata.lists import literal
    from segdata.means import OF_LAYERS
    if not run.prototxt("val").exists():
        return []
    params = [layer.python_param for layer in run.net_param("val").layer
              if layer.python_param.module in OF_LAYERS]
    with reading(run.prototxt("val"), "prototxt with a data layer's param_str"):
        return [Path(str(value)) for param in params
                for name, value in dict(literal(param.param_str)).items() if name.endswith("_dir")]


def warning_for(run: Run | None, images: Iterable[Path | str]) -> str:
    """That the net of a demo is applied to images that are not drawn as the demo's are; '' where it
    is not."""
    if run is None or not run.is_miniature():
        return ""
    other = next((path for path in images if not isinstance(path, Path) or not is_drawn(path)),
                 None)
    if other is None:
        return ""
    return (f"note: {run.directory.name} is a net of the demo: it has seen drawn scenes alone, "
            f"never a photograph, and what it says of {Path(other).name} means little. `fcn solve "
            "--data FOLDER` trains one on photographs")


# the net

class Network:
    """A loaded net with the blob of its scores; `names` are those of its classes.

    Of a net with several labels it gives the first, which for SIFT Flow is the semantic one.
    draws : whether dropout acts in testing, so that no two passes are alike
    Raises InferError of a net that does not segment, TrustError of one that does more than compute
    unless it is `trusted`.
    """

    def __init__(self, chosen: Chosen, gpu: int | None = None, trusted: bool = False,
                 on_machine: int = 1) -> None:
        """on_machine : processes, this one too, that share the memory"""
        self.path, self.weights, self.gpu = chosen.prototxt, chosen.weights, gpu
        self.on_machine = on_machine
        if not trusted:
            trust.check(self.path)
        self.net: Any = load_net(self.path, self.weights)
        inputs = {name: self.net.blobs[name].channels for name in self.net.inputs}
        kinds, self.margin = chosen.inputs.kinds, chosen.inputs.margin
        self.multiple = chosen.inputs.multiple
        if list(inputs.values()) != [CHANNELS[kind] for kind in kinds]:
            raise InferError(f"{self.path}: its inputs have the channels {inputs}, it should take "
                             f"{', '.join(f'{kind} ({CHANNELS[kind]})' for kind in kinds)}; is it "
                             "a deploy prototxt?")
        if not self.margin and (needed := margin_of(self.path)):
            raise InferError(f"{self.path}: its images need a margin of {needed} pixels of their "
                             "reflection on each side, which val.prototxt beside it would say, and "
                             f"{self.path.with_name('val.prototxt')} does not: put that of its "
                             "training there")
        scores = [name for name in self.net.blobs
                  if name == "score" or name in self.net.outputs and name.startswith("score_")]
        if not scores:
            raise InferError(f"{self.path}: the net has no blob 'score'")
        self.blob = scores[0]
        classes = self.net.blobs[self.blob].data.shape[1]
        if classes > 256:
            raise InferError(f"{self.path}: {classes} classes, a palette image holds 256")
        self.names = class_names(self.path, classes)
        self.draws = any(layer.dropout_param.sample_weights_test
                         for layer in trust.layers_of(self.path)
                         if hasattr(layer, "dropout_param")
                         and hasattr(layer.dropout_param, "sample_weights_test"))
        self._reach: tuple[Reach, Reach] | None = None
        self._bytes: Callable[[int, int], int] | None = None

    def __str__(self) -> str:
        return f"blob '{self.blob}' of {self.path} with {self.weights}"

    def scores(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The scores (number, classes, height, width) of one pass; the next one overwrites them.

        arrays : float32 (number, channels, height, width), one for each input of the net, without
            margin and padding, which they get here
        Raises InferError if the scores are not of that size.
        """
        size = arrays[0].shape[2:]
        arrays = [to_multiple(reflected(array, self.margin), self.multiple) for array in arrays]
        self._reshape([array.shape for array in arrays])
        for name, array in zip(self.net.inputs, arrays):
            self.net.blobs[name].data[...] = array
        self.net.forward()
        score = self.net.blobs[self.blob].data
        if self.multiple > 1:
            score = score[..., :size[0], :size[1]]
        if score.shape[2:] != size:
            remedy = unet.sizes_told(self.net.params, size) or "is it a deploy prototxt?"
            raise InferError(f"{self.path}: blob '{self.blob}' has the shape {score.shape} for an "
                             f"image of {size}; {remedy}")
        return score

    def _reshape(self, shapes: Sequence[Sequence[int]]) -> None:
        """An image for whose blobs there is no memory is found here."""
        for name, shape in zip(self.net.inputs, shapes):
            self.net.blobs[name].reshape(*map(int, shape))
        self.net.reshape()

    def tiling(self, size: tuple[int, int], number: int, tile: int | None) -> Tiling:
        """The Tiling for `number` images of `size` (height, width); tile : see `tiles.tiling`."""
        free = free_memory(self.gpu)
        return tiling(size, tile, self.reach, lambda *sides: number * self.memory(*sides),
                      free and free // self.on_machine)

    def reach(self) -> tuple[Reach, Reach]:
        """How far the scores look, along height and width."""
        if self._reach is None:
            self._reach = reaches(self.path, self.blob, self.margin)
        return self._reach

    def memory(self, height: int, width: int) -> int:
        """About the bytes of all blobs for an image of that size; 0 of a net that takes no other
        than its own.

        The counts of a net that slides over its image grow with height · width, height and width.
        Four sizes determine that.
        """
        if self._bytes is None:
            self._bytes = self._counted()
        return max(0, self._bytes(height + 2 * self.margin, width + 2 * self.margin))

    def _counted(self) -> Callable[[int, int], int]:
        sizes = [(h, w) for h in PROBES for w in PROBES]
        try:
            counts = [self._count(*size) for size in sizes]
        except reported():
            return lambda h, w: 0
        factors = np.linalg.solve([[h * w, h, w, 1] for h, w in sizes], counts)
        return lambda h, w: round(4 * float(factors @ [h * w, h, w, 1]))

    def _count(self, height: int, width: int) -> int:
        self._reshape([(1, self.net.blobs[name].channels, height, width)
                       for name in self.net.inputs])
        return sum(blob.count for blob in self.net.blobs.values())


def margin_of(prototxt: Path) -> int:
    """The margin that images of a net need which crops its scores to what is inside of it."""
    inside = next((layer for layer in trust.layers_of(prototxt)
                   if layer.name == "inside" and layer.type == "Convolution"), None)
    return inside.convolution_param.dilation[0] // 2 if inside else 0


def class_names(net: str | Path, count: int) -> Sequence[str]:
    """From classes.txt beside the prototxt; else those of the paper's dataset with as many; else
    numbers. Says on standard error that they are taken by their number."""
    path = Path(net).with_name("classes.txt")
    if path.exists():
        try:
            return read_class_names(path, count)
        except ValueError as error:
            raise InferError(error) from None
    known = (names for names in (VOC, NYUD, SIFTFLOW, PASCALCONTEXT) if len(names) == count)
    names = next(known, [f"class{i}" for i in range(count)])
    print(f"class names are taken by their number, {count}: '{names[0]}' to '{names[-1]}'; {path} "
          "would say them", file=sys.stderr)
    return names
