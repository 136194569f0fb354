"""The paper in miniature, on generated data.

    fcn demo                FCN-32s, 16s and 8s (make demo), pictures and a page
    fcn demo NAME...        any experiments (make NAME-demo)
    fcn demo --all          all of them (make demos)

Trains a narrow classifier on crops around single shapes (the stand-in for ILSVRC), turns it into a
fully convolutional net by surgery, trains that by SGD as the paper does, and scores it on held-out
scenes, beside what predicting the most frequent class would score.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.solvers.demo"))

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fcn import nets
from fcn.solvers import cells
from fcn.solvers.console.arguments import add_device, seed
from fcn.solvers.console.commands import fcn_command, near
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import report_errors
from fcn.solvers.console.text import columns
from fcn.solvers.experiments.table import EXPERIMENTS, experiment_named
from fcn.solvers.miniatures import demo_page, miniature, pictures
from fcn.solvers.miniatures.miniature import Trained
from fcn.solvers.report.style import section
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.scoring.tables import WEIGHTED
from segdata.arguments import ArgumentParser, folder_name
from segdata.paths import build_root

STAGES = ("voc-fcn32s", "voc-fcn16s", "voc-fcn8s")
SECONDS = 0.15              # of one core that an image takes, forward and backward

DONE = (
    "A classifier, VGG-16 at an eighth of its width, learned to name what is in the middle of "
    "small pictures: one of six shapes, or nothing. It stands in for the one that learned "
    "ILSVRC's million photographs.",
    "Surgery made it fully convolutional: its last layers became convolutions with the same "
    "weights, so that it takes an image of any size and says a class for each place.",
    "FCN-32s learned on whole scenes to say a class for every pixel, from scores that lie 32 "
    "pixels apart and are interpolated between.",
    "FCN-16s went on from there with scores of pool4, 16 pixels apart, added to them; FCN-8s from "
    "there with those of pool3, 8 pixels apart.",
    "Each was scored on 60 scenes that none of them had seen.",
    "All three learned from one scene a step, by the loss summed over its pixels, as in the paper. "
    "The paper's momentum of 0.99 and its fixed rate are for a hundred times as many steps: here "
    "the momentum was 0.9, and the rate fell to a tenth for the last quarter of each stage.")
OF_TABLE = ("Percent, on scenes that training has not seen. Mean IU is the overlap of prediction "
            "and truth, averaged over the classes; \"f.w. IU\" (frequency-weighted) is "
            f"{WEIGHTED}. \"IU of majority\" is the mean IU of "
            "calling everything what is most frequent: a net that learned nothing.")
OF_CLASSES = ("The IU of each class, in percent. Ring, cross and bar are thinner than the 32 "
              "pixels that lie between the scores of FCN-32s.")
OF_SCENES = ("Held-out scenes: what went in, the truth, and what each net says. From stride 32 to "
             "8, blobs become shapes.")
OF_STRIDES = ("What each net says before it interpolates: FCN-32s a class for every 32 pixels, "
              "FCN-16s for every 16, FCN-8s for every 8, drawn as blocks of that size. What is "
              "smaller than a block can only be guessed at. Interpolation of the scores, in the "
              "last column, smooths the edges of the blocks; it knows no more than they do.")


def main() -> None:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=", ".join(EXPERIMENTS))
    parser.add_argument("--all", action="store_true", help="all experiments")
    parser.add_argument("--seed", type=seed, default=0, help="of the data (default 0)")
    parser.add_argument("-o", "--output", type=folder_name,
                        help="default build/demo, with another seed than 0 build/demo-SEED")
    add_device(parser)
    args = parser.parse_args()
    names = EXPERIMENTS if args.all else args.names or STAGES
    directory = args.output or build_root() / (f"demo-{args.seed}" if args.seed else "demo")
    with report_errors(continues=True):
        for name in names:
            experiment_named(name)
        set_device(args)
        print(plan(names, directory) + "\n", flush=True)
        known: dict[str, Trained] = {}
        trained = [miniature.train(name, directory.resolve(), args.seed, known) for name in names]
        print(f"\n{columns(rows(trained))}\n\n{OF_TABLE}")
        if names == STAGES:
            print("\n" + show(trained, directory))
        for experiment, _ in trained:
            if told := cells.next_step(experiment.run):
                print(f"\n{told}")


def plan(names: Iterable[str], directory: Path) -> str:
    """What will be done, and how long it takes."""
    started = chain(names)
    left = [name for name in started if not miniature.is_trained(name, directory)]
    done = ", ".join(miniature.shown(name) for name in started if name not in left)
    images = sum(miniature.passes(name) for name in left)
    minutes = max(1, round(images * SECONDS / 60))
    of_stages = ("The paper in miniature: nets learn to segment generated scenes of six shapes.\n"
                 "A narrow classifier of single shapes becomes FCN-32s by surgery, FCN-32s becomes "
                 "FCN-16s, that FCN-8s.\n")
    begin = of_stages if names == STAGES else "The paper in miniature, on generated data.\n"
    if not left:
        return f"{begin}All of it is trained already, in {near(directory)}: {done}."
    return (begin + f"Trained already: {done}.\n" * bool(done)
            + f"Trained one after the other: {', '.join(map(miniature.shown, left))}.\n"
            f"It takes about {minutes} minute{'s' * (minutes > 1)} on 2 quiet cores, and writes to "
            f"{near(directory)}.\n"
            "Ctrl-C stops it at any time; the same command goes on from there.")


def chain(names: Iterable[str]) -> list[str]:
    """Experiments after all that they start from, classifiers first, each once."""
    names_in_order: dict[str, None] = {}
    for name in names:
        bases = () if name in nets.TRUNKS else miniature.bases(experiment_named(name).name).values()
        names_in_order |= dict.fromkeys((*chain(bases), name))
    return list(names_in_order)


def rows(trained: Iterable[Trained]) -> list[tuple[str, ...]]:
    """The table of the metrics of each (experiment, {label: Scores}), in percent, and the mean IU
    of predicting the most frequent class everywhere; the first row is its heading."""
    table: list[tuple[str, ...]] = []
    for experiment, scores in trained:
        for i, (label, one) in enumerate(scores.items()):
            summary = {**one.summary(), "IU of majority": 100 * majority(one).headline}
            if not table:
                table.append(("percent", *summary))
            table.append((f"  {label}" if i else experiment.name,
                          *(f"{value:.1f}" for value in summary.values())))
    return table


def class_rows(trained: Iterable[Trained]) -> list[tuple[str, ...]]:
    """The table of each class's IU in percent, of the first label; a column an experiment."""
    shown = [(experiment, next(iter(scores.values()))) for experiment, scores in trained]
    names = next(iter(shown[0][0].class_names.values()))
    return [("percent", *(experiment.name for experiment, _ in shown)),
            *((name, *(f"{100 * scores.iu[i]:.1f}" if np.isfinite(scores.iu[i]) else "–"
                       for _, scores in shown)) for i, name in enumerate(names))]


