"""SegNet beside FCN-8s, trained for equal time: CamVid, or any folder in VOC layout (--data).

Images are made a quarter as wide and high, the trunks have an eighth of VGG-16's channels, and both
begin from random weights, with the recipes that `fcn solve --data` has for them. The time is that
of one processor, --minutes of training for each; scores are of the validation images as small.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import caffe
from fcn.solvers import training
from fcn.solvers.console.errors import RunError
from fcn.solvers.console.text import columns
from fcn.solvers.experiments.class_weights import with_class_weights
from fcn.solvers.experiments.own_folder import on_folder
from segdata.files import make_folder
from segdata.lists import read_list
from segdata.paths import data_root
from segdata.readers import read_label_image

HEADS = {"SegNet": "segnet", "FCN-8s": "fcn8s"}
SHRUNK = 4          # times images become smaller
STEPS = 20          # whose time says how many iterations fit


def run(options):
    data = options.data or data_root() / "camvid"
    if not (data / "classes.txt").exists():
        missing = f"{data / 'classes.txt'} is missing" if data.is_dir() else f"no folder {data}"
        raise RunError(f"{missing}: segnet takes --data FOLDER, in VOC layout with the names of "
                       "the classes; `fcn import` writes one")
    directory = options.directory / "segnet"
    folder = reduced(data, directory / "data")
    rows = [("", "iterations", "images", "pixel accuracy", "mean accuracy", "mean IU")]
    for title, head in HEADS.items():
        experiment = timed(replace(on_folder(folder, head, head), build=directory),
                           60 * options.minutes)
        scores = training.train(experiment, force=True)["label"].summary()
        rows.append((title, str(experiment.iterations),
                     str(experiment.iterations * experiment.images),
                     *(f"{scores[name]:.1f}" for name in (
                         "pixel accuracy", "mean accuracy", "mean IU"))))
    print("\n" + columns(rows))


def timed(experiment, seconds):
    """The experiment with as many iterations as take so many seconds of one processor."""
    experiment = with_class_weights(experiment)
    known = experiment.directory / "iterations.txt"
    if not known.exists():
        solver = caffe.get_solver(str(training.write_files(experiment, 0)))
        solver.step(1)      # allocates
        start = time.process_time()
        solver.step(STEPS)
        iterations = round(seconds * STEPS / (time.process_time() - start))
        known.write_text(f"{max(1, iterations)}\n")
    iterations = int(known.read_text())
    return replace(experiment, iterations=iterations, interval=iterations)


def reduced(source: Path, target: Path) -> Path:
    """A folder in VOC layout with the images and labels of another, a quarter as wide and high."""
    lists = Path("ImageSets") / "Segmentation"
    for part in ("JPEGImages", "SegmentationClass", lists):
        make_folder(target / part)
    for split in ("train", "val"):
        for name in (entry.name for entry in read_list(source / lists / f"{split}.txt")):
            photograph = next((source / "JPEGImages").glob(f"{name}.*"))
            label = read_label_image(source / "SegmentationClass" / f"{name}.png")
            image = Image.open(photograph).convert("RGB")
            size = image.width // SHRUNK, image.height // SHRUNK
            for part, picture in (("JPEGImages", image.resize(size, Image.Resampling.BILINEAR)),
                                  ("SegmentationClass", Image.fromarray(np.uint8(label)).resize(
                                      size, Image.Resampling.NEAREST))):
                path = target / part / f"{name}.png"
                if not path.exists():
                    picture.save(path)
        (target / lists / f"{split}.txt").write_text((source / lists / f"{split}.txt").read_text())
    (target / "classes.txt").write_text((source / "classes.txt").read_text())
    return target
