"""Subjects on the project's engine, in each of its ways to run, and on BVLC's.

They take made(task, folder), which makes a pair of net and function, as those of `pycaffe` do.
"""

import os
import sys

from subjects import ROOT
from subjects.machine import Absent, check_bf16, gpu_wait


def project(made, elide=True):
    """The subject that runs what made(task, folder) makes."""
    def subject(task, folder):
        net, run = made(task, folder)
        net.elide_padding = elide
        return run
    return subject


def with_precision(precision, made):
    """The same, in that precision; where the processor has no bf16, it is not measured."""
    def subject(task, folder):
        import caffe
        check_bf16()
        caffe.set_precision(precision)
        return made(task, folder)[1]
    return subject


def bvlc(made):
    """The same, on BVLC's pycaffe."""
    def subject(task, folder):
        use_bvlc()
        return made(task, folder)[1]
    return subject


def use_bvlc():
    """Have `import caffe` find BVLC's. Raises Absent where there is none."""
    place = os.environ.get("BVLC_PYCAFFE")
    if not place:
        raise Absent("BVLC_PYCAFFE does not name the python folder of a BVLC Caffe")
    sys.path.remove(str(ROOT / "python"))
    sys.path.insert(0, place)


def on_gpu(made, precision, **switches):
    """The subject that runs what made(task, folder) makes, with that precision, and attributes
    of its net."""
    def subject(task, folder):
        import caffe
        wait = gpu_wait()
        caffe.set_mode_gpu()
        caffe.set_precision(precision)
        net, run = made(task, folder)
        for name, value in switches.items():
            setattr(net, name, value)

        def waited():
            run()
            wait()
        return waited
    return subject


def all_on_gpu(made):
    """{name: subject} of the engine in each precision, and without what it does for speed."""
    return {"engine": on_gpu(made, "tf32"),
            "engine, no CUDA graphs": on_gpu(made, "tf32", cuda_graphs=False),
            "engine, no elision": on_gpu(made, "tf32", elide_padding=False),
            "engine, fp32": on_gpu(made, "fp32"), "engine, bf16": on_gpu(made, "bf16")}
