"""Segment images and videos.

    fcn infer IMAGE_OR_FOLDER... [-o DIR] [--gpu N] [--depth PATH] [--hha PATH]
              [--experiment RUN | --net deploy.prototxt --weights W] [--trust]

For each image NAME.EXT it writes DIR/NAME.png, the classes as a palette image, and
DIR/NAME_overlay.png, the image under the colours of its classes with a legend, and prints the
share of each class. --mask, --overlay, --probabilities, --json and --polygons choose what is
written. Where two images have one NAME, or an output would have the name of a file that is read,
the name becomes NAME_2, NAME_3, ... An image that fails does not stop the others.

IMAGE_OR_FOLDER is an image, a folder, a pattern such as 'photos/*.jpg', a tar archive of images,
@LIST, a file with one of these a line, or the URL of one of these (s3://, https://, ..., as fsspec
knows them), or a video, of which DIR/NAME_overlay.mp4 is written, and with --mask and the like
the frames, to DIR/NAME_frames (needs OpenCV). Of a folder in VOC layout it takes JPEGImages. RUN
is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a run; the
default is the finished run under build/ that was begun or continued last. `--experiment hed` draws
edges instead, as NAME_edges.png, by weights that others trained (`make hed` gets them).

Many images are segmented by several processes: --workers N, --gpu 0,1, or torchrun. Their outputs
lie in folders as the images do. DIR/manifest.RANK.jsonl says what is done and what has failed: the
same command, also with another number of processes, goes on from there, and makes anew what has
changed since, be it the image, the net or an option. --retry tries again what failed.

A net that takes depth or HHA, as those of NYUDv2 do, needs it beside the image: --depth, 16-bit
millimetres, or --hha, as segdata.hha writes it, of the same size. What the net takes, and the mean
of its images, stand in the val.prototxt beside its deploy.prototxt; without it: a colour image
less ILSVRC's mean.

A net whose dropout acts in testing, too, as Bayesian SegNet, says with --samples N the mean of N
passes, and NAME_variance.png how they differ.

An image for which there is not enough memory is computed in tiles that overlap, so that the scores
are those of the whole image.

A net that would run Python code, write files or read files of its choice is refused, unless
--trust is given. Images of more than 50 million pixels are, too; the environment variable
FCN_MAX_PIXELS sets another limit.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.solvers.infer"))

import argparse
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path

from fcn.solvers.console.arguments import add_precision, positive
from fcn.solvers.console.errors import report_errors
from fcn.solvers.console.signals import Stopped
from fcn.solvers.inference import crf, edges, manifest, workers
from fcn.solvers.inference.listing import Listing
from fcn.solvers.inference.network import warning_for
from fcn.solvers.inference.outputs import OUTPUT_KINDS
from fcn.solvers.inference.plan import Plan, shared_plan
from fcn.solvers.inference.task import Tally, Task, choose_inputs, kinds_of, summary
from fcn.solvers.inference.work import opened_work
from fcn.solvers.inference.workers import Team
from fcn.solvers.processes import torchrun
from fcn.solvers.processes.devices import gpus
from segdata.arguments import ArgumentParser, folder_name
from segdata.augment import MOST_SCALE
from segdata.paths import build_root


def main() -> int:
    """The command line; returns the exit status."""
    try:
        with report_errors():
            with torchrun.only_first_speaks():
                args = options().parse_args()
            if edges.asked_for(args):
                return draw_edges(args)
            with torchrun.only_first_speaks():
                kinds_of(args)
            return segment(args)
    except SystemExit as end:
        if end.code == 128 + signal.SIGINT:     # another ends Python while it unloads its modules
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise
    return 1


def draw_edges(args: argparse.Namespace) -> int:
    """The command line where it is about edges."""
    if torchrun.has_nothing_to_do("the drawing of edges"):
        return 0
    with redirect_stdout(None) if args.quiet else nullcontext():
        return edges.main(args, options().parse_args(["--", *args.images]))


def segment(args: argparse.Namespace) -> int:
    """Segment what the command line names; returns the exit status."""
    began, team = time.monotonic(), workers.team(args)
    with shared_plan(args, team) as (plan, ranks, chosen):
        listing = Listing(Path(plan.path))
        task = Task(args, chosen, plan.attempt, plan.net, team.on_machine)
        tally, messages = worked(task, team, listing)
        for message in messages:
            print(message, file=sys.stderr)
        with telling_the_end(task, listing):
            tally = ranks.total(tally)
        if team.rank == 0:
            close(args, plan, tally, listing.count, time.monotonic() - began)
    return 1 if messages or plan.problems or tally.failed or tally.failed_before else 0


def close(args: argparse.Namespace, plan: Plan, tally: Tally, count: int, seconds: float) -> None:
    """Say what was done, and remove a manifest that was there in case the command was killed."""
    if plan.keeps:
        print(summary(tally, count, plan.problems, seconds, args.output))
        return
    if plan.problems + tally.failed and count + plan.problems > 1:
        print(f"{plan.problems + tally.failed} of {count + plan.problems} inputs failed",
              file=sys.stderr)
    if plan.attempt:
        (args.output / "manifest.0.jsonl").unlink(missing_ok=True)


def worked(task: Task, team: Team, listing: Listing) -> tuple[Tally, list[str]]:
    """Have the images segmented; returns what was done, and messages on processes that ended too
    early."""
    args = task.args
    inputs = choose_inputs(task, listing.count)

    def warning() -> str:
        note = warning_for(task.chosen.run, (source.shown for source in listing.sources()))
        return f"{note}\n" * bool(note)

    with telling_the_end(task, listing):
        if args.ray:
            from fcn.solvers.inference import ray_data
            return ray_data.segment(task, listing)
        if team.starts:
            print(warning(), end="", file=sys.stderr)
            return workers.start(task, listing, team.starts)
        with opened_work(task, inputs, team.rank, team.gpu, team.rank == 0, warning) as work:
            return work.do(listing.jobs(team.rank, team.count)), []


@contextmanager
def telling_the_end(task: Task, listing: Listing) -> Iterator[None]:
    """Have the message on a signal say what is done."""
    try:
        yield
    except Stopped as error:
        if not task.attempt:
            raise
        raise Stopped(error.number, told_of_end(task, listing)) from None


def told_of_end(task: Task, listing: Listing) -> str:
    """What a command that a signal has stopped leaves."""
    folder = task.args.output
    if number := manifest.segmented(folder, task.attempt):
        return (f"{number} of {listing.count} images were segmented and stay in {folder}; the same "
                "command goes on")
    has_others = folder.is_dir() and any(not path.name.startswith("manifest.")
                                         for path in folder.iterdir())
    return ("no image was segmented this time" + f"; what lies in {folder} is older" * has_others
            + "; the same command goes on")


def options() -> ArgumentParser:
    """What the command line takes. An option also belongs to `manifest`, which says whether it
    changes what is written, and to `edges.TAKEN` if nets of edges take it."""
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--experiment", metavar="RUN",
                        help="default: the finished run under build/ that was begun or "
                             "continued last")
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
    parser.add_argument("-o", "--output", type=folder_name, default=build_root() / "infer",
                        help="folder for the results (default build/infer)")
    parser.add_argument("--quiet", action="store_true",
                        help="print nothing but errors, warnings and, of a run with a manifest, "
                             "the summary")
    add_written(parser)
    add_computed(parser)
    add_processes(parser)
    return parser


def add_written(parser: argparse.ArgumentParser) -> None:
    written = parser.add_argument_group("what is written (default: --mask --overlay)")
    for kind, (suffix, text) in OUTPUT_KINDS.items():
        written.add_argument(f"--{kind}", action="append_const", dest="kinds", const=kind,
                             help=f"NAME{suffix}: {text}")
    written.add_argument("--no-overlay", action="store_true",
                         help="the same without overlays, which take longer than the mask")
    written.add_argument("--opacity", type=fraction, default=0.55,
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
    computed.add_argument("--samples", type=positive(int), default=1, metavar="N",
                          help="take the mean of N passes, of a net whose dropout acts in testing, "
                               "too (default 1)")
    crf.add_crf(computed)


def add_processes(parser: argparse.ArgumentParser) -> None:
    processes = parser.add_argument_group("where it is computed")
    device = processes.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=gpus, metavar="N[,N...]",
                        help="run on GPU N; on several, or all, a process each")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")
    add_precision(processes, learns=False)
    processes.add_argument("--workers", type=positive(int), metavar="N",
                           help="processes on this machine, with a manifest of what is done, from "
                                "which a run that was killed goes on (also with 1)")
    processes.add_argument("--ray", action="store_true",
                           help="the same on Ray's cluster, N actors (pip install '.[ray]')")
    processes.add_argument("--retry", action="store_true",
                           help="try again what failed in an earlier run, by its manifest")


def fraction(text: str) -> float:
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
