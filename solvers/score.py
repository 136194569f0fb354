"""Scoring a net on a validation set.

    fcn score RUN [--best | --weights W] [--crf [W,XY,RGB]] [--gpu N | --cpu] [--trust]

RUN is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a run. Its
val.prototxt may have the project's data layers; one with other Python code, or that writes files,
needs --trust. --crf prints the scores twice, without and with a dense CRF (docs/crf.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn.solvers import events, progress
from fcn.solvers.metrics import Scores, confusion
from fcn.solvers.prediction import load_net, predicted_classes
from fcn.solvers.preflight import splits
from fcn.solvers.preflight.divergence import one_class
from fcn.solvers.runs import RunError, reading
from fcn.solvers.samples import SampleTally
from fcn.solvers.text import columns
from fcn.solvers.workers import ALONE, Workers
from segdata.arguments import ArgumentParser
from segdata.files import replacing
from segdata.lists import literal
from segdata.means import OF_LAYERS

if TYPE_CHECKING:
    import caffe
    from fcn.solvers.crf import Sharpener
    from fcn.solvers.runs import Run


FILE = "score.json"         # in a run's folder
WITH_CRF = " with CRF"      # behind the label of scores


def score_net(net: caffe.Net, samples: int, unscored: tuple = (), in_truth: bool = False,
              sharpeners: Mapping[str, Sharpener] = MappingProxyType({}),
              tally: SampleTally | None = None) -> dict[str, Scores]:
    """{label: Scores} of `net` over its next `samples` samples.

    Blob 'score' is held against blob 'label'; of a net with several labels, score_sem against
    sem and so on. Pixels of the classes `unscored` of the (first) label do not count; in_truth: as
    of `Scores`; tally : counts each sample. A truth that shows one class alone is warned of. For
    each suffix and Sharpener of `sharpeners` there are, behind these, those of LABEL + suffix, with
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
            print(f"warning: blob '{label}' shows class {present[0]} alone, beside void, in all "
                  f"{samples} samples: the scores say nothing", file=sys.stderr)
    return scores


