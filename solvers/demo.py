"""The paper in miniature, on generated data.

    fcn demo                FCN-32s, 16s and 8s (make demo), pictures and a page
    fcn demo NAME...        any experiments (make NAME-demo)
    fcn demo --all          all of them (make demos)

Trains a narrow classifier on crops around single shapes (the stand-in for ILSVRC), turns it into a
fully convolutional net by surgery, trains that by SGD as the paper does, and scores it on held-out
scenes, beside what predicting the most frequent class would score.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn import nets
from fcn.nets.source import MEAN
from fcn.solvers import cells, demo_page, miniature, training
from fcn.solvers.command import (
    add_device,
    fcn_command,
    near,
    report_errors,
    seed,
    set_device,
)
from fcn.solvers.experiments import EXPERIMENTS, Experiment, experiment_named
from fcn.solvers.inference.fields import Field, fields_of
from fcn.solvers.metrics import Scores
from fcn.solvers.prediction import load_net, predicted_classes
from fcn.solvers.report.style import section
from fcn.solvers.text import columns
from segdata.arguments import ArgumentParser
from segdata.classes import VOID
from segdata.files import replacing
from segdata.palette import colour_map
from segdata.paths import build_root

Trained = tuple[Experiment, dict[str, Scores]]

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
    "Its momentum of 0.99 and its fixed rate are for a hundred times as many steps: here the "
    "momentum was 0.9, and the rate fell to a tenth for the last quarter of each stage.")
OF_TABLE = ("Percent, on scenes that training has not seen. Mean IU is the overlap of prediction "
            "and truth, averaged over the classes. \"IU of majority\" is the mean IU of calling "
            "everything what is most frequent: a net that learned nothing.")
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
    parser.add_argument("-o", "--output", type=Path,
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
        trained = [miniature.train(name, directory.resolve(), args.seed) for name in names]
        print(f"\n{columns(rows(trained))}\n\n{OF_TABLE}")
        if names == STAGES:
            print("\n" + show(trained, directory))
        for experiment, _ in trained:
            if told := cells.next_step(experiment.run):
                print(f"\n{told}")


def plan(names: Iterable[str], directory: Path) -> str:
    """What will be done, and how long it takes at most."""
    started = chain(names)
    images = sum(miniature.passes(name) for name in started)
    minutes = max(1, round(images * SECONDS / 60))
    of_stages = ("The paper in miniature: nets learn to segment generated scenes of six shapes.\n"
                 "A narrow classifier of single shapes becomes FCN-32s by surgery, FCN-32s becomes "
                 "FCN-16s, that FCN-8s.\n")
    return ((of_stages if names == STAGES else "The paper in miniature, on generated data.\n")
            + f"Trained one after the other: {', '.join(map(miniature.shown, started))}.\n"
            f"It takes about {minutes} minute{'s' * (minutes > 1)} on 2 quiet cores, less if some "
            f"are trained already, and writes to {near(directory)}.\n"
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
    scenes = draw(trained, directory / "scenes.png")
    strides = draw_strides(trained, directory / "strides.png")
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


def draw(trained: list[Trained], path: Path, scenes: int = 3) -> Path:
    """Write a picture of the first held-out scenes, input | truth | one column a stage."""
    pictures: dict[str, Sequence[np.ndarray]] = {}
    for experiment, scores in trained:
        images, labels, predictions, _ = _segment(experiment, scenes)
        pictures = pictures or {"input": images, "truth": labels}
        pictures[f"{experiment.head}, mean IU {100 * scores['label'].mean_iu:.1f}%"] = predictions
    with replacing(path) as temporary:
        grid(pictures, experiment.class_names["label"]).save(temporary, format="PNG")
    return path


def _segment(experiment: Experiment, scenes: int) -> Iterator[tuple[np.ndarray, ...]]:
    """(input, truth, prediction, blocks) of the first validation scenes, four lists of pictures."""
    weights = training.final_weights(experiment)
    net = load_net(experiment.run.prototxt("val"), weights)
    coarse, fields = coarse_scores(experiment)
    pictures = []
    for _ in range(scenes):
        net.forward()
        data, label = net.blobs["data"].data, net.blobs["label"].data
        predicted, before = (predicted_classes(net.blobs[blob].data, f"{weights}, {blob}")[0]
                             for blob in ("score", coarse))
        pictures.append((_photograph(data[0]), _coloured(label[0, 0]), _coloured(predicted),
                         _coloured(blocks(before, fields, predicted.shape))))
    return zip(*pictures)


def coarse_scores(experiment: Experiment) -> tuple[str, list[Field]]:
    """The blob of scores that the net's last deconvolution takes, and its Fields along height and
    width."""
    layers = experiment.run.net_param("deploy").layer
    blob = next(layer.bottom[0] for layer in reversed(layers) if layer.type == "Deconvolution")
    of_blobs = [{top: field for layer, field in zip(layers, fields_of(layers, axis))
                 for top in layer.top} for axis in (0, 1)]
    return blob, [field for each in of_blobs if isinstance(field := each[blob], Field)]


def blocks(classes: np.ndarray, fields: Sequence[Field], size: Sequence[int]) -> np.ndarray:
    """Coarse classes in the size of the image (height, width): a pixel has that of the sample
    nearest to it, by the centres of the samples' Fields."""
    nearest = []
    for samples, field, pixels in zip(classes.shape, fields, size):
        places = (np.arange(pixels) - float(field.centre)) / float(field.stride)
        nearest.append(places.round().astype(int).clip(0, samples - 1))
    return classes[np.ix_(*nearest)]


