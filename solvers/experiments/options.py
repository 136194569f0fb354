"""Options of a training that the paper does not have: batches, windows, augmentation, weights."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from fcn.nets.fcn import fitting
from fcn.solvers.console.arguments import positive, whole
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.class_weights import with_class_weights
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import FAMILIES
from fcn.solvers.experiments.splits import read_split
from segdata.augment import MOST_SCALE
from segdata.errors import did_you_mean_path
from segdata.layer import SegDataLayer

DATA = ("batch", "crop", "mirror", "jitter", "scale")   # keys of SegDataLayer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `with_training_options` takes."""
    cropped = " and ".join(f"of {family.title} up to {family.crops[1]}"
                        for family in FAMILIES if family.crops)
    group = parser.add_argument_group("options of the training data")
    group.add_argument("--batch", type=positive(int), metavar="N",
                       help="images in a pass, padded to the largest of them (default 1)")
    group.add_argument("--crop", type=crop, metavar="N|HxW",
                       help="train on random windows of that size (default: whole images; with "
                            f"--data, {cropped} pixels a side)")
    group.add_argument("--mirror", action=argparse.BooleanOptionalAction,
                       help="mirror every second image at random (default: with --data)")
    group.add_argument("--jitter", type=whole, metavar="N",
                       help="move images by up to N pixels in each direction (default 0)")
    group.add_argument("--scale", type=scale, metavar="LOW,HIGH",
                       help="resize images by a random factor between these (default: not)")
    group.add_argument("--prefetch", type=positive(int), metavar="N",
                       help="images that are decoded ahead, by as many threads; more for files "
                            "that are far away (default 4)")
    group.add_argument("--class-weights", metavar="KIND",
                       help="of the loss: frequency or median, measured in the training labels; "
                            "numbers as 1,2.5,4 in the order of the classes, or a file of them "
                            "(default none, of SegNet median)")
    group.add_argument("--pixel-weights", type=Path, metavar="DIR",
                       help="of the loss: a folder of maps named as the images, PNG (255 is 1) or "
                            ".npy")


