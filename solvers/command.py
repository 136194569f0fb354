"""What the command lines have in common."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from segdata.errors import UserError
from solvers.runs import RunError

INT_MAX = 2 ** 31 - 1       # of a solver's prototxt


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --gpu, --cpu and --precision, which `set_device` takes."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=whole, metavar="N", help="run on GPU N")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"),
                        help="of convolutions and matrix products (default tf32 where the GPU has "
                             "it, else fp32)")


def positive(kind: type) -> Callable[[str], float]:
    """An argparse type: a number above 0, int or float as `kind` says."""
    def number(text):
        value = kind(text)
        if not 0 < value < (INT_MAX if kind is int else float("inf")):
            raise ValueError
        return value
    number.__name__ = f"positive {kind.__name__}"
    return number


def whole(text: str) -> int:
    """An argparse type: a whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def seed(text: str) -> int:
    """An argparse type: a whole number from 0 on, as NumPy's generators take it."""
    return whole(text)


_gpu: int | None = None     # the one that was chosen; pycaffe cannot be asked


def runs_on_gpu() -> bool:
    """Whether `set_device` chose a GPU."""
    return _gpu is not None


def set_device(args: argparse.Namespace) -> None:
    """Choose the device, and have Caffe's log silent, for progress bars say what it says.

    Raises RunError where the GPU cannot be used, or the precision not be chosen, which BVLC's
    pycaffe does not let one do.
    """
    import caffe
    global _gpu
    _gpu = args.gpu
    if "GLOG_minloglevel" not in os.environ:
        caffe.init_log(1)
    if args.precision:
        if not hasattr(caffe, "set_precision"):
            raise RunError(f"--precision {args.precision}: {caffe.__file__} has no set_precision; "
                           "it computes in fp32")
        caffe.set_precision(args.precision)
    if args.gpu is None:
        caffe.set_mode_cpu()
        return
    try:
        caffe.set_device(args.gpu)
        caffe.set_mode_gpu()
    except reported() as error:
        raise RunError(f"{str(error).partition('. ')[0]}. Without --gpu N, or with --cpu in its "
                       "place, it runs on the CPU") from None


def reported() -> tuple[type[BaseException], ...]:
    """The errors that a user can mend: the project's own, Caffe's, those of files."""
    import caffe
    caffes = (caffe.CaffeError,) if hasattr(caffe, "CaffeError") else ()       # BVLC's has none
    return (UserError, OSError, *caffes)


@contextmanager
def report_errors() -> Iterator[None]:
    """End with one message and exit status 1, no traceback, for errors that users can mend.

    All others are bugs. Ctrl-C ends with exit status 130.
    """
    for stream in (sys.stdout, sys.stderr):     # class names are of any script
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    except BrokenPipeError:     # `... | head`: whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except reported() as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
