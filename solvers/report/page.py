"""The page of a run, RUN/report.html."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn.nets.weighted import is_weighted
from fcn.solvers.console.progress import duration
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.report import charts, gallery, network
from fcn.solvers.report.style import document, section, unbroken
from fcn.solvers.runs import log
from fcn.solvers.runs.circumstances import circumstances
from fcn.solvers.scoring import samples, score_file, tables
from fcn.solvers.scoring.metrics import Scores
from segdata.files import replacing
from segdata.palette import class_colours

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2
    from fcn.solvers.runs.run import Run

FILE = "report.html"
SOURCES = (score_file.FILE, "log.csv")     # a report that is older than these is written anew
MOST_CONFUSED = 5       # pairs of classes that are named
FULL_NAMES = {"f.w. IU": "frequency-weighted IU"}       # of metrics, where there is room for them
WEIGHTED = f"Frequency-weighted IU is {tables.WEIGHTED}."
REPEATED = "--lr", "--iterations"       # settings that the configuration has from the solver
# what settings mean whose names do not tell it
MEANINGS = {
    "width": "times the channels of the published net",
    "filler": "how the first weights are drawn: at random, with a spread that keeps the values of "
              "all layers about as large",
    "scale": "what images are multiplied by, after the mean is subtracted"}


def write(run: Run) -> Path:
    """Write the report of a run from what is in its folder and its data; returns its path.

    What cannot be shown (pictures of data that are gone) is said in its place.
    """
    path = run.directory / FILE
    content = html(run)
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


def refresh(run: Run) -> None:
    """Write a run's report if it is missing or old. What is wrong with one run, half deleted or
    damaged in whatever way, is printed to stderr, and is in the way of nothing else."""
    own = run.directory / FILE
    sources = [path for name in SOURCES if (path := run.directory / name).exists()]
    if own.exists() and all(path.stat().st_mtime <= own.stat().st_mtime for path in sources):
        return
    try:
        print(f"writing {write(run)}")
    except Exception as error:
        print(f"{run.directory.name}: no report: {error or type(error).__name__}; "
              f"`fcn report {run.directory}` tries again", file=sys.stderr)


def html(run: Run) -> str:
    """The page as text."""
    rows = log.read(run.directory / "log.csv")
    iteration, scores = read_scores(run)
    names = {label: run.class_names(label, len(one.iu)) for label, one in scores.items()}
    sections = [_headline(run, rows, iteration, scores), _curves(run, rows, scores)]
    for label, one in scores.items():
        sections += [_classes(label, one, names[label], len(scores) > 1),
                     _confusion(label, one, names[label], len(scores) > 1)]
    sections += [_gallery(run, names), _network(run), _configuration(run, rows)]
    return document(run.directory.name, "".join(filter(None, sections)))


def read_scores(run: Run) -> tuple[int | None, dict[str, Scores]]:
    """(iteration, {label: Scores}) in score.json; (None, {}) without it."""
    iteration = score_file.read(run).get("iteration")
    if not isinstance(iteration, int):
        return None, {}
    return iteration, score_file.load(run, iteration) or {}


def published(run: Run) -> str:
    """What the paper or its release reached with the experiment that a run is, or is in
    miniature; '' where nothing is known."""
    row = EXPERIMENTS.get(run.directory.name.removesuffix("-demo"))
    return row.published if row else ""


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Names and values in a list; those without a value are left out."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>"
                            for name, value in pairs if value not in ("", None, (), [], {})
                            ) + "</dl>"


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _headline(run: Run, rows: Sequence[log.LogRow], iteration: int | None,
              scores: dict[str, Scores]) -> str:
    """The figures that one looks for first."""
    seconds = log.seconds(rows)
    head = str(run.settings().get("head", ""))
    words = [head.replace("fcn", "FCN-") if head else "A net", _trained_for(run, rows),
             *([f"in {unbroken(duration(seconds))}"] if seconds else [])]
    cards = []
    for label, one in scores.items():
        title = f" ({label})" if len(scores) > 1 else ""
        summary = one.summary()
        main = tables.HEADLINES[one.in_truth]
        for name in (main, *(name for name in summary if name != main and "truth" not in name
                             and name != "mean IU")):
            cards.append(_card(FULL_NAMES.get(name, name) + title, summary[name], name == main))
    note = "The run has no scores yet." if not scores else (
        f"Scores of the snapshot of iteration {iteration:,}, on {run.samples():,} validation "
        "images that the net was not trained on. Mean IU is the figure to compare: of each class, "
        "the pixels that truth and prediction share among those that either has; then the mean "
        f"over classes. {WEIGHTED} 100% is perfect.")
    paper = published(run)
    beside = (f'<p class="paper"><b>The paper’s figure:</b> {escape(paper)}.'
              + " This run is its miniature, a narrow net on generated data: its figures are not to"
                " be compared with the paper’s." * run.is_miniature() + "</p>") if paper else ""
    return (f"<header><p class='kind'>Training report</p><h1>{escape(run.directory.name)}</h1>"
            f"<p>{escape(' '.join(words))}.</p></header>"
            f"<div class='cards'>{''.join(cards)}</div><p class='lead'>{note}</p>{beside}")


def _trained_for(run: Run, rows: Sequence[log.LogRow]) -> str:
    """How many iterations are done, and of how many, unless it is all of them."""
    done, planned = iterations(run, rows), run.solver_param().max_iter
    if done >= planned:
        return f"trained for {done:,} iterations"
    end = run.ended()
    return (f"trained for {done:,} of {planned:,} iterations"
            + (f", where --patience {end['patience']} ended it," if end else " so far"))


def iterations(run: Run, rows: Sequence[log.LogRow]) -> int:
    """How many are done: a training that was stopped may have a snapshot behind the last line of
    its log."""
    return max([row.iteration for row in rows] + [number for number, _ in run.caffemodels()],
               default=0)


def _card(name: str, value: float, is_main: bool) -> str:
    return (f'<div class="card{" main" * is_main}" title="{value:.2f}%"><b>{value:.1f}'
            f'<small>%</small></b><span>{escape(name)}</span></div>')


def _curves(run: Run, rows: Sequence[log.LogRow], scores: dict[str, Scores]) -> str:
    """Loss, mean IU and rate over the iterations."""
    per_pixel = any(row.loss_per_pixel is not None for row in rows)
    of = "loss_per_pixel" if per_pixel else "loss"
    losses = [(row.iteration, value) for row in rows if (value := getattr(row, of)) is not None]
    validation = [(row.iteration, value) for row in rows
                  if (value := getattr(row, f"validation_{of}")) is not None]
    means = list(zip((iteration for iteration, _ in losses),
                     log.recent_means([value for _, value in losses])))
    classes = len(next(iter(scores.values())).iu) if len(scores) == 1 else 0
    unit = "loss per pixel" if per_pixel else "loss of an image"
    weighs = is_weighted(run.net_param("train"))
    guess = (math.log(classes), f"guessing among {classes} classes") \
        if classes > 1 and per_pixel and not weighs else None
    scored = [(row.iteration, row.mean_iu) for row in rows if row.mean_iu is not None]
    rates = [(row.iteration, row.rate) for row in rows if row.rate is not None]
    steps = _with_steps(rates, run.solver_param())
    times = [(row.iteration, row.time / 60) for row in rows if row.time is not None]
    steady = run.solver_param().lr_policy == "fixed" and len({rate for _, rate in rates}) == 1
    return "".join([
        section("Loss", "How wrong the net is on the images it learns from (blue) and on the "
                "validation images (red): lower is better. The thin line is the loss of "
                f"single images or batches, the bold one the mean of the last {log.LATEST} of "
                "these. Where red rises while blue falls, the net learns its training images by "
                "heart."
                + " Training (blue) weighs pixels or classes, validation (red) does not: how they "
                  "change compares, how high they are does not." * weighs,
                charts.lines([charts.Line("of one training image", losses, "loss"),
                              charts.Line(f"mean of the last {log.LATEST}", means, "mean"),
                              charts.Line("validation", validation, "validation", True)], unit,
                             logarithmic=True, level=guess)),
        section("Mean IU", "How much of each class is found, on the validation images: higher is "
                "better. If it still rises at its end, train longer.",
                charts.lines([charts.Line("mean IU", scored, "score", True)], "percent",
                             lowest=0, highest=100)),
        section("Rate", "How far each update goes. It is lowered towards the end so that the "
                "weights settle.",
                charts.lines([charts.Line("rate", steps, "rate")], "learning rate",
                             logarithmic=True)) if rates and not steady else "",
        section("Time", "Minutes of training at each iteration, those before an interruption "
                "included. A straight line is a steady speed; steps are scoring."
                + (f" The learning rate was {rates[0][1]:g} throughout." if rates and steady
                   else ""),
                charts.lines([charts.Line("time", times, "rate")], "minutes", lowest=0))])


def _with_steps(rates: Sequence[tuple[int, float]], param: caffe_pb2.SolverParameter
                ) -> Sequence[tuple[int, float]]:
    """The logged rates, and two more points where the rate is lowered at once between two lines of
    the log: the old and the new rate at the iteration where that happens, or at the earlier line
    if the solver's policy does not say where."""
    if param.lr_policy not in ("fixed", "step", "multistep"):
        return rates
    places = range(param.stepsize, param.max_iter, param.stepsize) if param.stepsize \
        else param.stepvalue
    points = list(rates[:1])
    for (before, old), (after, new) in itertools.pairwise(rates):
        if old != new:
            at = next((place for place in places if before <= place < after), before)
            points += [(at, old), (at, new)]
        points.append((after, new))
    return points


