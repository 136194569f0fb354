"""Segment images.

    python infer.py IMAGE_OR_FOLDER... [-o DIR] [--gpu N] [--depth PATH] [--hha PATH]
                    [--experiment RUN | --net deploy.prototxt --weights W] [--trust]

For each image NAME.EXT it writes DIR/NAME.png, the classes as a palette image, and
DIR/NAME_overlay.png, the image under the colours of its classes with a legend, and prints the
share of each class. Where two images have one NAME, or DIR/NAME.png is itself one of the images,
the name becomes NAME_2, NAME_3, ... An image that fails does not stop the others.

Of a folder in VOC layout it takes JPEGImages. RUN is an experiment (voc-fcn8s), a stage of the
demo (voc-fcn8s-demo) or the folder of a run; the default is the one under build/ whose
training began last.

A net that takes depth or HHA, as those of NYUDv2 do, needs it beside the image: --depth, 16-bit
millimetres, or --hha, as segdata.hha writes it, of the same size. What the net takes, and the mean
of its images, stand in the val.prototxt beside its deploy.prototxt; without it: a colour image
less ILSVRC's mean.

A net that would run Python code, write files or read files of its choice is refused, unless
--trust is given. Images of more than 50 million pixels are, too; the environment variable
FCN_MAX_PIXELS sets another limit.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fcn.solvers import runs, trust
from fcn.solvers.command import add_device, report_errors, reported, set_device
from fcn.solvers.prediction import load_net, predicted_classes
from segdata.classes import NYUD, PASCALCONTEXT, SIFTFLOW, VOC, read_class_names
from segdata.errors import UserError
from segdata.files import replacing
from segdata.inputs import CHANNELS, Inputs
from segdata.overlay import overlay, percent, shares
from segdata.palette import label_image
from segdata.paths import build_root
from segdata.readers import read_photograph

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


class InferError(UserError):
    """An image, a net or weights that cannot be used."""


def main() -> int:
    """The command line; returns the exit status."""
    failures = 0
    with report_errors():
        args = parse()
        net, weights, input_spec = choose_net(args)
        if not args.trust:
            trust.check(net)
        print(f"net {net}\nweights {weights}")
        images = find_images(args.images)
        if not any(path.is_file() for path in images):
            raise InferError("no such image, or no image in such a folder: "
                             f"{', '.join(map(str, args.images))}")
        inputs = choose_inputs(input_spec, args, images)
        args.output.mkdir(parents=True, exist_ok=True)
        segment = Segmenter(net, weights, input_spec.kinds, args)
        for path, stem in name_outputs(images, args.output):
            try:
                process(path, args.output / stem, inputs, segment)
            except reported() as error:
                failures += 1
                print(f"error: {error}", file=sys.stderr)
        if failures and len(images) > 1:
            print(f"{failures} of {len(images)} images failed", file=sys.stderr)
    return 1 if failures else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--experiment", metavar="RUN",
                        help="default: the one under build/ trained last")
    parser.add_argument("--net", type=Path, help="a deploy prototxt with blobs data and score")
    parser.add_argument("--weights", type=Path, help="a caffemodel")
    parser.add_argument("--best", action="store_true",
                        help="take the run's snapshot with the best mean IU on its validation set, "
                             "not the newest")
    parser.add_argument("--trust", action="store_true",
                        help="run a net whose layers do more than compute")
    parser.add_argument("--depth", type=Path, metavar="PATH",
                        help="a PNG file of the depth, or a folder of them named as the images")
    parser.add_argument("--hha", type=Path, metavar="PATH",
                        help="the same of HHA (default: computed from the depth)")
    parser.add_argument("-o", "--output", type=Path, default=build_root() / "infer",
                        help="folder for the results (default build/infer)")
    add_device(parser)
    return parser.parse_args()


def process(path: Path, output: Path, inputs: Inputs, segment: "Segmenter") -> None:
    """Segment one image: write OUTPUT.png and OUTPUT_overlay.png, print the shares."""
    image = read_image(path)
    label = segment(inputs.read(path, image), path)
    coloured = overlay(image, label, segment.names)
    write(label_image(label), Path(f"{output}.png"))
    write(coloured, Path(f"{output}_overlay.png"))
    print(f"{path} -> {output}.png")
    for number, share in shares(label):
        print(f"    {segment.names[number]:<16}{percent(share):>7}")


# the net

def choose_net(args: argparse.Namespace) -> tuple[Path, Path, runs.Images]:
    """(deploy prototxt, caffemodel, Images that it takes): those given, or a run's with its newest
    snapshot."""
    if (args.net is None) != (args.weights is None):
        raise InferError("--net and --weights go together")
    if args.net is not None and args.best:
        raise InferError("--best is about a run, with --net give its --weights")
    if args.net and args.experiment:
        raise InferError("give --experiment, or --net and --weights")
    if args.net is None:
        run = runs.find(args.experiment) if args.experiment else newest_run()
        weights, told = run.chosen_weights(args.best)
        if told:
            print(told)
        return run.prototxt("deploy"), weights, run.images()
    for path in (args.net, args.weights):
        if not path.is_file():
            raise InferError(f"{path}: no such file")
    return args.net, args.weights, runs.Run(args.net.parent).images()


def newest_run() -> runs.Run:
    """The run under build/ whose training began last, as the runs say it, not the clock; of those
    that do not say it, the last by name. Prints which."""
    trained = runs.trained()
    if not trained:
        raise InferError(f"nothing is trained yet under {build_root()}: `make demo` trains a small "
                         "net; or give --net and --weights")
    run = max(trained, key=lambda run: (run.turn(), run.directory.name))
    print(f"{run.directory}: of {len(trained)} runs the one whose training began last"
          if run.turn() else f"{run.directory}: of {len(trained)} runs, which do not say when they "
          "were trained, the last by name", "(--experiment chooses another)", sep=" ")
    return run


def choose_inputs(input_spec: runs.Images, args: argparse.Namespace,
                  images: Sequence[Path]) -> Inputs:
    """The Inputs of a net, from the files that the command line names beside the images."""
    files = {"depth": args.depth, "hha": args.hha}
    for option, path in files.items():
        if path and not path.is_dir() and len(images) > 1:
            raise InferError(f"--{option} {path}: {len(images)} images take a folder of files with "
                             "their names")
    return Inputs(*input_spec, files)


class Segmenter:
    """A net that turns images into a label array; `names` are those of its classes.

    Of a net with several labels it gives the first, which for SIFT Flow is the semantic one.
    """

    def __init__(self, net: Path, weights: Path, kinds: Sequence[str], device: argparse.Namespace
                ) -> None:
        set_device(device)
        self.net, self.path, self.weights = load_net(net, weights), net, weights
        inputs = {name: self.net.blobs[name].channels for name in self.net.inputs}
        if list(inputs.values()) != [CHANNELS[kind] for kind in kinds]:
            raise InferError(f"{net}: its inputs have the channels {inputs}, it should take "
                             f"{', '.join(f'{kind} ({CHANNELS[kind]})' for kind in kinds)}; is it "
                             "a deploy prototxt?")
        scores = [name for name in self.net.blobs
                  if name == "score" or name in self.net.outputs and name.startswith("score_")]
        if not scores:
            raise InferError(f"{net}: the net has no blob 'score'")
        self.blob = scores[0]
        classes = self.net.blobs[self.blob].data.shape[1]
        if classes > 256:
            raise InferError(f"{net}: {classes} classes, a palette image holds 256")
        self.names = class_names(net, classes)
        if not net.with_name("classes.txt").exists():
            print(f"class names are taken by their number, {classes}: '{self.names[0]}' to "
                  f"'{self.names[-1]}'; {net.with_name('classes.txt')} would say them",
                  file=sys.stderr)

    def __call__(self, arrays: Sequence[np.ndarray],
                 image: str | Path = "the image") -> np.ndarray:
        """uint8 classes (height, width), by one forward pass at the size of the images.

        arrays : float32 (channels, height, width), one for each input of the net
        image : what they are made of, for messages

        Raises InferError if the scores are not of that size, RunError if they are not finite.
        """
        for name, array in zip(self.net.inputs, arrays):
            blob = self.net.blobs[name]
            blob.reshape(1, *array.shape)
            blob.data[0] = array
        self.net.reshape()      # an image for whose blobs there is no memory is found here
        self.net.forward()
        score, size = self.net.blobs[self.blob].data, arrays[0].shape[1:]
        if score.shape[2:] != size:
            raise InferError(f"{self.path}: blob '{self.blob}' has the shape {score.shape} for an "
                             f"image of {size}; is it a deploy prototxt?")
        source = f"{image}: blob '{self.blob}' of {self.path} with {self.weights}"
        return predicted_classes(score, source)[0].astype(np.uint8)


def class_names(net: str | Path, count: int) -> Sequence[str]:
    """From classes.txt beside the prototxt; else those of the paper's dataset with as many; else
    numbers."""
    path = Path(net).with_name("classes.txt")
    if path.exists():
        try:
            return read_class_names(path, count)
        except ValueError as error:
            raise InferError(error) from None
    for names in (VOC, NYUD, SIFTFLOW, PASCALCONTEXT):
        if len(names) == count:
            return names
    return [f"class{i}" for i in range(count)]


# images

def find_images(paths: Sequence[Path]) -> list[Path]:
    """The images named, and those in folders named, but for what this tool wrote there.

    A folder without any stands for itself.
    """
    images = []
    for path in paths:
        if (path / "JPEGImages").is_dir():
            path = path / "JPEGImages"
        inside = path.iterdir() if path.is_dir() else ()
        found = {file for file in inside if file.suffix.lower() in SUFFIXES}
        for overlay_path in [file for file in found if file.name.endswith("_overlay.png")]:
            label = overlay_path.with_name(overlay_path.name.replace("_overlay.png", ".png"))
            if label in found:
                found -= {overlay_path, label}
        images += sorted(found) or [path]
    return images


def name_outputs(paths: Sequence[Path], folder: Path) -> list[tuple[Path, str]]:
    """[(path, stem of its outputs)]: the stems are distinct, and no input is overwritten."""
    taken = {path.stem.lower() for path in paths if path.parent.resolve() == folder.resolve()
             and path.suffix.lower() == ".png"}
    named = []
    for path in paths:
        stem, number = path.stem, 2
        while taken & (names := {stem.lower(), f"{stem}_overlay".lower()}):
            stem, number = f"{path.stem}_{number}", number + 1
        taken |= names
        named.append((path, stem))
    return named


def read_image(path: Path) -> Image.Image:
    """Any image that Pillow reads, upright, as RGB. Raises InferError naming the file."""
    try:
        return read_photograph(path)
    except FileNotFoundError:
        raise InferError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InferError(f"{path}: a folder without images") from None
    except Exception as error:      # what Pillow raises on damaged files has no base
        raise InferError(f"{path}: not a readable image: {error}") from None


def write(image: Image.Image, path: Path) -> None:
    """Save as PNG, whole or not at all."""
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


if __name__ == "__main__":
    sys.exit(main())
