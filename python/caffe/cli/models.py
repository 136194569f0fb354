"""Tools that read and write prototxts and models."""

import argparse
import os

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from ..errors import PrototxtError, WeightsError
from ..formats import prototxt, text
from ..formats.atomic import replacing
from ..formats.forks import sign_of_a_fork
from ..formats.upgrade import upgrade_net
from ..log import silence
from ..proto import caffe_pb2
from .flags import file, flag, lines, names, numbers, positive


def upgrade_net_proto_text(args: argparse.Namespace) -> None:
    """Write a net's prototxt in the current form."""
    _write_text(args.output, prototxt.read_net(args.input))


def upgrade_solver_proto_text(args: argparse.Namespace) -> None:
    """Write a solver's prototxt in the current form."""
    _write_text(args.output, prototxt.read_solver(args.input))


def upgrade_net_proto_binary(args: argparse.Namespace) -> None:
    """Write a caffemodel in the current form."""
    param = caffe_pb2.NetParameter()
    if text.begins_as_text(args.input):
        raise WeightsError(f"{args.input}: it is a text file, such as a prototxt; expected a "
                           "caffemodel")
    with open(args.input, "rb") as file:
        try:
            param.ParseFromString(file.read())
        except DecodeError as error:
            raise WeightsError(f"{args.input}: not a caffemodel, or a damaged one, or one of a "
                               f"fork whose fields Caffe's schema cannot read: {error}") from None
    if not (param.layer or param.layers):
        raise WeightsError(f"{args.input}: not a caffemodel, or a damaged one: it holds no layers")
    sign = sign_of_a_fork(param)
    if sign:
        raise WeightsError(f"{args.input}: a fork of Caffe wrote this: {sign}. The numbers of its "
                           "fields mean something else in Caffe's schema, so that only the names "
                           "and weights of its layers can be read: load it into the net of its "
                           "prototxt, caffe.Net(prototxt, weights, phase), and save that")
    try:
        upgrade_net(param)
    except PrototxtError as error:
        raise PrototxtError(f"{args.input}: {error}") from None
    with replacing(args.output) as file:
        file.write(param.SerializeToString())


def draw_net(args: argparse.Namespace) -> None:
    """Draw a net's prototxt as a graph: .dot, or what Graphviz writes (.png, .pdf, .svg)."""
    from .. import draw
    phase = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST, "ALL": None}[args.phase]
    draw.draw_net_to_file(prototxt.read_net(args.input), args.output, args.rankdir, phase,
                          args.display_lrm)
    print(f"Drew the net to {text.printable(args.output)}")


def export(args: argparse.Namespace) -> None:
    """Write a net with its weights as ONNX (.onnx), or the weights as safetensors or HDF5 (.h5)."""
    import caffe

    from .. import export as to
    kind = os.path.splitext(args.output)[1]
    # each is looked up when it is called for, as onnx and safetensors need not be installed
    writers = {".onnx": lambda net: to.to_onnx(net, args.output, args.classes, args.mean,
                                                args.inputs, args.name, args.margin,
                                                args.multiple),
               ".safetensors": lambda net: to.save_safetensors(net, args.output),
               ".h5": lambda net: net.save_hdf5(args.output)}
    if kind not in writers:
        raise WeightsError(f"{args.output}: expected a name that ends in {', '.join(writers)}")
    if kind != ".onnx" and any((args.classes, args.mean, args.inputs, args.name, args.margin,
                                args.multiple)):
        raise WeightsError(f"{args.output}: --classes, --mean, --inputs, --name, --margin and "
                           "--multiple are for a name in .onnx")
    with silence():
        net = caffe.Net(args.model, args.weights, caffe.TEST)
    writers[kind](net)
    print(f"{text.printable(args.output)}: {os.path.getsize(args.output) / 1e6:.1f} MB")


def _write_text(path: str, param: Message) -> None:
    with replacing(path) as file:
        file.write(text.encode(text_format.MessageToString(param, as_utf8=True)))


def _in_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=file)
    parser.add_argument("output")


def _draw_flags(parser: argparse.ArgumentParser) -> None:
    _in_out(parser)
    flag(parser, "rankdir", default="LR", choices=("LR", "TB", "BT", "RL"),
         help="direction of the graph (default LR)")
    flag(parser, "phase", default="ALL", choices=("TRAIN", "TEST", "ALL"),
         help="the layers of this phase alone")
    parser.add_argument("--display_lrm", action="store_true", help="show the rate multipliers")


def _export_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=file, help="deploy prototxt")
    parser.add_argument("weights", type=file, help="caffemodel")
    parser.add_argument("-o", "--output", required=True,
                        help="NAME.onnx, NAME.safetensors or NAME.h5")
    flag(parser, "classes", type=lines, metavar="FILE",
         help="the classes' names, one on each line, to keep in the ONNX file")
    flag(parser, "mean", type=numbers, metavar="B,G,R",
         help="what is subtracted from each channel of an image, to keep in the ONNX file")
    flag(parser, "inputs", type=names, metavar="KIND,...",
         help="what each input takes (color, depth, hha), to keep in the ONNX file")
    flag(parser, "name", help="of the net or its run, to keep in the ONNX file")
    flag(parser, "margin", type=positive, metavar="N",
         help="pixels of its reflection that an image needs on each side, to keep in the ONNX file")
    flag(parser, "multiple", type=positive, metavar="N",
         help="of which the sides of an image have to be, to keep in the ONNX file")


COMMANDS = {upgrade_net_proto_text: _in_out, upgrade_net_proto_binary: _in_out,
            upgrade_solver_proto_text: _in_out, draw_net: _draw_flags, export: _export_flags}
