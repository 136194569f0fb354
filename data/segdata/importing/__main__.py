"""Import labelled images of any form into a folder that `fcn solve --data` trains on.

    fcn import SRC DST
    fcn import SRC DST --colours label_colors.txt --val 0.1
    fcn import SRC DST --images SRC/photos --masks SRC/drawn --foreground 255

SRC is a folder with images and their labels: masks (class numbers, colours, or 0 and 255) in any
folders or beside the images, COCO JSON, LabelMe, CVAT (XML for images, or masks), Roboflow (COCO
or semantic masks), Cityscapes, or a VOC layout whose lists have other names. SRC is not changed.

DST is written in VOC layout, whole or not at all: JPEGImages, SegmentationClass, ImageSets,
classes.txt, and report/ with what was found and six overlays to look at. Splits that SRC has are
kept. The background is class 0; what is called void or ignore is 255, and is not trained.
"""

import argparse
import sys
from pathlib import Path

from segdata.errors import UserError
from segdata.importing.labelled import Options
from segdata.importing.recognise import FORMATS
from segdata.importing.write import Request, import_labels


def main() -> None:
    args = parse()
    options = Options(args.colours, args.foreground, args.images, args.masks)
    try:
        print(import_labels(Request(args.source, args.target, options, args.format or "",
                                    args.val, args.folds or 0, args.seed, args.fresh)))
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; nothing was written")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SRC")
    parser.add_argument("target", type=Path, metavar="DST")
    parser.add_argument("--colours", "--colors", type=Path, metavar="FILE",
                        help="the colours of the classes: lines `R G B name`, or CVAT's "
                             "labelmap.txt (default: such a file in SRC, else the colours found)")
    parser.add_argument("--foreground", type=value, default=(), metavar="VALUE",
                        help="the value, or R,G,B, of masks that is the object; all else is "
                             "background (default: where masks have two values, the larger)")
    parser.add_argument("--images", type=Path, metavar="DIR",
                        help="with --masks: the folder of the images, where names do not tell")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="the folder of their masks")
    splits = parser.add_mutually_exclusive_group()
    splits.add_argument("--val", type=share, metavar="SHARE",
                        help="of the samples that validate, where SRC has no splits (default 0.2)")
    splits.add_argument("--folds", type=int, metavar="K",
                        help="write K folders DST/fold1 ..., in each of which another part of all "
                             "samples validates")
    parser.add_argument("--format", choices=FORMATS,
                        help="the form of the labels, where it cannot be seen")
    parser.add_argument("--seed", type=int, default=0, help="of random splits (default 0)")
    parser.add_argument("--fresh", action="store_true", help="replace an earlier import at DST")
    args = parser.parse_args()
    if (args.images is None) != (args.masks is None):
        parser.error("--images and --masks go together")
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: expected a whole number from 0 on")
    return args


def share(text: str) -> float:
    """An argparse type: a number between 0 and 1."""
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share of the samples, between 0 and 1")
    return number


def value(text: str) -> tuple[int, ...]:
    """An argparse type: one number, or three for a colour."""
    numbers = tuple(int(number) for number in text.split(","))
    if len(numbers) not in (1, 3) or min(numbers) < 0:
        raise argparse.ArgumentTypeError(f"{text} is no value of a mask such as 255 or 255,0,0")
    return numbers


if __name__ == "__main__":
    main()
