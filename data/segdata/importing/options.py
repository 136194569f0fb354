"""Options of the command lines that import labels."""

import argparse
from contextlib import suppress
from pathlib import Path


def add_label_options(parser: argparse.ArgumentParser, when: str = ""
                      ) -> argparse._MutuallyExclusiveGroup:
    """Add --colours, --foreground and --val; returns the group of --val, for what excludes it.

    when : how their help begins
    """
    parser.add_argument("--colours", "--colors", type=Path, metavar="FILE",
                        help=f"{when}the colours of the classes: lines `R G B name`, or CVAT's "
                             "labelmap.txt (default: such a file beside the masks, else the "
                             "colours found)")
    parser.add_argument("--foreground", type=value, default=(), metavar="VALUE",
                        help=f"{when}the value, or R,G,B, of masks that is the object; all else is "
                             "background (default: where masks have two values, the larger)")
    splits = parser.add_mutually_exclusive_group()
    splits.add_argument("--val", type=share, metavar="SHARE",
                        help=f"{when}of the samples that validate, where there are no splits "
                             "(default 0.2)")
    return splits


def share(text: str) -> float:
    """An argparse type: a number between 0 and 1."""
    with suppress(ValueError):
        if 0 < (number := float(text)) < 1:
            return number
    raise argparse.ArgumentTypeError(f"expected a share of the samples, between 0 and 1 as 0.2, "
                                     f"got '{text}'")


def value(text: str) -> tuple[int, ...]:
    """An argparse type: one number, or three for a colour."""
    with suppress(ValueError):
        numbers = tuple(int(number) for number in text.split(","))
        if len(numbers) in (1, 3) and min(numbers) >= 0:
            return numbers
    raise argparse.ArgumentTypeError(f"expected a value of masks, as 255 or 255,0,0, got '{text}'")