def show(trained: list[Trained], directory: Path) -> str:
    """Draw the pictures and write the page; returns what to say of them and what to do next."""
    scenes = pictures.draw(trained, directory / "scenes.png")
    strides = pictures.draw_strides(trained, directory / "strides.png")
    steps = next_steps(trained[-1][0].directory)
    page = demo_page.write(directory / "index.html", "FCN in miniature", (
        section("What was done", "", demo_page.listed(DONE)),
        section("How well", OF_TABLE, demo_page.table(_narrow(zip(*rows(trained)), trained)),
                demo_page.paragraph(OF_CLASSES),
                demo_page.table(_narrow(class_rows(trained), trained))),
        section("What it looks like", OF_SCENES, demo_page.picture(scenes, "scenes")),
        section("What each stride sees", OF_STRIDES, demo_page.picture(strides, "strides")),
        section("What to do next", "", demo_page.commands(steps))))
    lines = [f"{near(scenes)}: {OF_SCENES}", f"{near(strides)}: {OF_STRIDES}",
            f"{near(page)}: all of this on a page; open it in a browser.",
            "What to do next:", *(f"  {purpose}\n    {command}"
                                  for purpose, command in steps.items())]
    return "\n".join(lines)


def _narrow(table: Iterable[tuple[str, ...]], trained: list[Trained]) -> list[tuple[str, ...]]:
    """A table with a column for each experiment, whose heading is its head alone: so that it fits
    the screen of a telephone."""
    (first, *_), *others = table
    return [(first, *(experiment.head for experiment, _ in trained)), *others]


def next_steps(run: Path) -> dict[str, str]:
    """{what for: command}."""
    return {
        "Segment your own image (this net knows six shapes and nothing else):":
            fcn_command("infer", "IMAGE.jpg", "--experiment", near(run)),
        "Train on your folder of images and masks, and segment with what it learned:":
            f"{fcn_command('solve', '--images', 'IMAGES', '--masks', 'MASKS')} && "
            + fcn_command("infer", "IMAGE.jpg"),
        "Train the paper's own nets on PASCAL VOC (downloads 3.6 GB, wants a GPU):":
            "make data-voc vgg16 voc-fcn32s",
        "Try the paper's other nets in miniature:": "make demos"}


def majority(scores: Scores) -> Scores:
    """The Scores of predicting for every pixel the class that is most frequent in the labels."""
    pixels, scored = scores.matrix.sum(1), scores.matrix.sum(1)
    scored[list(scores.unscored)] = 0
    constant = np.zeros_like(scores.matrix)
    constant[:, scored.argmax()] = pixels
    return Scores.of(constant, scores.unscored, scores.in_truth)
