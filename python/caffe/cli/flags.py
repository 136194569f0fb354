"""Flags that commands share."""

import argparse


def flag(parser, name, **options):
    """A flag under --name and, as gflags allow, -name."""
    parser.add_argument(f"--{name}", f"-{name}", **options)


def boolean(parser, name, **options):
    """A flag that is true alone, or takes true or false, or is false as --noname."""
    flag(parser, name, nargs="?", const=True, type=_truth, default=False, **options)
    parser.add_argument(f"--no{name}", f"-no{name}", dest=name, action="store_false",
                        help=argparse.SUPPRESS)


def _truth(text):
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise argparse.ArgumentTypeError(f"expected true or false, got '{text}'")
    return text.lower() in ("true", "1", "yes")


def names(text):
    """The entries of a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def use_device(gpu):
    """Choose the GPU of a --gpu flag (a number, 'all' or a list: the first), else the CPU."""
    import caffe
    if not gpu:
        caffe.set_mode_cpu()
        return
    numbers = ["0"] if gpu == "all" else names(gpu)
    if gpu == "all" or len(numbers) > 1:
        caffe.log(f"Training on several GPUs is not supported; using GPU {numbers[0]}")
    caffe.set_device(int(numbers[0]))
    caffe.set_mode_gpu()
