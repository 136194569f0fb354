"""The device that a command computes on."""

from __future__ import annotations

import argparse
import os

from fcn.solvers.console.errors import RunError, reported

_gpu: int | None = None     # the one that was chosen; pycaffe cannot be asked


def runs_on_gpu() -> bool:
    """Whether `set_device` chose a GPU."""
    return _gpu is not None


def set_device(args: argparse.Namespace) -> str:
    """Choose the device, and have Caffe's log silent, for progress bars say what it says. Returns
    a note of what `--precision auto` chose, '' where nobody asked for that.

    Raises RunError where the GPU cannot be used, or the precision not be chosen, which BVLC's
    pycaffe does not let one do.
    """
    import caffe
    global _gpu
    _gpu = args.gpu
    if "GLOG_minloglevel" not in os.environ:
        caffe.init_log(1)
    if args.precision and not hasattr(caffe, "set_precision"):
        raise RunError(f"--precision {args.precision}: {caffe.__file__} has no set_precision; it "
                       "computes in fp32")
    if args.gpu is None:
        caffe.set_mode_cpu()
    else:
        _use_gpu(args.gpu)
    taken = caffe.set_precision(args.precision) if args.precision else ""
    if args.precision != "auto":
        return ""
    is_fp32 = args.gpu is None and taken == "tf32"
    return (f"precision {taken}" + " (on a CPU fp32 with Winograd's method)" * is_fp32
            + ", chosen by --precision auto")


def _use_gpu(number: int) -> None:
    import caffe
    try:
        caffe.set_device(number)
        caffe.set_mode_gpu()
    except reported() as error:
        raise RunError(f"{str(error).partition('. ')[0]}. Without --gpu N, or with --cpu in its "
                       "place, it runs on the CPU") from None
