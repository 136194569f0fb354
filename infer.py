"""Segment images: python infer.py --help; without a checkout, fcn infer."""

import sys

from fcn.start import run

if __name__ == "__main__":
    sys.exit(run("fcn.solvers.infer"))
