"""The paper's analyses, with its figures beside what is measured.

    fcn analysis NAME... [--seeds 0 1 2] [-o build/analysis]
    fcn analysis crf --run RUN

Those that train work on the miniatures of the experiments, for each seed of the data; run again,
they continue, and what is trained already is taken as it is.
"""

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.analysis.__main__"))

import argparse
import importlib
from pathlib import Path

from fcn.solvers.console.arguments import add_device, positive, seed
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import report_errors
from segdata.arguments import ArgumentParser, folder_name
from segdata.paths import build_root

QUICK = ("upper-bound", "stitch", "timing")
OF_A_RUN = ("crf",)
ON_A_FOLDER = ("segnet",)
TRAINING = ("recipes", "stages", "interpolation", "fusion", "cues", "sampling", "balancing",
            "deeplab", "dilated", "unet")


def main(arguments=None):
    options = parse(arguments)
    options.directory = options.output.resolve()
    with report_errors(continues=True):
        set_device(options)
        for name in options.names:
            module = importlib.import_module(f"fcn.analysis.{name.replace('-', '_')}")
            print(f"\n{module.__doc__}")
            module.run(options)


def parse(arguments):
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME",
                        choices=(*QUICK, *OF_A_RUN, *ON_A_FOLDER, *TRAINING),
                        help=f"{', '.join(QUICK)}; of a run: "
                             f"{', '.join(OF_A_RUN)}; on --data FOLDER: {', '.join(ON_A_FOLDER)}; "
                             f"those that train: {', '.join(TRAINING)}")
    parser.add_argument("--seeds", nargs="+", type=seed, default=[0, 1, 2], metavar="SEED",
                        help="of the data, of those that train (default 0 1 2)")
    parser.add_argument("-o", "--output", type=folder_name, default=build_root() / "analysis",
                        help="default build/analysis")
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="upper-bound: labels in VOC layout (default PASCAL VOC 2011, if it "
                             "is there, else the embedded dataset); segnet: CamVid, or any "
                             "folder in VOC layout (default CamVid where `fcn solve` has it)")
    parser.add_argument("--minutes", type=positive(float), default=10.0,
                        help="segnet: of one processor, of each training (default 10)")
    parser.add_argument("--run", help="crf: the trained run, as `fcn score` takes it")
    parser.add_argument("--trust", action="store_true",
                        help="crf: run a net whose layers do more than compute")
    parser.add_argument("--width", type=positive(float), default=1.0,
                        help="timing: fraction of the trunks' channels (default 1)")
    add_device(parser)
    return parser.parse_args(arguments)
