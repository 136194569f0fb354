"""What the command lines have in common."""

import os
import sys
from contextlib import contextmanager

from solvers.experiments import EXPERIMENTS

os.environ.setdefault("GLOG_minloglevel", "1")      # progress bars say what Caffe's log says


def add_device(parser):
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help="run on GPU N")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")


def set_device(args):
    import caffe
    if args.gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(args.gpu)
        caffe.set_mode_gpu()


def experiment_named(name):
    if name not in EXPERIMENTS:
        raise LookupError(f"unknown experiment '{name}'; known are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


@contextmanager
def report_errors():
    """End with one message and exit status 1, no traceback, for errors that users can mend."""
    try:
        yield
    except (RuntimeError, LookupError, OSError, ArithmeticError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues from the newest snapshot")
