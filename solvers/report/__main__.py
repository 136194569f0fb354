"""Write the report of a run, RUN/report.html; without RUN, one page over all runs.

    fcn report voc-fcn8s-demo
    fcn report                      build/report.html (make report)

RUN is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a run. The
pages are complete in themselves and need no network. Pictures are drawn only while the run's data
are there.
"""

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.solvers.report.__main__"))

import argparse

from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import report_errors
from fcn.solvers.report import overview, page
from fcn.solvers.runs import all_runs
from segdata.arguments import ArgumentParser


def main() -> None:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="default: all under build/")
    args = parser.parse_args()
    with report_errors():
        set_device(argparse.Namespace(gpu=None, precision=None))
        print(page.write(all_runs.find(args.run)) if args.run else
              overview.write(all_runs.trained()))