def _hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*map(int, colour))


def _classes(label: str, one: Scores, names: Sequence[str], named: bool) -> str:
    colours, pixels = class_colours(names), one.matrix.sum(1)
    values = [(name, _hex(colours[i]), 100 * float(one.iu[i]) if np.isfinite(one.iu[i]) else None,
               f"{name}: IU {100 * float(one.iu[i]):.2f}%, {int(pixels[i]):,} pixels in the truth")
              for i, name in enumerate(names)]
    return section("IU of each class" + f": {label}" * named,
                   "Of the pixels that truth or prediction give a class, the share on which both "
                   "agree, in percent. A class at 0 was not learned; – stands for one that neither "
                   "shows, or that does not count. The squares are the classes’ colours in the "
                   "pictures below.", charts.bars(values))


def _confusion(label: str, one: Scores, names: Sequence[str], named: bool) -> str:
    matrix, shares = one.matrix, one.matrix / np.maximum(one.matrix.sum(1, keepdims=True), 1)
    wrong = np.where(np.eye(len(names), dtype=bool), 0, shares)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = [(i, j) for i, j in (divmod(int(k), len(names)) for k in order) if wrong[i, j] >= 0.01]
    mistakes = "; ".join(f"{100 * shares[i, j]:.0f}% of <b>{escape(names[i])}</b> are taken "
                         f"for <b>{escape(names[j])}</b>" for i, j in pairs)
    pixels = np.where(np.eye(len(names), dtype=bool), 0, matrix)
    true, said = divmod(int(pixels.argmax()), len(names))
    largest = (f"{100 * pixels.max() / max(pixels.sum(), 1):.0f}% of all wrong pixels are "
               f"<b>{escape(names[true])}</b> taken for <b>{escape(names[said])}</b>")
    return section("What is taken for what" + f": {label}" * named,
                   "A row for each true class, a column for what the net says; the darker, the "
                   "larger the share of the row, in percent. Green is right, red is wrong.",
                   charts.confusion(matrix, names),
                   f"<p>The classes most often mistaken: {mistakes}.</p>"
                   f"<p>The mistake with the most pixels: {largest}.</p>"
                   if mistakes else "")


