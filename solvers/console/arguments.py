"""Arguments that several commands have, and what they may say."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress

INT_MAX = 2 ** 31 - 1       # of a number in a prototxt


def add_device(parser: argparse.ArgumentParser, learns: bool = True) -> None:
    """Add --gpu, --cpu and --precision, which `set_device` takes; with "auto" where nothing
    learns."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=whole, metavar="N", help="run on GPU N")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")
    add_precision(parser, learns)


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """Add --weights and --best: which snapshot of a run is scored."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--weights", help="default: the run's newest snapshot")
    which.add_argument("--best", action="store_true",
                       help="take the snapshot with the best mean IU on the validation set")


def add_precision(parser: argparse._ActionsContainer, learns: bool = True) -> None:
    """Add --precision, which `set_device` takes; with "auto" where nothing learns."""
    auto = "" if learns else "; auto: bf16 where the device has it, which costs scores nothing"
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16") + ("auto",) * (not learns),
                        help="of convolutions and matrix products (default tf32; on CPUs that is "
                             f"fp32 with Winograd's method, and fp32 keeps plain sums{auto})")


def keep(text: str) -> int | None:
    """An argparse type: a number of snapshots, or "all", which is None."""
    if text == "all":
        return None
    with suppress(argparse.ArgumentTypeError):
        return int(positive(int)(text))
    raise argparse.ArgumentTypeError(f"expected a whole number above 0, or 'all', got '{text}'")


def positive(kind: type) -> Callable[[str], float]:
    """An argparse type: a number above 0, int or float as `kind` says."""
    def number(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if 0 < value < (INT_MAX if kind is int else float("inf")):
                return value
        raise argparse.ArgumentTypeError(
            f"expected a {'whole ' * (kind is int)}number above 0, got '{text}'")
    return number


def whole(text: str) -> int:
    """An argparse type: a whole number from 0 on."""
    with suppress(ValueError):
        if (value := int(text)) >= 0:
            return value
    raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got '{text}'")


def seed(text: str) -> int:
    """An argparse type: a whole number from 0 on, as NumPy's generators take it."""
    return whole(text)
