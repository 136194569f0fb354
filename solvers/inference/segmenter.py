"""Images in, classes and probabilities out: `from fcn import Segmenter`."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fcn.solvers.console.device import set_device
from fcn.solvers.inference import averaging
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.network import Chosen, Network, choose
from fcn.solvers.inference.photographs import read_image, to_image
from fcn.solvers.inference.tiles import Tiling
from fcn.solvers.scoring.prediction import check_finite, predicted_classes
from segdata.augment import MOST_SCALE
from segdata.inputs import Inputs
from segdata.overlay import overlay, shares

KEPT = 1 << 28      # bytes of scores that a result keeps; of larger ones they are computed again

# probabilities (classes, height, width), image uint8 (height, width, 3) RGB -> probabilities
Refinement = Callable[[np.ndarray, np.ndarray], np.ndarray]
ImageLike = str | Path | Image.Image | np.ndarray


class Photograph(NamedTuple):
    """An image, its name for messages, and what the net takes of it: float32 (channels, height,
    width), one an input."""
    image: Image.Image
    name: str
    arrays: Sequence[np.ndarray]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.image.height, self.image.width


@dataclass
class Segmentation:
    """What a net says of an image.

    labels : uint8 (height, width), the class of each pixel
    names : of the classes, by number
    image : the image, RGB and upright
    probabilities : float32 (classes, height, width), of which the sum over the classes is 1;
        computed when they are first asked for
    variance : float32 (height, width), of the probabilities of several passes, the mean over the
        classes; None of one pass
    shares : [(name, share of the pixels)] of the classes present, the largest first
    """
    labels: np.ndarray
    names: Sequence[str]
    image: Image.Image
    _probabilities: Callable[[], np.ndarray]
    variance: np.ndarray | None = None

    @cached_property
    def probabilities(self) -> np.ndarray:
        return self._probabilities()

    @property
    def shares(self) -> list[tuple[str, float]]:
        return [(self.names[number], share) for number, share in shares(self.labels)]

    def overlay(self, opacity: float = 0.55, contours: bool = False, legend: bool = True
                ) -> Image.Image:
        """The image under the colours of its classes; see `segdata.overlay.overlay`."""
        return overlay(self.image, self.labels, self.names, opacity, contours, legend)


class Segmenter:
    """Segments images with a trained net.

        from fcn import Segmenter

        segment = Segmenter("voc-fcn8s")        # an experiment, or the folder of a run
        result = segment("photograph.jpg")      # a path, a PIL image, or an array
        print(result.shares)                    # [('background', 0.71), ('cat', 0.29)]
        cat = result.labels == result.names.index("cat")
        result.overlay().save("overlay.png")

    run_or_net : the name of an experiment or of a stage of the demo, the folder of a run, or a
        deploy prototxt, which takes `weights`; default: the finished run that was begun or
        continued last
    weights : a caffemodel; of a run, default: its newest snapshot
    device : 'cpu', 'gpu' or 'gpu:N'
    best : of a run, the snapshot with the highest mean IU on its validation set
    flip : average with the probabilities of the mirrored image
    scales : average over the image in these sizes, 1 is its own
    tile : side in pixels of the tiles, which overlap, in which an image is computed; default:
        tiles where the memory does not hold the whole. The scores are those of the whole image
    refinements : what changes the probabilities (classes, height, width) of an image, uint8
        (height, width, 3), before classes are taken from them, in that order
    samples : passes over each image, of which the mean is taken, of a net with dropout that acts in
        testing, too (`sample_weights_test`, Bayesian SegNet)
    precision : 'fp32', 'tf32', 'bf16' or 'auto', as `--precision`
    trust : run a net whose layers do more than compute

    Its `note` says what the precision 'auto' chose; it is '' for others.

    Raises InferError, RunError or TrustError, all of them `segdata.errors.UserError`, with the
    remedy.
    """

    def __init__(self, run_or_net: str | Path | None = None, weights: str | Path | None = None,
                 device: str = "cpu", best: bool = False, *, flip: bool = False,
                 scales: Sequence[float] = (1,), tile: int | None = None,
                 refinements: Sequence[Refinement] = (), samples: int = 1,
                 precision: str | None = None, trust: bool = False,
                 chosen: Chosen | None = None, on_machine: int = 1) -> None:
        """chosen : what `choose` gave, in place of run_or_net, weights and best; on_machine :
        processes that share the memory"""
        self.chosen = chosen or _chosen(run_or_net, weights, best)
        gpu = _gpu(device)
        self.note = set_device(Namespace(gpu=gpu, precision=precision))
        self.network = Network(self.chosen, gpu, trust, on_machine)
        if not scales or not all(0 < scale <= MOST_SCALE for scale in scales):
            raise InferError(f"scales are {scales}, expected numbers above 0 and up to "
                             f"{MOST_SCALE}, such as 0.75, 1, 1.25")
        if samples < 1 or samples > 1 and not self.network.draws:
            raise InferError(f"{samples} samples of {self.network.path}, expected 1 or more"
                             if samples < 1 else
                             f"{self.network.path}: no Dropout has sample_weights_test: true, so "
                             f"that {samples} passes are all alike; leave the samples out")
        self.samples = samples
        self.flip, self.scales, self.tile = flip, tuple(scales), tile
        self.refinements = tuple(refinements)
        self.names = list(self.network.names)

    def __call__(self, image: ImageLike, depth: str | Path | None = None,
                 hha: str | Path | None = None) -> Segmentation:
        """The Segmentation of an image: a path, a PIL image, or an array uint8 (height, width, 3),
        RGB, or (height, width), grey.

        depth, hha : files of the same size, for nets that take them; see `segdata.inputs`
        Raises InferError where the image is none, ScoreError where scores are not finite.
        """
        files = {"depth": Path(depth) if depth else None, "hha": Path(hha) if hha else None}
        inputs = Inputs(self.chosen.inputs.kinds, self.chosen.inputs.mean, files)
        return self.batch([self.photograph(image, inputs)])[0]

    def photograph(self, image: ImageLike, inputs: Inputs, name: str = "the image") -> Photograph:
        """An image read, and what the net takes of it; `name` : of one that is no file."""
        path = Path(image) if isinstance(image, (str, Path)) else Path(name)
        made = read_image(path) if isinstance(image, (str, Path)) else to_image(image)
        return Photograph(made, str(path), inputs.read(path, made))

    def plan(self, size: tuple[int, int], number: int = 1) -> Tiling:
        """How `number` images of `size` (height, width) are computed: whole or in tiles, and the
        memory that takes. Of several scales, at the largest."""
        largest = max(self.scales)
        return self.network.tiling((max(1, round(size[0] * largest)),
                                    max(1, round(size[1] * largest))), number, self.tile)

    def batch(self, photographs: Sequence[Photograph]) -> list[Segmentation]:
        """The Segmentations of photographs of one size, computed together.

        The scores differ from those of each alone by the rounding of sums in another order, about
        1e-6 of the largest.
        """
        arrays = [np.stack(each) for each in zip(*(one.arrays for one in photographs))]
        source = f"{', '.join(one.name for one in photographs)}: {self.network}"
        if self.flip or self.scales != (1,) or self.refinements or self.samples > 1:
            mean, variance = self._sampled(arrays, source)
            return [self._refined(one, found, spread) for one, found, spread in zip(
                photographs, mean, variance)]
        kept: list[np.ndarray] = []

        def labels(scores: np.ndarray) -> np.ndarray:
            if scores.shape[2:] == arrays[0].shape[2:] and scores.nbytes <= KEPT:
                kept.append(scores.copy())
            return predicted_classes(scores, source).astype(np.uint8)

        found = self._computed(arrays, labels)
        return [Segmentation(label, self.names, one.image,
                             self._later(photographs[i], kept[0][i:i + 1] if kept else None))
                for i, (label, one) in enumerate(zip(found, photographs))]

    def _later(self, photograph: Photograph, scores: np.ndarray | None
               ) -> Callable[[], np.ndarray]:
        """A function that computes the probabilities: of the scores, or by another pass."""
        def probabilities() -> np.ndarray:
            if scores is not None:
                return averaging.softmax(scores)[0]
            return self._averaged([array[None] for array in photograph.arrays],
                                  f"{photograph.name}: {self.network}")[0]
        return probabilities

    def _averaged(self, arrays: list[np.ndarray], source: str) -> np.ndarray:
        def probabilities(scores: np.ndarray) -> np.ndarray:
            check_finite(scores, source)
            return averaging.softmax(scores)
        return averaging.averaged(arrays, lambda given: self._computed(given, probabilities),
                                  self.scales, self.flip)

    def _sampled(self, arrays: list[np.ndarray], source: str
                 ) -> tuple[np.ndarray, Sequence[np.ndarray | None]]:
        """The mean of the probabilities over the passes, and for each image their variance."""
        mean = self._averaged(arrays, source)
        if self.samples == 1:
            return mean, [None] * len(mean)
        squares = np.zeros_like(mean)
        for number in range(2, self.samples + 1):
            found = self._averaged(arrays, source)
            step = found - mean
            mean += step / number
            squares += step * (found - mean)
        return mean, (squares / self.samples).mean(1)

    def _refined(self, photograph: Photograph, probabilities: np.ndarray,
                 variance: np.ndarray | None) -> Segmentation:
        for refinement in self.refinements:
            probabilities = refinement(probabilities, np.asarray(photograph.image))
        return Segmentation(probabilities.argmax(0).astype(np.uint8), self.names, photograph.image,
                            lambda: probabilities, variance)

    def _computed(self, arrays: list[np.ndarray], finish: Callable[[np.ndarray], np.ndarray]
                  ) -> np.ndarray:
        """`finish` of the scores of images, which is joined from tiles where there are some."""
        size = arrays[0].shape[2:]
        made = self.network.tiling((size[0], size[1]), len(arrays[0]), self.tile)
        if len(made) == 1:
            return finish(self.network.scores(arrays))
        out: np.ndarray | None = None
        for y in made.rows:
            for x in made.columns:
                scores = self.network.scores([array[..., y.start:y.end, x.start:x.end]
                                              for array in arrays])
                part = finish(scores[..., y.first - y.start:y.last - y.start,
                                     x.first - x.start:x.last - x.start])
                if out is None:
                    out = np.empty((*part.shape[:-2], *size), part.dtype)
                out[..., y.first:y.last, x.first:x.last] = part
        assert out is not None
        return out


def _chosen(run_or_net: str | Path | None, weights: str | Path | None, best: bool) -> Chosen:
    """Whether the first argument of a Segmenter is a net or a run shows in its name."""
    if run_or_net is not None and Path(run_or_net).suffix in (".prototxt", ".pt"):
        if weights is None:
            raise InferError(f"{run_or_net} is a net, which takes weights: Segmenter(NET, WEIGHTS)")
        return choose(net=run_or_net, weights=weights, best=best)
    return choose(run=run_or_net, weights=weights, best=best)


def _gpu(device: str) -> int | None:
    """The number of the GPU that a device names, None for the CPU."""
    match = re.fullmatch(r"cpu|gpu(?::(\d+))?", device)
    if not match:
        raise InferError(f"device is '{device}', expected 'cpu', 'gpu' or 'gpu:N'")
    return None if device == "cpu" else int(match[1] or 0)