COLOURED = ("Colours are classes, cream is void (not judged). In the error map green is right, red "
            "wrong, grey not judged.")


def _gallery(run: Run, names: dict[str, list[str]]) -> str:
    if not names:
        return ""
    label, own = next(iter(names.items()))
    title, parts = "Validation images" + f": {label}" * (len(names) > 1), []
    try:
        pictures = gallery.pictures(run, own)
    except Exception as error:      # of data that are gone or changed: the page does without
        return section(title, COLOURED, "<p class='paper'>Not shown: "
                       f"{escape(str(error) or type(error).__name__)}</p>")
    colours = class_colours(own)
    kinds = list(dict.fromkeys(picture.kind for picture in pictures))
    for kind in kinds:
        parts += [f"<h3>{kind.capitalize()}</h3>"] if kind else []
        parts += [_picture(each, own, colours) for each in pictures if each.kind == kind]
    shown = (f"The {samples.SHOWN} that the net segments best, {samples.SHOWN} in the middle and "
             f"the {samples.SHOWN} worst" if len(kinds) > 1 else "All that have labels")
    return section(title, f"{shown}, by the mean IU of the image, the best first. {COLOURED}",
                   *parts)


def _picture(picture: gallery.Picture, names: Sequence[str], colours: np.ndarray) -> str:
    images = "".join(f'<figure><img src="{uri}" alt="{escape(caption)} of {escape(picture.name)}">'
                     f"<figcaption>{escape(caption)}</figcaption></figure>"
                     for caption, uri in picture.images.items())
    legend = "".join(f'<span><i style="background:{_hex(colours[i])}"></i>{escape(names[i])}</span>'
                     for i in sorted(picture.classes) if i < len(names))
    return (f'<article><p><b>{escape(picture.name)}</b> · mean IU {picture.iou:.1f}%</p>'
            f'<div class="row">{images}</div><p class="legend">{legend}</p></article>')