def crop(text: str) -> int | tuple[int, int]:
    """An argparse type: a side, or HEIGHTxWIDTH."""
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"expected a side or HEIGHTxWIDTH of 1 or more pixels, "
                                         f"as 321 or 240x320, got '{text}'")
    return int(text) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def scale(text: str) -> tuple[float, float]:
    """An argparse type: LOW,HIGH."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high <= MOST_SCALE:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH with 0 < LOW <= HIGH <= {MOST_SCALE}, "
                                         f"as 0.5,1.5, got '{text}'")
    return low, high


def with_training_options(experiment: Experiment, args: argparse.Namespace) -> Experiment:
    """The experiment with what the command line says of the training data and of weights.

    Raises RunError for weights that do not fit, FitError for crops that do not.
    """
    own = {**SegDataLayer.defaults, **experiment.source.train.params}
    changed = {key: value for key in DATA
               if (value := getattr(args, key)) is not None and value != own[key]}
    if changed.get("jitter"):
        check_jitter(experiment, changed["jitter"], min(changed.get("scale", own["scale"]) or (1,)))
    if args.pixel_weights:
        changed["weights"] = pixel_weights(experiment, args.pixel_weights)
    options: dict[str, Any] = dict(changed)
    if args.pixel_weights:
        options["pixel_weights"] = options.pop("weights")
    if args.prefetch:
        changed["prefetch"] = args.prefetch     # which changes no result, and so is no setting
    if changed:
        changed_source = experiment.source.with_training(**changed)
        fitting(changed_source, experiment.head, experiment.net)
        experiment = replace(experiment, source=changed_source,
                             options={**experiment.options, **options})
    return with_class_weights(experiment, args.class_weights, args.fresh)


def check_jitter(experiment: Experiment, jitter: int, smallest: float) -> None:
    """Raise RunError where a move could leave nothing of a training image; smallest : the factor
    by which images may be made smaller."""
    samples = read_split(*experiment.source.train).good
    if not samples:
        return
    tightest = min(samples, key=lambda sample: min(sample.size))
    height, width = tightest.size
    if jitter >= (side := int(smallest * min(height, width))):
        made = f", and --scale may make it {smallest:g} times as large" if smallest < 1 else ""
        raise RunError(f"--jitter {jitter}: the training image {tightest.name} has "
                       f"{width}x{height} pixels (width x height){made}, so that a move of "
                       f"{jitter} leaves nothing of it; take less than {side}, a tenth of that is "
                       "usual")


def pixel_weights(experiment: Experiment, folder: Path) -> str:
    """The path of the folder. Raises RunError where it is none, or there are several labels."""
    if len(experiment.class_names) > 1:
        raise RunError(f"--pixel-weights: {experiment.name} has the labels "
                       f"{', '.join(experiment.class_names)}; weights of pixels are for one label")
    if not folder.is_dir():
        raise RunError(f"--pixel-weights {folder}: no such folder{did_you_mean_path(folder)}; it "
                       "has a PNG or .npy file for each training image, named as that")
    return str(folder.resolve())


def batch_note(experiment: Experiment, averaged: bool, workers: int = 1) -> str:
    """What a batch means for the rate and momentum, in a line; '' without one."""
    batch, momentum = experiment.source.batch, experiment.momentum
    if batch == 1:
        return ""
    divided = ("the loss is the mean over the pixels of the batch" if averaged else
               f"the loss sums over pixels and is divided by the {batch} images")
    reach = workers * experiment.images / (1 - momentum)
    return (f"batch {batch}: {divided}, so the gradient is as large as that of one image, and the "
            f"rate can stay; with momentum {momentum:g} an update averages over about "
            f"{reach:,.0f} images, with one image in a pass over {reach / batch:,.0f}")


def shared_out(experiment: Experiment, workers: int, is_same: bool, is_fresh: bool
               ) -> tuple[Experiment, str]:
    """The experiment as several workers train it, and what they make of its batch, in a line.

    Caffe averages their gradients, and all else stays. With `is_same` they see as many images as
    one process does: at `workers` times the rate the average is the sum, with which the paper takes
    minibatches for equivalent whose momentum is the same image by image (PAMI, section 4.3).
    """
    update = f"{workers} workers: an update averages the gradients of {workers} x " \
             f"{experiment.images} image{'s' * (experiment.images > 1)}"
    if not is_same:
        return experiment, (
            f"{update}; the rate {experiment.lr:g}, momentum {experiment.momentum:g} and "
            f"{experiment.iterations:,} iterations stay, which see {workers} times as many images "
            "as those of one process (--same-images keeps their number)")
    changed = same_images(experiment, workers, is_fresh)
    return changed, (
        f"{update}; as many images as with one process (--same-images): {changed.iterations:,} "
        f"iterations in place of {experiment.iterations:,}, the rate {changed.lr:g} = {workers} x "
        f"{experiment.lr:g}, which makes a sum of the average, and momentum {changed.momentum:.4g} "
        f"= {experiment.momentum:g}^{workers}, so that a gradient fades as fast, image by image: "
        "the paper's own equivalence of 20 images a step at momentum 0.9 and one at 0.9^(1/20), "
        "about 0.99")


def same_images(experiment: Experiment, workers: int, is_fresh: bool) -> Experiment:
    """The experiment whose workers see as many images as one process does: those that are left,
    unless `is_fresh`, of a run that has begun with another number of workers."""
    run = experiment.run
    done = 0 if is_fresh else max((iteration for iteration, _ in run.snapshots()), default=0)
    seen = run.seen(done, experiment.images) if done else 0
    left = experiment.iterations * experiment.images - seen

    def fewer(count: int) -> int:
        return max(1, round(count / workers))
    policy = {key: fewer(value) if key == "stepsize" else value
              for key, value in experiment.policy.items()}
    return replace(
        experiment, lr=experiment.lr * workers, momentum=experiment.momentum ** workers,
        iterations=done + math.ceil(max(0, left) / (experiment.images * workers)),
        interval=fewer(experiment.interval), policy=policy)
