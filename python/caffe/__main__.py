"""python -m caffe: the command line of the original."""

import sys

from .cli import main

sys.exit(main())
