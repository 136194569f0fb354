"""python -m caffe: the command line of the original."""

import sys

if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]     # the current folder: modules of Python layers come from PYTHONPATH alone

from .cli import main  # noqa: E402

sys.exit(main())
