"""Write a run's net as ONNX, with all that a program needs to know to use it.

    fcn export [RUN] -o NET.onnx [--best]

The file says the names of the classes, the mean, the order of the channels, what each input takes,
the name of the run, the margin around images and the number of which their sides are multiples.
RUN is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a run; the
default is the finished run under build/ that was begun or continued last. Weights alone are written
by `caffe export`.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.export"))

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fcn.nets import unet
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import report_errors
from fcn.solvers.inference.network import Chosen, Network, choose, described
from segdata.arguments import ArgumentParser
from segdata.errors import UserError
from segdata.files import make_folder


class ExportError(UserError):
    """A net that cannot be written as ONNX."""


def main() -> int:
    """The command line; returns the exit status."""
    with report_errors():
        parser = ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        add_chosen(parser)
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="NET.onnx")
        args = parser.parse_args()
        if args.output.suffix != ".onnx":
            raise ExportError(f"{args.output}: expected a name that ends in .onnx")
        set_device(argparse.Namespace(gpu=None, precision=None))
        chosen = choose(args.net, args.weights, args.run, args.best)
        print(described(chosen))
        network = Network(chosen)
        make_folder(args.output.parent)
        write(chosen, network, network.net, args.output)
        print(f"wrote {args.output} ({args.output.stat().st_size / 1e6:.1f} MB)")
        if network.margin:
            told = unet.margin_told(network.net.params, network.margin)
            print(f"note: pad its images on each side with {network.margin} pixels of their "
                  f"reflection (numpy.pad, mode 'reflect'), as `fcn infer` does{told}; without "
                  "them the labels are wrong. The file says the number as 'margin'")
        if network.multiple > 1:
            print(f"note: pad its images, below and right, to multiples of {network.multiple} "
                  "pixels with their reflection (numpy.pad, mode 'symmetric'), and cut the scores "
                  "to the image, as `fcn infer` does. The file says the number as 'multiple'")
    return 0


def add_chosen(parser: argparse.ArgumentParser) -> None:
    """Add RUN, --net, --weights and --best, which `choose` takes."""
    parser.add_argument("run", nargs="?", metavar="RUN",
                        help="default: the finished run under build/ that was begun or "
                             "continued last")
    parser.add_argument("--net", type=Path, help="a deploy prototxt, in place of RUN")
    parser.add_argument("--weights", type=Path, help="a caffemodel")
    parser.add_argument("--best", action="store_true",
                        help="take the run's snapshot with the best mean IU on its validation set, "
                             "not the newest")


def write(chosen: Chosen, network: Network, net: Any, path: Path) -> None:
    """Write `net`, the network's or one made of it, as ONNX with what is known of it.

    Raises what `writer` and `caffe.export.to_onnx` raise.
    """
    kinds = chosen.inputs.kinds
    mean = [float(each) for each in chosen.inputs.mean] if "color" in kinds else None
    writer()(net, str(path), list(network.names), mean, list(kinds), title(chosen),
             network.margin, network.multiple)


def writer() -> Callable[..., None]:
    """`caffe.export.to_onnx`. Raises ExportError on the original Caffe, which has none."""
    import caffe
    try:
        from caffe.export import to_onnx
    except ImportError:
        raise ExportError(f"{caffe.__file__} writes no ONNX; the caffe package of this project does"
                          ) from None
    return to_onnx


def title(chosen: Chosen) -> str:
    """The name of the run, or of the folder of the prototxt."""
    return chosen.prototxt.resolve().parent.name
