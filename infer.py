"""Segment images: python infer.py --help; without a checkout, fcn infer."""

import sys

try:
    from fcn.solvers.infer import main
except KeyboardInterrupt:       # Ctrl-C while PyTorch is loaded, which takes seconds
    print("stopped by Ctrl-C", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
