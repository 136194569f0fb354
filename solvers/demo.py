"""The paper in miniature, on generated data.

    python solvers/demo.py              FCN-32s, 16s and 8s (make demo), and a picture
    python solvers/demo.py NAME...      any experiments (make NAME-demo)
    python solvers/demo.py --all        all of them (make demos)

Trains a narrow classifier on single shapes (the stand-in for ILSVRC), turns it into a fully
convolutional net by surgery, trains that by SGD as the paper does, and scores it on held-out
scenes, beside what predicting the most frequent class would score.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fcn.nets.source import MEAN
from fcn.solvers import miniature, training
from fcn.solvers.command import add_device, report_errors, seed, set_device
from fcn.solvers.experiments import EXPERIMENTS, Experiment, experiment_named
from fcn.solvers.metrics import Scores
from fcn.solvers.prediction import load_net, predicted_classes
from fcn.solvers.text import columns
from segdata.classes import VOID
from segdata.files import replacing
from segdata.palette import colour_map
from segdata.paths import build_root

STAGES = ("voc-fcn32s", "voc-fcn16s", "voc-fcn8s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
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
        trained = [miniature.train(name, directory.resolve(), args.seed) for name in names]
        print("\n" + table(trained))
        if names == STAGES:
            print(f"\n{draw(trained, directory / 'scenes.png')}")


def table(trained: list[tuple[Experiment, dict[str, Scores]]]) -> str:
    """The metrics of each (experiment, {label: Scores}), in percent, and the mean IU of
    predicting the most frequent class everywhere."""
    rows: list[tuple[str, ...]] = []
    for experiment, scores in trained:
        for i, (label, one) in enumerate(scores.items()):
            summary = {**one.summary(), "IU of majority": 100 * majority(one).headline}
            if not rows:
                rows.append(("percent", *summary))
            rows.append((f"  {label}" if i else experiment.name,
                         *(f"{value:.1f}" for value in summary.values())))
    return columns(rows)


def majority(scores: Scores) -> Scores:
    """The Scores of predicting for every pixel the class that is most frequent in the labels."""
    pixels, scored = scores.matrix.sum(1), scores.matrix.sum(1)
    scored[list(scores.unscored)] = 0
    constant = np.zeros_like(scores.matrix)
    constant[:, scored.argmax()] = pixels
    return Scores.of(constant, scores.unscored, scores.in_truth)


def draw(trained: list[tuple[Experiment, dict[str, Scores]]], path: Path, scenes: int = 3) -> Path:
    """Write a picture of the first held-out scenes, input | truth | one column a stage."""
    pictures: dict[str, Sequence[np.ndarray]] = {}
    for experiment, scores in trained:
        images, labels, predictions = _segment(experiment, scenes)
        pictures = pictures or {"input": images, "truth": labels}
        pictures[f"{experiment.head}, mean IU {100 * scores['label'].mean_iu:.1f}%"] = predictions
    with replacing(path) as temporary:
        _grid(pictures, experiment.class_names["label"]).save(temporary, format="PNG")
    return path


def _segment(experiment: Experiment, scenes: int) -> Iterator[tuple[np.ndarray, ...]]:
    """(input, truth, prediction) of the first validation scenes, three lists of pictures."""
    weights = training.final_weights(experiment)
    net = load_net(experiment.run.prototxt("val"), weights)
    pictures = []
    for number in range(scenes):
        net.forward()
        data, label, score = (net.blobs[name].data for name in ("data", "label", "score"))
        said = predicted_classes(score, f"{weights}, scene {number + 1}")
        pictures.append((_photograph(data[0]), _coloured(label[0, 0]), _coloured(said[0])))
    return zip(*pictures)


def _grid(columns: Mapping[str, Sequence[np.ndarray]], names: Sequence[str], zoom: int = 2,
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
