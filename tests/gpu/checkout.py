"""Importing this makes the project importable as it lies in a checkout, without installing it; also
as a plugin of pytest, for its worker processes."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("python", "data", "benchmarks", "tests/support", "tests/caffe/engine", "tests/gpu")

sys.path[:0] = [str(ROOT / folder) for folder in FOLDERS]

import fcn  # noqa: E402

if str(ROOT) not in fcn.__path__:       # nets, surgery, solvers and analysis lie there
    fcn.__path__.append(str(ROOT))
