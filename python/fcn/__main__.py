"""`python -m fcn` does what `fcn` does."""

import sys

from fcn.command import main

if __name__ == "__main__":
    sys.exit(main())
