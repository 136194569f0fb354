"""Scoring a net on a validation set.

    fcn score RUN [--best | --weights W] [--crf [W,XY,RGB]] [--gpu N | --cpu] [--trust]

RUN is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a run. Its
val.prototxt may have the project's data layers; one with other Python code, or that writes files,
needs --trust. --crf prints the scores twice, without and with a dense CRF (docs/crf.md).
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.solvers.score"))

import argparse

from fcn.solvers.scoring.counting import one_class, samples_of, score_net
from fcn.solvers.scoring.prediction import load_net
from fcn.solvers.scoring.tables import WITH_CRF, gains, tables
from segdata.arguments import ArgumentParser


def main() -> None:
    from fcn.solvers import cells
    from fcn.solvers.console.arguments import add_device, add_snapshot
    from fcn.solvers.console.device import set_device
    from fcn.solvers.console.errors import report_errors
    from fcn.solvers.inference import trust
    from fcn.solvers.inference.crf import Sharpener, add_crf, chosen
    from fcn.solvers.runs import all_runs
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", metavar="RUN",
                        help="an experiment, or the folder of a run")
    add_snapshot(parser)
    parser.add_argument("--trust", action="store_true",
                        help="run a net whose layers do more than compute")
    add_crf(parser)
    add_device(parser, learns=False)
    args = parser.parse_args()
    with report_errors():
        run = all_runs.find(args.run)
        run.present("val.prototxt")
        if not args.trust:
            trust.check(run.prototxt("val"), own_data=True)
        weights, note = (args.weights, "") if args.weights else run.chosen_weights(args.best)
        precision = set_device(args)
        settings = chosen(args.crf, run.directory)
        sharpeners = {WITH_CRF: Sharpener(run, settings)} if settings else {}
        net = load_net(run.prototxt("val"), weights)
        scores = score_net(net, samples_of(run), run.unscored(),
                           run.settings().get("in_truth", False), sharpeners)
        for label, one in scores.items():
            if not label.endswith(WITH_CRF) and (warning := one_class(
                    one, run.class_names(label, len(one.iu)))):
                print(warning, file=sys.stderr)
        print("\n".join(filter(None, (str(weights), note, precision)))
              + f"\n\n{tables(scores, run)}" + f"\n\n{gains(scores)}" * bool(settings))
        if told := cells.next_step(run):
            print(f"\n{told}")
