"""`python -m fcn` does what `fcn` does."""

import sys

from fcn.start import fcn

if __name__ == "__main__":
    sys.exit(fcn())
