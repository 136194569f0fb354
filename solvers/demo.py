"""The paper in miniature: make demo.

On the embedded dataset: train a narrow VGG-16 classifier on single shapes (the stand-in for
ILSVRC), turn it into a fully convolutional net by surgery, train FCN-32s, then 16s, then 8s by
heavy-momentum SGD, score on held-out scenes, and draw some of them.

    python solvers/demo.py [--seed 0] [-o DIR]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

import embedded
import nets
from nets.source import MEAN, voc
from palette import VOID, colour_map
from solvers import training
from solvers.command import report_errors
from solvers.experiments import Experiment
from solvers.runs import BUILD, Run, replacing

WIDTH = 0.125           # of VGG-16
CROP = 64               # side of the single-shape crops
SIDE = 128              # of the classifier's input, the crop amid zeros; pool5 and fc6 are 4×4
SCALE = 1 / 58          # the trunk starts from random weights, so images get unit variance
CROPS, BATCH, CLASSIFIER_STEPS = 4_000, 16, 500

# Rates as in the paper: fixed, for the summed loss, lower with each stage.
STAGES = (("fcn32s", 2e-8, 700), ("fcn16s", 1.5e-8, 1_000), ("fcn8s", 1e-8, 2_000))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the data (default 0)")
    parser.add_argument("-o", "--output", type=Path,
                        help="default build/demo, with another seed than 0 build/demo-SEED")
    args = parser.parse_args()
    directory = args.output or BUILD / (f"demo-{args.seed}" if args.seed else "demo")
    with report_errors():
        experiments, scores = run(directory.resolve(), args.seed)
        print("\n" + table(scores))
        print(f"\n{draw(experiments, scores, directory / 'scenes.png')}")


def run(directory, seed):
    """Train and score all stages under `directory`. Returns (experiments, {head: Scores}).

    What is trained already is taken as it is. Raises RunError if it began with another seed.
    """
    import caffe
    Run(directory).settle(seed=seed)
    embedded.generate(directory / "data", seed)
    base_net = train_classifier(directory / "classifier", seed)
    experiments, scores = [], {}
    for head, lr, iterations in STAGES:
        experiment = Experiment(
            f"demo-{head}", head, None, lr, iterations, interval=500, needs=(), build=directory,
            source=voc(directory / "data", len(embedded.CLASSES)), class_names=embedded.CLASSES,
            data=f"seed {seed}", net=dict(width=WIDTH, scale=SCALE, fc6_kernel=SIDE // 32))
        scores[head] = training.train(experiment, base_net)
        base_net = caffe.Net(str(experiment.run.prototxt("deploy")),
                             str(training.final_weights(experiment)), caffe.TEST)
        experiments.append(experiment)
    return experiments, scores


def train_classifier(directory, seed):
    """Train the classifier on crops of single shapes, unless it is there; returns its net."""
    import caffe
    options = dict(size=SIDE, classes=len(embedded.OUTLINES), width=WIDTH, scale=SCALE)
    deploy = nets.write_prototxt(directory / "deploy.prototxt", nets.classifier(**options))
    weights = directory / f"train_iter_{CLASSIFIER_STEPS}.caffemodel"
    if not weights.exists():
        train = nets.write_prototxt(directory / "train.prototxt", nets.classifier(
            batch=BATCH, filler="msra", **options))
        _solve_classifier(caffe.get_solver(str(nets.write_prototxt(
            directory / "solver.prototxt", _classifier_solver(train, weights)))), seed)
    return caffe.Net(str(deploy), str(weights), caffe.TEST)


def _classifier_solver(train, weights):
    from caffe.proto import caffe_pb2
    prefix = str(weights).rpartition("_iter_")[0]
    return caffe_pb2.SolverParameter(
        train_net=str(train), base_lr=0.005, lr_policy="fixed", momentum=0.9, weight_decay=0.0005,
        max_iter=CLASSIFIER_STEPS, display=0, snapshot_prefix=prefix, random_seed=1337)


def _solve_classifier(solver, seed):
    images, labels = embedded.crops(seed, CROPS, CROP)
    rng = np.random.default_rng(seed)
    data, label = solver.net.blobs["data"], solver.net.blobs["label"]
    inside = slice((SIDE - CROP) // 2, (SIDE + CROP) // 2)
    accuracy = 0.0
    with tqdm(range(CLASSIFIER_STEPS), desc="classifier", unit="it", disable=None) as bar:
        for step in bar:
            chosen = rng.integers(0, CROPS, BATCH)
            data.data[:, :, inside, inside] = preprocess(images[chosen])
            label.data[...] = labels[chosen]
            solver.step(1)
            accuracy += 0.05 * (float(solver.net.blobs["accuracy"].data) - accuracy)
            if step % 20 == 19:
                bar.set_postfix(accuracy=f"{accuracy:.2f}")
    solver.snapshot()
    print(f"classifier: accuracy {accuracy:.2f} on its training crops")


def preprocess(images):
    """RGB uint8 (…, height, width, 3) → BGR float32 (…, 3, height, width), mean subtracted."""
    return np.moveaxis(images[..., ::-1] - np.array(MEAN, np.float32), -1, -3)


def table(scores):
    """The four metrics of each stage, in percent."""
    lines = []
    for head, values in scores.items():
        summary = values.summary()
        if not lines:
            lines.append(f"{'percent':<10}" + "".join(f"{name:>16}" for name in summary))
        name = head.replace("fcn", "FCN-")
        lines.append(f"{name:<10}" + "".join(f"{value:16.1f}" for value in summary.values()))
    return "\n".join(lines)


def draw(experiments, scores, path, scenes=3):
    """Write a picture of the first held-out scenes, input | truth | one column a stage."""
    columns = {}
    for experiment in experiments:
        images, labels, predictions = _segment(experiment, scenes)
        iu = 100 * scores[experiment.head].mean_iu
        columns = columns or {"input": images, "truth": labels}
        columns[f"{experiment.head}, mean IU {iu:.1f}%"] = predictions
    with replacing(path) as temporary:
        _grid(columns, embedded.CLASSES).save(temporary, format="PNG")
    return path


def _segment(experiment, scenes):
    """(input, truth, prediction) of the first validation scenes, three lists of pictures."""
    import caffe
    net = caffe.Net(str(experiment.run.prototxt("val")), str(training.final_weights(experiment)),
                    caffe.TEST)
    pictures = []
    for _ in range(scenes):
        net.forward()
        data, label, score = (net.blobs[name].data[0] for name in ("data", "label", "score"))
        pictures.append((_photograph(data), _coloured(label[0]), _coloured(score.argmax(0))))
    return zip(*pictures)


def _grid(columns, names, zoom=2, gap=8, line=24):
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


def _photograph(data):
    image = np.moveaxis(data, 0, -1) + np.array(MEAN, np.float32)
    return image[..., ::-1].round().clip(0, 255).astype(np.uint8)


def _coloured(label):
    """Class colours; void is the map's last colour."""
    return colour_map()[np.minimum(label.astype(int), VOID)]


if __name__ == "__main__":
    sys.exit(main())
