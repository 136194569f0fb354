"""Train one experiment; run again, it continues from the newest snapshot.

    fcn solve voc-fcn8s --gpu 0
    fcn solve --data FOLDER [--head fcn8s] [--width 0.125]      # one's own images
    fcn solve --images DIR --masks DIR      # the same, imported first
    fcn solve --data FOLDER --from RUN      # fine-tuning: from another net's weights
    fcn solve voc-fcn8s --gpu 0,1           # or --workers 2: together
    torchrun --nproc-per-node 2 -m fcn solve voc-fcn8s --gpu 0,1    # the same, several machines
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.solvers.solve"))

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fcn.solvers.console import events
from fcn.solvers.console.arguments import keep, positive
from fcn.solvers.console.commands import fcn_command
from fcn.solvers.console.errors import RunError, report_errors
from fcn.solvers.console.signals import Stopped
from fcn.solvers.experiments.experiment import with_options
from fcn.solvers.experiments.families import ON_FOLDER
from fcn.solvers.experiments.options import add_arguments, shared_out, with_training_options
from fcn.solvers.experiments.own_folder import HEAD, default_name, on_folder
from fcn.solvers.experiments.table import EXPERIMENTS, experiment_named
from fcn.solvers.preflight import labels, report_findings
from fcn.solvers.processes import devices, launch, torchrun
from fcn.solvers.processes.workers import joined
from fcn.solvers.runs.run import KEEP, Run
from fcn.solvers.scoring import score_file
from fcn.start import is_launched
from segdata.arguments import ArgumentParser, width
from segdata.importing import masks_once
from segdata.paths import build_root

if TYPE_CHECKING:
    from fcn.solvers.experiments.experiment import Experiment

FOLDER_ONLY = ("head", "width", "name", "num_classes")
SCHEDULE = ("lr", "iterations")     # recorded, so that a run does not go on without them unnoticed


def main() -> None:
    with report_errors(continues=True), ExitStack() as held:
        with torchrun.only_first_speaks():
            args = parse()
        if (count := devices.asked(args)) > 1 and not is_launched():
            sys.exit(launch.launch(count, args.max_restarts))
        workers = held.enter_context(joined())
        if args.json and workers.rank == 0:
            held.enter_context(events.json_lines())
        if args.tensorboard and workers.rank == 0:
            held.enter_context(events.tensorboard())
        workers.together(lambda: devices.take(args))
        from fcn.solvers import cells, training
        from fcn.solvers.scoring import tables
        chain, experiment = workers.first(lambda: prepared(args, workers.count),
                                          "the look at data and settings")
        for each in chain:
            try:
                training.train(each, keep=args.keep, force=args.force, patience=args.patience,
                               workers=workers)
            except Stopped as stopped:
                stopped.is_before_fresh = args.fresh
                raise
        scores = training.train(experiment, keep=args.keep, force=args.force,
                                fresh=args.fresh, patience=args.patience, workers=workers)
        if workers.rank:
            return
        held.enter_context(telling_complete())
        print(f"\n{experiment.name} after {training.last_iteration(experiment)} iterations, "
              "percent\n")
        print(tables.tables(scores, experiment.run))
        if experiment.published:
            print(f"\npublished: {experiment.published}")
        note = experiment.run.chosen_weights(best=False)[1]
        files = {"snapshot": training.final_weights(experiment),
                 "report": experiment.directory / "report.html",
                 "curve": experiment.directory / "curve.png"}
        print("", *filter(None, (note, *files.values())), sep="\n")
        print(f"\nsegment with it: "
              f"{fcn_command('infer', 'PHOTOGRAPH', '--experiment', experiment.name)}")
        if told := cells.next_step(experiment.run):
            print(told)
        events.emit("end", run=experiment.name, iteration=training.last_iteration(experiment),
                    labels=score_file.summaries(scores),
                    **{name: str(path) for name, path in files.items()})


@contextmanager
def telling_complete() -> Iterator[None]:
    """Add to a Stopped that there is nothing to train anew: the same command, without --fresh,
    shows what the training has come to."""
    try:
        yield
    except Stopped as error:
        raise Stopped(error.number, "the training is complete") from None


def prepared(args: argparse.Namespace, workers: int) -> tuple[list[Experiment], Experiment]:
    """The experiments to train first, and the one that the command line is about; what is found
    about it, and what several workers make of it, is printed."""
    from fcn.solvers import training
    if args.images:
        args.data = imported(args)
    if args.data:
        described, found = labels.of_folder(args.data, args.num_classes)
        print(described)
        report_findings(args.data, found, args.force)
    asked = {key: value for key in SCHEDULE if (value := getattr(args, key)) is not None}
    experiment = with_options(choose(args), interval=args.interval, options=asked, **asked)
    if not args.fresh:
        experiment.run.check_start(args.start)
    chain = training.unfinished_bases(experiment) if args.chain else []
    for each in (*chain, experiment):
        training.check(each, trained=chain)
    experiment = with_training_options(experiment, args)        # which may look at the data
    report_findings(experiment.name, labels.outdated_weights(experiment.source))
    if not args.data:
        found = labels.of_source(experiment.source, experiment.class_names)
        report_findings(experiment.name, found, args.force)
    if workers == 1:
        return chain, experiment
    shared = []
    for each in (*chain, experiment):
        is_fresh = args.fresh and each is experiment
        changed, told = shared_out(each, workers, args.same_images, is_fresh)
        if training.is_to_be_trained(changed, args.patience, is_fresh):
            print(told)
        shared.append(changed)
    *chain, experiment = shared
    return chain, experiment


def imported(args: argparse.Namespace) -> Path:
    """The folder to which images and masks are imported. Raises RunError, and replaces nothing,
    while another process trains on what an earlier import wrote there."""
    folder = masks_once.folder_of(args.images, args.name)
    with ExitStack() as locks:
        for run in runs_on(folder, args) if args.fresh else ():
            locks.enter_context(run.locked(str(folder)))
        return masks_once.import_once(args, args.name, args.fresh)


def runs_on(folder: Path, args: argparse.Namespace) -> Iterator[Run]:
    """The run that the command line is about, if it is there, and all others on that folder."""
    own = args.name or default_name(folder.name, args.head or HEAD)
    for directory in filter(Path.is_dir, build_root().iterdir() if build_root().exists() else ()):
        run = Run(directory)
        try:
            data = run.settings().get("data")
        except RunError:
            data = None
        if directory.name == own or data == str(folder.resolve()):
            yield run


def choose(args: argparse.Namespace) -> Experiment:
    """The experiment that the command line is about: of the table, or on a folder of data."""
    from fcn.solvers import starting
    if args.data is None:
        experiment = experiment_named(args.experiment)
        return starting.named(experiment, args.start, args.fresh) if args.start else experiment
    folder = {key: value for key in FOLDER_ONLY if (value := getattr(args, key)) is not None}
    if args.start:
        return starting.on_folder(args.data, args.start, fresh=args.fresh, **folder)
    return on_folder(args.data, **folder)


def parse() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("experiment", nargs="?", help=", ".join(EXPERIMENTS))
    what.add_argument("--data", metavar="FOLDER", help="a folder in VOC layout")
    masks_once.add_arguments(what, parser)
    add_net(parser)
    add_schedule(parser)
    add_arguments(parser)
    add_output(parser)
    devices.add_arguments(parser)
    args = parser.parse_args()
    devices.check(args, parser)
    masks_once.check_arguments(args, parser)
    for key in FOLDER_ONLY:
        if args.data is None and args.images is None and getattr(args, key) is not None:
            parser.error(f"--{key.replace('_', '-')} goes with --data; an experiment's is in the "
                         "table")
    return args


def add_net(parser: argparse.ArgumentParser) -> None:
    """Which net is trained, and what it starts from."""
    parser.add_argument("--from", dest="start", metavar="START",
                        help="start from these weights, as far as they fit: vgg16, caffenet or "
                             "googlenet, a RUN, or a FILE.caffemodel")
    parser.add_argument("--head", choices=ON_FOLDER, metavar="HEAD",
                        help=f"with --data: {', '.join(ON_FOLDER)} (default {HEAD}; with "
                             "--from that of the source)")
    parser.add_argument("--width", type=width,
                        help="with --data: fraction of the published net's channels, up to 1 "
                             "(default 0.125; with --from that of the source)")
    parser.add_argument("--num-classes", type=positive(int), metavar="N",
                        help="with --data: how many classes there are, where no classes.txt says "
                             "it")
    parser.add_argument("--name", type=run_name,
                        help="with --data: of the run under build/ (default FOLDER-HEAD; "
                             "data-FOLDER-HEAD where that is an experiment's)")
    parser.add_argument("--chain", action="store_true",
                        help="train first what the experiment starts from")


def run_name(text: str) -> str:
    """An argparse type: a name, which an unset variable of the shell is not."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected the name of a run, got '{text}'")
    return text


def add_schedule(parser: argparse.ArgumentParser) -> None:
    """How long it is trained, at which rate, and what is kept of it."""
    parser.add_argument("--iterations", type=positive(int), help="default: the experiment's")
    parser.add_argument("--lr", type=positive(float), help="default: the experiment's")
    parser.add_argument("--interval", type=positive(int),
                        help="iterations between snapshots (default: the experiment's)")
    parser.add_argument("--patience", type=positive(int), metavar="N",
                        help="end early after N intervals without a better mean IU on the "
                             "validation set (default: never)")
    parser.add_argument("--keep", type=keep, default=KEEP, metavar="N",
                        help="snapshots to keep, the newest N and the best by mean IU, or 'all' "
                             f"(default {KEEP})")
    parser.add_argument("--fresh", action="store_true",
                        help="start anew: replace what the experiment wrote before, once there is "
                             "a first snapshot")
    parser.add_argument("--force", action="store_true",
                        help="train in spite of what is found wrong with data, weights or settings")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Where what happens is written beside the run's log."""
    parser.add_argument("--json", action="store_true",
                        help="print what happens as JSON, an object a line, and all else to stderr")
    parser.add_argument("--tensorboard", action="store_true",
                        help="write the log and the scores to RUN/tensorboard, too")