def count(net: caffe.Net, samples: int, sharpeners: Mapping[str, Sharpener],
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


HEADLINES = {True: "mean IU (in truth)", False: "mean IU"}


def table(scores: Scores, class_names: Sequence[str]) -> str:
    """Scores as text: the metrics, then accuracy and IU of each class, in percent.

    Where classes are unscored the metrics stand twice, without them and with them.
    """
    headers, kinds, notes = [], [scores], []
    if scores.unscored:
        names, count = ", ".join(class_names[i] for i in scores.unscored), len(class_names)
        kinds.append(scores.with_all_classes())
        headers = [("", f"without {names}", f"with {names}")]
        notes.append(f"Without {names}: the {count - len(scores.unscored)} classes of the task. "
                     f"With {names}: all {count}, as in the authors' score.py.")
    metrics = [(name, *(f"{value:.1f}" for value in values)) for name, *values in zip(
        scores.summary(), *(kind.summary().values() for kind in kinds))]
    notes.append("mean IU: over the classes in the labels or the predictions. A class that is "
                 "predicted but is\nin no label counts 0, as in VOC's evaluation and the authors' "
                 "score.py.\nmean IU (in truth): over the classes in the labels alone.\n"
                 f"This data set is scored by {HEADLINES[scores.in_truth]}.")
    classes: list[tuple[str, ...]] = [("class", "accuracy", "IU")]
    for name, *values in zip(class_names, scores.accuracy, scores.iu):
        classes.append((name, *(f"{100 * value:.1f}" if np.isfinite(value) else "–"
                                for value in values)))
    return "\n\n".join([columns(headers + metrics), "\n".join(notes), columns(classes)])


def tables(scores: dict[str, Scores], run: Run) -> str:
    """One table for each label of `scores`, {label: Scores}."""
    return "\n\n".join(f"{label}\n" * (len(scores) > 1)
                       + table(one, run.class_names(label.removesuffix(WITH_CRF), len(one.iu)))
                       for label, one in scores.items())


def gains(scores: dict[str, Scores]) -> str:
    """A line for each label that stands there without and with CRF; '' where none does."""
    return "\n".join(f"{label}: {HEADLINES[before.in_truth]} {100 * before.headline:.1f} without, "
                     f"{100 * scores[label + WITH_CRF].headline:.1f} with CRF"
                     for label, before in scores.items() if label + WITH_CRF in scores)


def save(scores: dict[str, Scores], run: Run, class_names: dict, iteration: int,
         tally: SampleTally | None = None) -> None:
    """Write the scores of an iteration as score.json of `run`: {label: percent and matrix}.

    With a `tally`, also the losses, and beside it what the report shows of single samples.

    Classes that do not occur, or are not scored, have null. Where classes are unscored, "all
    classes" has the metrics with them.
    """
    content = {label: _content(one, class_names[label]) for label, one in scores.items()}
    samples: dict[str, Any] = {}
    if tally:
        tally.save(run, iteration)
        samples = {**tally.losses(), "sample IU": " ".join(
            "-" if iou is None else f"{iou:g}" for iou in tally.ious)}
    with replacing(run.directory / FILE) as temporary:
        temporary.write_text(json.dumps({"iteration": iteration, **samples, "labels": content},
                                        ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _content(scores: Scores, class_names: Sequence[str]) -> dict[str, Any]:
    def percent(values: np.ndarray) -> dict[str, float | None]:
        return {name: round(100 * float(v), 2) if np.isfinite(v) else None
                for name, v in zip(class_names, values)}

    every = {"all classes": events.summary(scores.with_all_classes())} if scores.unscored else {}
    return {**events.summary(scores), "headline": HEADLINES[scores.in_truth],
            "unscored": list(scores.unscored), **every,
            "class accuracy": percent(scores.accuracy), "class IU": percent(scores.iu),
            "confusion": [" ".join(map(str, row)) for row in scores.matrix.tolist()]}


def read(run: Run) -> dict[str, Any]:
    """The content of score.json of `run`, {} where it is missing or no JSON object."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads((run.directory / FILE).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def load(run: Run, iteration: int) -> dict[str, Scores] | None:
    """The {label: Scores} in score.json of `run`, None unless they are those of `iteration`."""
    content = read(run)
    if content.get("iteration") != iteration:
        return None
    try:
        return {label: Scores.of(np.array([row.split() for row in one["confusion"]], np.int64),
                                 tuple(one["unscored"]), one["headline"] == HEADLINES[True])
                for label, one in content["labels"].items()}
    except Exception:       # damaged in whatever way: it is scored again
        return None


def validation_losses(run: Run) -> dict[str, float | None]:
    """What score.json says of them, as fields of log.Row; {} where it does not."""
    content = read(run)
    try:
        return {name: None if content[name] is None else float(content[name])
                for name in ("validation_loss", "validation_loss_per_pixel")}
    except Exception:       # one of an earlier version, or damaged
        return {}


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


def main() -> None:
    from fcn.solvers import cells, runs, trust
    from fcn.solvers.command import add_device, add_snapshot, report_errors, set_device
    from fcn.solvers.crf import Sharpener, add_crf, chosen
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="an experiment, or the folder of a run")
    add_snapshot(parser)
    parser.add_argument("--trust", action="store_true",
                        help="run a net whose layers do more than compute")
    add_crf(parser)
    add_device(parser, learns=False)
    args = parser.parse_args()
    with report_errors():
        run = runs.find(args.run)
        run.present("val.prototxt")
        if not args.trust:
            trust.check(run.prototxt("val"), own_data=True)
        weights, note = (args.weights, "") if args.weights else run.chosen_weights(args.best)
        precision = set_device(args)
        settings = chosen(args.crf, run.directory)
        sharpeners = {WITH_CRF: Sharpener(run, settings)} if settings else {}
        net = load_net(run.prototxt("val"), weights)
        scores = score_net(net, samples_of(run), run.unscored(),
                           run.settings().get("in_truth", False), sharpeners)
        for label, one in scores.items():
            if not label.endswith(WITH_CRF) and (warning := one_class(
                    one, run.class_names(label, len(one.iu)))):
                print(warning, file=sys.stderr)
        print("\n".join(filter(None, (str(weights), note, precision)))
              + f"\n\n{tables(scores, run)}" + f"\n\n{gains(scores)}" * bool(settings))
        if told := cells.next_step(run):
            print(f"\n{told}")


if __name__ == "__main__":
    main()