def _network(run: Run) -> str:
    import caffe
    rows = network.rows(run.net_param("deploy"),
                        caffe.Net(str(run.prototxt("deploy")), caffe.TEST))
    total = sum(row.parameters for row in rows)
    size = next(("×".join(map(str, row.shape[2:4])) for row in rows if len(row.shape) > 3), "?")
    table = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{escape(' + '.join([row.type, *row.after]))}</td>"
        f"<td>{escape(row.what)}</td><td>{charts.shape(row)}</td><td>{row.parameters:,}</td>"
        f"<td>{network.side(row.field, square=False)}</td></tr>"
        for row in rows)
    return section(
        "The net", f"{len(rows)} layers with {total:,} parameters, from the image at the left to "
        "the scores at the right. The higher a box, the finer its map; the wider, the more "
        "channels. Arcs are what skips layers: fine maps that sharpen coarse ones.",
        charts.network(rows),
        "<details><summary>All layers</summary><p class='lead'>Shapes are channels × height×width "
        f"for an image of {size}. The receptive field is the side, in pixels of the image, of what "
        "one value of the layer’s output can see.</p><div class='scroll'><table class='layers'>"
        "<tr><th>layer</th><th>type</th><th>kernel</th><th>shape</th><th>parameters</th>"
        f"<th>field</th></tr>{table}</table></div></details>")


def _configuration(run: Run, rows: Sequence[log.LogRow]) -> str:
    """Settings and circumstances."""
    param, settings, known = run.solver_param(), run.settings(), circumstances(run)
    steps = list(param.stepvalue)
    rate = f"{param.base_lr:g}, {param.lr_policy}" + (
        f": times {param.gamma:g} from iteration {', '.join(map(str, steps))}" if steps else "")
    early = [row for row in rows if row.rate is not None and steps and row.iteration < steps[0]
             and row.rate < 0.999 * param.base_lr]
    if early:
        rate += (f"; but {early[0].rate:g} at iteration {early[0].iteration:,} already, for the "
                 "run was to have fewer iterations when it began")
    named = settings.get("classes")
    classes = {label: len(names) for label, names in named.items()
               if isinstance(names, (list, tuple))} if isinstance(named, dict) else {}
    seconds = log.seconds(rows)
    trained = facts([
        ("head", settings.get("head")),
        *((key, f"{_text(value)} ({MEANINGS[key]})" if key in MEANINGS and value else value)
          for key, value in settings.items()
          if key not in ("head", "classes", "data", "unscored", "in_truth", *REPEATED)),
        ("data", settings.get("data")), ("classes", ", ".join(
            f"{count} ({label})" for label, count in classes.items())),
        ("rate", rate), ("momentum", f"{param.momentum:g}"),
        ("images an update", run.batch() * param.iter_size),
        ("weight decay", f"{param.weight_decay:g}"),
        ("iterations", f"{param.max_iter:,}"), ("scored every", f"{param.snapshot:,} iterations"),
        ("validation images", f"{run.samples():,}"), ("seed", param.random_seed)])
    versions = known.get("versions")
    around = facts([
        ("begun", known.get("begun")),
        ("duration", unbroken(duration(seconds)) if seconds else None),
        ("device", known.get("device")), ("system", known.get("system")),
        ("commit", known.get("commit")),
        *(versions.items() if isinstance(versions, dict) else ()),
        ("command", known.get("command")), ("folder", run.directory.resolve())])
    return section("Configuration", "All that it takes to train this again. “Begun” is when the "
                   "process that trained last was started.",
                   f"<div class='two'>{trained}{around}</div>")
