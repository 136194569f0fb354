"""What the command lines have in common."""

import os
import sys
from contextlib import contextmanager

# before caffe is loaded: progress bars say what its log says
os.environ.setdefault("GLOG_minloglevel", "1")

from solvers.experiments import EXPERIMENTS  # noqa: E402
from solvers.runs import RunError  # noqa: E402


def add_device(parser):
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=int, metavar="N", help="run on GPU N")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")


def positive(kind):
    """An argparse type: a number above 0, int or float as `kind` says."""
    def number(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value
    number.__name__ = f"positive {kind.__name__}"
    return number


def set_device(args):
    import caffe
    if args.gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(args.gpu)
        caffe.set_mode_gpu()


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
    try:
        yield
    except (RuntimeError, OSError, FloatingPointError) as error:
        if type(error) is RuntimeError:
            raise
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
