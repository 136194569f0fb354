"""Segment images: python infer.py --help. Where the project is installed, `infer` does the same."""

import sys

from solvers.infer import main

if __name__ == "__main__":
    sys.exit(main())
