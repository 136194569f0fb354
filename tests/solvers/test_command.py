"""solve.py's arguments, run as a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


@pytest.mark.parametrize("flag, value", [("--iterations", "0"), ("--iterations", "-3"),
                                         ("--interval", "0"), ("--width", "0"), ("--lr", "nan")])
def test_numbers_that_train_nothing_are_refused(flag, value):
    run = python("solvers/solve.py", "--data", "absent", f"{flag}={value}")
    assert run.returncode == 2 and f"argument {flag}: invalid positive" in run.stderr


def test_caffe_s_log_is_quiet_beside_the_progress_bars():
    run = python("-c", "import solvers.command, caffe; caffe.log('words')")
    assert run.returncode == 0 and run.stderr == ""
