"""Segment images and videos.

    python infer.py IMAGE_OR_FOLDER... [-o DIR] [--gpu N] [--depth PATH] [--hha PATH]
                    [--experiment RUN | --net deploy.prototxt --weights W] [--trust]

For each image NAME.EXT it writes DIR/NAME.png, the classes as a palette image, and
DIR/NAME_overlay.png, the image under the colours of its classes with a legend, and prints the
share of each class. --mask, --overlay, --probabilities, --json and --polygons choose what is
written. Where two images have one NAME, or an output would have the name of a file that is read,
the name becomes NAME_2, NAME_3, ... An image that fails does not stop the others.

IMAGE_OR_FOLDER is an image, a folder, a pattern such as 'photos/*.jpg', @LIST, a file with one of
these a line, or a video, of which DIR/NAME_overlay.mp4 is written, and with --mask and the like
the frames, to DIR/NAME_frames (needs OpenCV). Of a folder in VOC layout it takes JPEGImages. RUN
is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a run; the
default is the one under build/ whose training began last. `--experiment hed` draws edges instead,
as NAME_edges.png, by weights that others trained (`make hed` gets them).

A net that takes depth or HHA, as those of NYUDv2 do, needs it beside the image: --depth, 16-bit
millimetres, or --hha, as segdata.hha writes it, of the same size. What the net takes, and the mean
of its images, stand in the val.prototxt beside its deploy.prototxt; without it: a colour image
less ILSVRC's mean.

An image for which there is not enough memory is computed in tiles that overlap, so that the scores
are those of the whole image.

A net that would run Python code, write files or read files of its choice is refused, unless
--trust is given. Images of more than 50 million pixels are, too; the environment variable
FCN_MAX_PIXELS sets another limit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from fcn.solvers import crf, edges
from fcn.solvers.command import add_device, positive, report_errors, reported
from fcn.solvers.inference import truths, videos
from fcn.solvers.inference.errors import InferError, no_such_file
from fcn.solvers.inference.network import choose, described, warning_for
from fcn.solvers.inference.outputs import DEFAULT, KINDS, Look, Outputs, name_outputs
from fcn.solvers.inference.photographs import VIDEOS, find
from fcn.solvers.inference.segmenter import Photograph, Refinement, Segmentation, Segmenter
from fcn.solvers.inference.tiles import GIB
from fcn.solvers.runs import Images
from segdata.augment import MOST_SCALE
from segdata.files import make_folder
from segdata.inputs import Inputs
from segdata.overlay import percent
from segdata.paths import build_root

WAITING = 4         # times --batch: images that may wait for others of their size


def main() -> int:
    """The command line; returns the exit status."""
    work = None
    with report_errors():
        args = parse()
        if edges.asked_for(args):
            return edges.main(args)
        chosen = choose(args.net, args.weights, args.experiment, args.best)
        sources, messages = find(args.images)
        for message in messages:
            print(f"error: {message}", file=sys.stderr)
        if not sources:
            raise InferError("there is no image to segment" + " (what this tool wrote itself is "
                             "left out)" * (not messages))
        inputs = choose_inputs(chosen.inputs, args, sources)
        segmenter = Segmenter(chosen=chosen, device=device(args), precision=args.precision,
                              trust=args.trust, flip=args.flip, scales=args.scales, tile=args.tile,
                              refinements=refinements(args, chosen.prototxt.parent))
        print(described(chosen))
        if note := warning_for(chosen.run, sources):
            print(note, file=sys.stderr)
        make_folder(args.output)
        work = Work(args, segmenter, inputs, len(messages))
        work.do(name_outputs(sources, args.output, suffixes(args), files_read(args, sources)))
        if work.failures and len(sources) + len(messages) > 1:
            print(f"{work.failures} of {len(sources) + len(messages)} inputs failed",
                  file=sys.stderr)
    return 1 if work is None or work.failures else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER")
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
    add_written(parser)
    add_computed(parser)
    add_device(parser)
    return parser.parse_args()


def add_written(parser: argparse.ArgumentParser) -> None:
    written = parser.add_argument_group("what is written (default: --mask --overlay)")
    for kind, (suffix, text) in KINDS.items():
        written.add_argument(f"--{kind}", action="append_const", dest="kinds", const=kind,
                             help=f"NAME{suffix}: {text}")
    written.add_argument("--opacity", type=share, default=0.55,
                         help="of the colours in overlays, 0 to 1 (default 0.55)")
    written.add_argument("--contours", action="store_true",
                         help="draw the borders of the classes in overlays")
    written.add_argument("--truth", type=Path, metavar="FOLDER",
                         help="true labels, PNG files named as the images: overlays show them "
                              "beside the prediction, with the errors")


def add_computed(parser: argparse.ArgumentParser) -> None:
    computed = parser.add_argument_group("how it is computed")
    computed.add_argument("--batch", type=positive(int), default=1, metavar="N",
                          help="images of one size together; scores differ by rounding, about 1e-6 "
                               "of the largest (default 1)")
    computed.add_argument("--tile", type=tile, metavar="SIZE",
                          help="in tiles of that many pixels (default auto: where the memory does "
                               "not hold the image)")
    computed.add_argument("--flip", action="store_true",
                          help="average with the probabilities of the mirrored image")
    computed.add_argument("--scales", type=scales, default=(1.0,), metavar="S,S,...",
                          help="average over these sizes of the image, such as 0.75,1,1.25")
    crf.add_crf(computed)


def refinements(args: argparse.Namespace, folder: Path) -> list[Refinement]:
    """What the probabilities go through before classes are taken from them."""
    settings = crf.chosen(args.crf, folder)
    return [partial(crf.refine, settings=settings)] if settings else []


def share(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= 1:
            return value
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{text}'")


def scales(text: str) -> tuple[float, ...]:
    """An argparse type: numbers above 0 with commas between."""
    with suppress(ValueError, argparse.ArgumentTypeError):
        found = tuple(positive(float)(part) for part in text.split(","))
        if max(found) <= MOST_SCALE:
            return found
    raise argparse.ArgumentTypeError(f"expected numbers above 0 and up to {MOST_SCALE}, such as "
                                     f"0.75,1,1.25, got '{text}'")


def tile(text: str) -> int | None:
    """An argparse type: a number of pixels, or "auto", which is None."""
    with suppress(ValueError, argparse.ArgumentTypeError):
        return None if text == "auto" else int(positive(int)(text))
    raise argparse.ArgumentTypeError(f"expected a number of pixels, or auto, got '{text}'")


def device(args: argparse.Namespace) -> str:
    return "cpu" if args.gpu is None else f"gpu:{args.gpu}"


def choose_inputs(images: Images, args: argparse.Namespace, sources: Sequence[Path]) -> Inputs:
    """The Inputs of a net, from the files that the command line names beside the images."""
    files = {"depth": args.depth, "hha": args.hha}
    for option, path in files.items():
        if path and not path.is_dir() and len(sources) > 1:
            raise InferError(f"--{option} {path}: {len(sources)} images take a folder of files "
                             "with their names")
    if args.truth and not args.truth.is_dir():
        raise InferError(f"--truth {args.truth}: a folder is expected"
                         if args.truth.exists() else f"--truth {no_such_file(args.truth)}")
    return Inputs(images.kinds, images.mean, files)


def suffixes(args: argparse.Namespace) -> list[str]:
    """What follows the stems of the names of all outputs, of images and of videos."""
    return [*(KINDS[kind][0] for kind in args.kinds or DEFAULT), videos.OVERLAY, videos.FRAMES]


def files_read(args: argparse.Namespace, sources: Sequence[Path]) -> list[Path]:
    """Those beside the images that the command line has read, and outputs must not replace."""
    named = [path for path in (args.net, args.weights, args.depth, args.hha) if path]
    lists = [Path(image[1:]) for image in args.images if image.startswith("@")]
    beside = [folder / f"{source.stem}.png" for folder in (args.depth, args.hha) if folder
              for source in sources]
    true = [truths.path_of(args.truth, source) for source in sources] if args.truth else []
    return named + lists + beside + true


class Work:
    """Segments and writes one image or video after the other. failures : of the inputs"""

    def __init__(self, args: argparse.Namespace, segmenter: Segmenter, inputs: Inputs,
                 failures: int) -> None:
        self.args, self.segmenter, self.inputs = args, segmenter, inputs
        self.failures, self.announced = failures, set[tuple]()
        chosen = segmenter.chosen
        self.outputs = Outputs(args.kinds or DEFAULT, Look(args.opacity, args.contours),
                               {"net": str(chosen.prototxt), "weights": str(chosen.weights)})

    def do(self, named: Sequence[tuple[Path, Path]]) -> None:
        """Images wait for others of their size, until there are enough for a batch."""
        waiting: dict[tuple, list] = {}
        for source, stem in named:
            if source.suffix.lower() in VIDEOS:
                self._guarded(self._video, source, stem)
                continue
            read = self._guarded(self.segmenter.photograph, source, self.inputs)
            if read is None:
                continue
            group = waiting.setdefault(read.size, [])
            group.append((source, stem, read))
            if len(group) == self.args.batch:
                self._group(waiting.pop(read.size))
            elif sum(map(len, waiting.values())) >= WAITING * self.args.batch:
                self._group(waiting.pop(next(iter(waiting))))
        for group in waiting.values():
            self._group(group)

    def _guarded(self, act: Callable, *arguments: Any) -> Any:
        """What `act` returns; None where it fails, which is printed and counted."""
        try:
            return act(*arguments)
        except reported() as error:
            self.failures += 1
            print(f"error: {error}", file=sys.stderr)
            return None

    def _group(self, group: list[tuple[Path, Path, Photograph]]) -> None:
        """Segment images of one size; one by one where they do not go together."""
        photographs = [read for _, _, read in group]
        if len(group) > 1:
            try:
                if len(self.segmenter.plan(photographs[0].size, len(group))) == 1:
                    results = self.segmenter.batch(photographs)
                    for (source, stem, _), result in zip(group, results):
                        self._guarded(self._write, source, stem, result)
                    return
            except reported():      # whose fault it is shows when each is alone
                pass
        for source, stem, read in group:
            self._guarded(self._alone, source, stem, read)

    def _alone(self, source: Path, stem: Path, photograph: Photograph) -> None:
        self._write(source, stem, self._segmented(photograph))

    def _segmented(self, photograph: Photograph) -> Segmentation:
        self._tell_memory(photograph)
        return self.segmenter.batch([photograph])[0]

    def _tell_memory(self, photograph: Photograph) -> None:
        """Say once of each size what large images take."""
        plan = self.segmenter.plan(photograph.size)
        if (len(plan) > 1 or plan.whole > GIB) and photograph.size not in self.announced:
            self.announced.add(photograph.size)
            height, width = photograph.size
            print(f"{photograph.name}: {width}x{height}: {plan}", flush=True)

    def _write(self, source: Path, stem: Path, result: Segmentation) -> None:
        truth = None
        if self.args.truth:
            truth = truths.read(truths.path_of(self.args.truth, source), result.labels,
                                len(result.names))
        paths = self.outputs.write(stem, source, result, truth)
        print(f"{source} -> {', '.join(map(str, paths))}")
        for name, part in result.shares:
            print(f"    {name:<16}{percent(part):>7}")
        if truth and truth.scores:
            print("    against the truth: " + ", ".join(f"{name} {value:.1f}%" for name, value
                                                        in truth.scores.items()))

    def _video(self, source: Path, stem: Path) -> None:
        """Write a video of overlays, unless other kinds alone are asked for, and the frames of
        other kinds that are."""
        video = videos.Video(source)
        if self.args.truth:
            print(f"{source}: --truth is for images; of a video the prediction alone is shown",
                  file=sys.stderr)
        kinds = self.args.kinds or ["overlay"]
        frames = Outputs([kind for kind in kinds if kind != "overlay"], self.outputs.look,
                         self.outputs.origin)
        paths = []
        with ExitStack() as stack:
            overlays = folder = None
            if "overlay" in kinds:
                paths.append(Path(f"{stem}{videos.OVERLAY}"))
                overlays = stack.enter_context(videos.written_overlays(video, paths[-1],
                                                                       self.outputs))
            if frames.kinds:
                paths.append(Path(f"{stem}{videos.FRAMES}"))
                folder = stack.enter_context(videos.written_frames(paths[-1]))
            for number, image in enumerate(video, 1):
                read = self.segmenter.photograph(image, self.inputs, f"{source}, frame {number}")
                result = self._segmented(read)
                if overlays:
                    overlays.add(result)
                if folder:
                    frames.write(folder / f"frame_{number:06}", source, result)
        print(f"{source} -> {', '.join(map(str, paths))} ({number} frames)")


if __name__ == "__main__":
    sys.exit(main())
