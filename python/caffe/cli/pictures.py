"""Tools for databases of pictures and of what nets make of them."""

import argparse

import numpy as np

from ..errors import CaffeError, LayerError
from ..log import log
from .flags import boolean, file, flag, names, positive, use_device


def convert_imageset(args: argparse.Namespace) -> None:
    """Write the images of a list, `path label` on each line, into an LMDB."""
    from ..images import datasets
    if (args.resize_height > 0) != (args.resize_width > 0):
        raise CaffeError("expected both --resize_height and --resize_width, or neither, got "
                         f"{args.resize_height} and {args.resize_width}: with one alone, images "
                         "would keep their size")
    count = datasets.convert_imageset(
        args.listfile, args.rootfolder, args.db_name, gray=args.gray, shuffle=args.shuffle,
        size=(args.resize_height, args.resize_width), check_size=args.check_size,
        encoded=args.encoded or bool(args.encode_type), encode_type=args.encode_type)
    log(f"Processed {count} files.")


def compute_image_mean(args: argparse.Namespace) -> None:
    """Write the mean image of an LMDB as a binaryproto, and show the mean of each channel."""
    from ..images import datasets
    means = datasets.compute_image_mean(args.input_db, args.output_file)
    log(f"Number of channels: {len(means)}")
    for channel, mean in enumerate(means):
        log(f"mean_value channel [{channel}]: {mean:g}")


def extract_features(args: argparse.Namespace) -> None:
    """Run a net and write what its blobs hold, one LMDB of float data for each blob."""
    import caffe

    from ..images import datasets
    blobs, outputs = names(args.blobs), names(args.datasets)
    if len(blobs) != len(outputs):
        raise CaffeError(f"{len(blobs)} blobs, but {len(outputs)} databases to write")
    use_device(str(args.device_id) if args.mode == "GPU" else "")
    net = caffe.Net(args.model, args.weights, caffe.TEST)
    for name in blobs:
        if name not in net.blobs:
            raise LayerError(f"{args.model}: no blob '{name}' in the net")
        if len(net.blobs[name].shape) > 4:
            raise LayerError(f"{args.model}: a record has three axes, the items of blob '{name}' "
                             f"have more: {net.blobs[name].shape}")
    with datasets.writing_features(outputs) as writers:
        for _ in range(args.num_mini_batches):
            net.forward()
            for name, write in zip(blobs, writers):
                for features in np.atleast_1d(net.blobs[name].data):
                    write(features)
    log("Successfully extracted the features!")


def _backend(parser: argparse.ArgumentParser) -> None:
    flag(parser, "backend", choices=("lmdb",), default="lmdb", help="LevelDB is not supported")


def _convert_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rootfolder")
    parser.add_argument("listfile", type=file)
    parser.add_argument("db_name")
    boolean(parser, "gray", help="one channel")
    boolean(parser, "shuffle", help="in random order")
    flag(parser, "resize_width", type=int, default=0, help="0: as it is")
    flag(parser, "resize_height", type=int, default=0, help="0: as it is")
    boolean(parser, "check_size", help="refuse images of different sizes")
    boolean(parser, "encoded", help="keep the files' compression")
    flag(parser, "encode_type", default="", help="compress anew: png, jpg, ...")
    _backend(parser)


def _mean_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input_db")
    parser.add_argument("output_file", nargs="?")
    _backend(parser)


def _feature_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=file, help="caffemodel")
    parser.add_argument("model", type=file, help="prototxt with a data layer")
    parser.add_argument("blobs", help="NAME[,NAME]")
    parser.add_argument("datasets", help="LMDB[,LMDB], one for each blob")
    parser.add_argument("num_mini_batches", type=positive)
    parser.add_argument("db_type", choices=("lmdb",))
    parser.add_argument("mode", nargs="?", default="CPU", choices=("CPU", "GPU"))
    parser.add_argument("device_id", nargs="?", type=int, default=0)


COMMANDS = {convert_imageset: _convert_flags, compute_image_mean: _mean_flags,
            extract_features: _feature_flags}
