"""Scores of a net: its predictions counted over samples, by several workers if need be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn.solvers.console import progress
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments import splits
from fcn.solvers.processes.workers import ALONE, Workers
from fcn.solvers.runs.reading import reading
from fcn.solvers.scoring.metrics import Scores, confusion
from fcn.solvers.scoring.prediction import predicted_classes
from fcn.solvers.scoring.samples import SampleTally
from segdata.lists import literal
from segdata.means import OF_LAYERS

if TYPE_CHECKING:
    import caffe
    from fcn.solvers.runs.run import Run


# a function that makes scores sharper, as CRFs do. It is given the net behind its forward pass, the
# scores, and what messages name as the place that they come from
Sharpen = Callable[["caffe.Net", np.ndarray, str], np.ndarray]


def score_net(net: caffe.Net, samples: int, unscored: tuple = (), in_truth: bool = False,
              sharpeners: Mapping[str, Sharpen] = MappingProxyType({}),
              tally: SampleTally | None = None) -> dict[str, Scores]:
    """{label: Scores} of `net` over its next `samples` samples.

    Blob 'score' is held against blob 'label'; of a net with several labels, score_sem against
    sem and so on. Pixels of the classes `unscored` of the (first) label do not count; in_truth: as
    of `Scores`; tally : counts each sample. A truth that shows one class alone is warned of. For
    each suffix and Sharpen of `sharpeners` there are, behind these, those of LABEL + suffix, with
    the sharpened scores.
    """
    return scores_of([count(net, samples, sharpeners, tally)], samples, unscored, in_truth)


# {(label, suffix): int64 confusion matrix, 0 of no samples}, the first label first
Matrices = dict[tuple[str, str], Any]


def scores_of(parts: Sequence[Matrices], samples: int, unscored: tuple = (),
              in_truth: bool = False) -> dict[str, Scores]:
    """What `score_net` returns, of the counts of all workers."""
    matrices = {key: sum(part[key] for part in parts) for key in parts[0]}
    first = next(iter(matrices))[0]
    try:
        scores = {label + suffix: Scores.of(matrix, unscored if label == first else (), in_truth)
                  for (label, suffix), matrix in matrices.items()}
    except ValueError as error:
        raise RunError(f"{samples} samples: {error}; their labels are void throughout") from None
    for label in {label: None for label, _ in matrices}:
        present = np.flatnonzero(scores[label].matrix.sum(1))
        if len(present) == 1:
            progress.warn(f"warning: blob '{label}' shows class {present[0]} alone, beside void, "
                          f"in all {samples} samples: the scores say nothing")
    return scores


def one_class(scores: Scores, names: Sequence[str]) -> str | None:
    """A warning if every pixel was predicted as one class, though the labels show several."""
    predicted = np.flatnonzero(scores.matrix.sum(0))
    if len(predicted) != 1 or np.count_nonzero(scores.matrix.sum(1)) < 2:
        return None
    return (f"warning: the net predicts class {predicted[0]} ({names[predicted[0]]}) for every "
            "pixel. Likely causes, in this order: too few iterations so far; a rate that is too "
            "low for this loss, or was so high that the net has died; weights that were not "
            "transplanted; labels in which that class is nearly everything")


def count(net: caffe.Net, samples: int, sharpeners: Mapping[str, Sharpen],
          tally: SampleTally | None, workers: Workers = ALONE) -> Matrices:
    """Count pixels as `score_net` does, over the samples that are this worker's."""
    pairs = score_blobs(net)
    first = next(iter(pairs))
    matrices: Matrices = {(label, suffix): 0 for suffix in ("", *sharpeners) for label in pairs}
    own = range(workers.rank, samples, workers.count)
    with workers.sharing(net):
        for number in progress.through(own, "scoring", len(own), "image", leave=False):
            net.forward()
            for label, name in pairs.items():
                truth, maps = net.blobs[label].data, net.blobs[name].data
                source = f"sample {number + 1} of {samples}, blob '{name}'"
                said = {"": predicted_classes(maps, source)}
                said.update((suffix, sharpen(net, maps, source).argmax(1))
                            for suffix, sharpen in sharpeners.items())
                for suffix, classes in said.items():
                    matrix = confusion(truth[:, 0], classes, maps.shape[1])
                    matrices[label, suffix] += matrix
                    if tally and (label, suffix) == (first, ""):
                        tally.add(net, matrix, classes[0])
    return matrices


def score_blobs(net: caffe.Net) -> dict[str, str]:
    """{label: blob of its scores}. Raises RunError if the net has none."""
    if "score" in net.blobs and "label" in net.blobs:
        return {"label": "score"}
    pairs = {name.removeprefix("score_"): name for name in net.blobs
             if name.startswith("score_") and name.removeprefix("score_") in net.blobs}
    if not pairs:
        raise RunError(f"the net has no blobs score and label, only {', '.join(net.blobs)}")
    return pairs


def samples_of(run: Run) -> int:
    """The number of samples to score, test_iter of solver.prototxt. Raises RunError where the list
    of the project's data layer in val.prototxt has fewer; of more, a warning says so."""
    count, path = run.samples(), run.prototxt("val")
    for layer in run.net_param("val").layer:
        param = layer.python_param
        if param.module not in OF_LAYERS:
            continue
        with reading(path, "prototxt with a data layer's param_str"):
            source, entries = splits.listed(param.module, param.layer, literal(param.param_str))
        what = (f"{source} lists {len(entries)} samples, and test_iter in "
                f"{run.prototxt('solver')} is {count}")
        if len(entries) < count:
            raise RunError(f"{what}: some would be scored twice. Put the list back, or set "
                           f"test_iter to {len(entries)}")
        if len(entries) > count:
            print(f"warning: {what}: those behind the first {count} are not scored; to score all, "
                  f"set test_iter to {len(entries)}", file=sys.stderr)
    return count
