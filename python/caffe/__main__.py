"""python -m caffe: the command line of the original."""

import sys

if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]     # the current folder: modules of Python layers come from PYTHONPATH alone

from fcn.start import caffe  # noqa: E402

sys.exit(caffe())