def draw_strides(trained: list[Trained], path: Path, scenes: int = 2) -> Path:
    """Write a picture of what each net says before its last interpolation, in blocks as large as
    its stride, and of what the last says after it."""
    pictures: dict[str, Sequence[np.ndarray]] = {}
    for experiment, _ in trained:
        images, labels, predictions, coarse = _segment(experiment, scenes)
        pictures = pictures or {"input": images, "truth": labels}
        stride = coarse_scores(experiment)[1][0].stride
        pictures[f"{experiment.head}: blocks of {stride} pixels"] = coarse
    pictures[f"{experiment.head}, interpolated"] = predictions
    with replacing(path) as temporary:
        grid(pictures, experiment.class_names["label"]).save(temporary, format="PNG")
    return path


def grid(columns: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], zoom: int = 2,
          gap: int = 8, line: int = 24) -> Image.Image:
    """A picture of {title: images}, enlarged, with a legend of the class names."""
    rows = len(columns["input"])
    height, width = zoom * np.max([image.shape[:2] for image in columns["input"]], axis=0)
    canvas = Image.new("RGB", (gap + len(columns) * (width + gap),
                               2 * line + gap + rows * (height + gap)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(16)
    for number, (title, images) in enumerate(columns.items()):
        x = gap + number * (width + gap)
        pen.text((x, 2), title, "black", font)
        for row, image in enumerate(images):
            enlarged = Image.fromarray(image.repeat(zoom, 0).repeat(zoom, 1))
            canvas.paste(enlarged, (x, line + row * (height + gap)))
    x, y = gap, canvas.height - line
    for name, colour in [*zip(names, colour_map()), ("void", colour_map()[VOID])]:
        pen.rectangle((x, y, x + 14, y + 14), tuple(map(int, colour)), "black")
        pen.text((x + 20, y - 3), name, "black", font)
        x += 44 + round(font.getlength(name))
    return canvas


def _photograph(data: np.ndarray) -> np.ndarray:
    image = np.moveaxis(data, 0, -1) + np.array(MEAN, np.float32)
    return image[..., ::-1].round().clip(0, 255).astype(np.uint8)


def _coloured(label: np.ndarray) -> np.ndarray:
    """Class colours; void is the map's last colour."""
    return colour_map()[np.minimum(label.astype(int), VOID)]


if __name__ == "__main__":
    main()
