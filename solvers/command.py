"""What the command lines have in common."""

import os
import sys
from contextlib import contextmanager

from solvers.experiments import EXPERIMENTS
from solvers.runs import RunError

INT_MAX = 2 ** 31 - 1       # of a solver's prototxt


def add_device(parser):
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help="run on GPU N")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"),
                        help="of convolutions and matrix products (default tf32 where the GPU has "
                             "it, else fp32)")


def positive(kind):
    """An argparse type: a number above 0, int or float as `kind` says."""
    def number(text):
        value = kind(text)
        if not 0 < value < (INT_MAX if kind is int else float("inf")):
            raise ValueError
        return value
    number.__name__ = f"positive {kind.__name__}"
    return number


def seed(text):
    """An argparse type: a whole number from 0 on, as NumPy's generators take it."""
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def set_device(args):
    """Choose the device, and have Caffe's log silent, for progress bars say what it says.

    Raises RunError where the GPU cannot be used.
    """
    import caffe
    if "GLOG_minloglevel" not in os.environ:
        caffe.init_log(1)
    if args.precision:
        caffe.set_precision(args.precision)
    if args.gpu is None:
        caffe.set_mode_cpu()
        return
    try:
        caffe.set_device(args.gpu)
        caffe.set_mode_gpu()
    except RuntimeError as error:
        raise RunError(f"{str(error).partition('. ')[0]}. Without --gpu N, or with --cpu in its "
                       "place, it runs on the CPU") from None


def load_net(prototxt, weights):
    """The TEST net of a prototxt with a caffemodel.

    Raises RunError if the caffemodel filled no layer; says which ones stayed at zero.
    """
    import caffe
    net = caffe.Net(str(prototxt), str(weights), caffe.TEST)
    empty = [name for name, blobs in net.params.items() if not blobs[0].data.any()]
    if empty and len(empty) == len(net.params):
        raise RunError(f"{weights} has no weights for the layers of {prototxt}: {', '.join(empty)}")
    if empty:
        print(f"warning: {weights} left these layers of {prototxt} at zero: {', '.join(empty)}",
              file=sys.stderr)
    return net


def experiment_named(name):
    if name not in EXPERIMENTS:
        raise RunError(f"unknown experiment '{name}'; known are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


@contextmanager
def report_errors():
    """End with one message and exit status 1, no traceback, for errors that users can mend.

    Those are files, and what the project raises itself; a bare RuntimeError is a bug.
    """
    for stream in (sys.stdout, sys.stderr):     # class names are of any script
        stream.reconfigure(errors="replace")
    try:
        yield
    except (RuntimeError, OSError, FloatingPointError) as error:
        if type(error) is RuntimeError:
            raise
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
