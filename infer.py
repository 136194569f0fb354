"""Segment images: python infer.py --help; without a checkout, fcn infer."""

import sys

from fcn.solvers.infer import main

if __name__ == "__main__":
    sys.exit(main())
