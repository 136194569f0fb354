"""infer.py run in the test's process, and a net whose classes follow from the colours of a pixel
and of those around it."""

import io
import signal
import sys
from argparse import Namespace
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import numpy as np

import caffe
from fcn.solvers import infer

CLASSES = "background", "leaf", "root", "stone"
NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 4 kernel_size: 5 pad: 2 weight_filler { type: "msra" } } }
"""


class Text(io.StringIO):
    """What stands in for a stream of the process; any encoding will do."""

    def reconfigure(self, **_):
        pass


def run(*args):
    """infer.py in this process: its exit status, and what it prints."""
    out, err, status, handler = Text(), Text(), 0, signal.getsignal(signal.SIGINT)
    with redirect_stdout(out), redirect_stderr(err), patch.object(
            sys, "argv", ["infer.py", *map(str, args)]):
        try:
            status = infer.main()
        except SystemExit as end:
            status = end.code
            if isinstance(status, str):
                print(status, file=err)
                status = 1
        finally:
            signal.signal(signal.SIGINT, handler)
    return Namespace(returncode=status, stdout=out.getvalue(), stderr=err.getvalue())


def small_run(folder, seed=1):
    """A folder as of a run, with a net of four classes; returns its deploy prototxt."""
    (folder / "snapshot").mkdir(parents=True)
    (folder / "deploy.prototxt").write_text(NET)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    rng = np.random.default_rng(seed)
    net.params["conv"][0].data[...] = rng.normal(size=(4, 3, 5, 5)) / 50
    for iteration in (1, 2):
        net.params["conv"][1].data[...] = rng.normal(size=4)
        net.save(str(folder / "snapshot" / f"train_iter_{iteration}.caffemodel"))
    return folder / "deploy.prototxt"


def scene(height=24, width=32, seed=0):
    """uint8 (height, width, 3): patches of colours, with noise."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 200, (-(-height // 8), -(-width // 8), 3))
    return (patches.repeat(8, 0).repeat(8, 1)[:height, :width]
            + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)
