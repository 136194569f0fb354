"""Flags that commands share, and the types of their values, as argparse takes them."""

import argparse
import os
import re
from typing import Any

from ..formats.text import read_text


def flag(parser: argparse.ArgumentParser, name: str, **options: Any) -> None:
    """A flag under --name and, as gflags allow, -name."""
    parser.add_argument(f"--{name}", f"-{name}", **options)


def boolean(parser: argparse.ArgumentParser, name: str, **options: Any) -> None:
    """A flag that is true as --name, and false as --noname."""
    flag(parser, name, action="store_true", **options)
    parser.add_argument(f"--no{name}", f"-no{name}", dest=name, action="store_false",
                        help=argparse.SUPPRESS)


def without_truth(arguments: list[str]) -> list[str]:
    """Arguments with --name for --name=true, and --noname for --name=false."""
    return [re.sub(r"^--?(\w+)=(true|false)$",
                   lambda m: ("--" if m[2] == "true" else "--no") + m[1], argument)
            for argument in arguments]


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got '{text}'")
    return int(text)


def gpus(text: str) -> str:
    """The numbers in 'N' or 'N,N,...'; 'all' and '' stay as they are."""
    if text not in ("", "all") and not all(name.isdigit() for name in names(text)):
        raise argparse.ArgumentTypeError(f"expected GPU numbers or all, got '{text}'")
    return text


def names(text: str) -> list[str]:
    """The entries of a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def file(path: str) -> str:
    """The path of a file, which has to be there; that is said before torch is loaded."""
    if os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"{path}: is a folder, expected a file")
    if not os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"{path}: no such file")
    return path


def lines(path: str) -> list[str]:
    """The lines of a text file but for empty ones at its end."""
    return read_text(file(path)).rstrip().splitlines()


def numbers(text: str) -> list[float]:
    """The numbers of a comma-separated list."""
    try:
        return [float(name) for name in names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got "
                                         f"'{text}'") from None


def files(text: str) -> list[str]:
    """The files of a comma-separated list."""
    return [file(name) for name in names(text)]


def use_device(gpu: str, precision: str = "") -> None:
    """Choose the GPU of a --gpu flag (a number, 'all' or a list: the first), else the CPU; and the
    precision, unless that is ''."""
    import caffe
    if not gpu:
        caffe.log("Use CPU.")
        caffe.set_mode_cpu()
    else:
        numbers = ["0"] if gpu == "all" else names(gpu)
        if gpu == "all" or len(numbers) > 1:
            caffe.log(f"Only `caffe train` runs on several GPUs; using GPU {numbers[0]}")
        caffe.log(f"Using GPUs {numbers[0]}")
        caffe.set_device(int(numbers[0]))
        caffe.set_mode_gpu()
    if precision:       # behind the device: what it may be depends on that
        caffe.set_precision(precision)
