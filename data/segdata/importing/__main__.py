"""Import labelled images of any form into a folder that `fcn solve --data` trains on.

    fcn import SRC DST
    fcn import SRC DST --colours label_colors.txt --val 0.1
    fcn import SRC DST --images SRC/photos --masks SRC/drawn --foreground 255

SRC is a folder, or a zip archive, with images and their labels: masks (class numbers, colours, or 0
and 255) in any folders or beside the images, COCO JSON, LabelMe, CVAT (XML for images, or masks),
Roboflow (COCO or semantic masks), Cityscapes, or a VOC layout whose lists have other names. SRC is
not changed.

DST is written in VOC layout, whole or not at all: JPEGImages, SegmentationClass, ImageSets,
classes.txt, and report/ with what was found and six overlays to look at. Splits that SRC has are
kept. The background is class 0; what is called void or ignore is 255, and is not trained.
"""

import argparse
import io
import signal
import sys
from pathlib import Path

from segdata.arguments import ArgumentParser
from segdata.errors import UserError
from segdata.importing.labelled import Options, Request
from segdata.importing.options import add_label_options
from segdata.importing.recognise import FORMATS
from segdata.importing.write import import_labels


def main() -> None:
    args = parse()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")        # class names are of any script
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that nothing is left behind
    options = Options(args.colours, args.foreground, args.images, args.masks)
    try:
        print(import_labels(Request(args.source, args.target, options, args.format or "",
                                    args.val, args.folds or 0, args.seed, args.fresh)))
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        sys.exit(130)


def parse() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SRC")
    parser.add_argument("target", type=Path, metavar="DST")
    parser.add_argument("--images", type=Path, metavar="DIR",
                        help="the folder of the images, where it is not in SRC, or, with --masks, "
                             "where names do not tell")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="the folder of their masks")
    splits = add_label_options(parser)
    splits.add_argument("--folds", type=int, metavar="K",
                        help="write K folders DST/fold1 ..., in each of which another part of all "
                             "samples validates")
    parser.add_argument("--format", choices=FORMATS,
                        help="the form of the labels, where it cannot be seen")
    parser.add_argument("--seed", type=int, default=0, help="of random splits (default 0)")
    parser.add_argument("--fresh", action="store_true", help="replace an earlier import at DST")
    args = parser.parse_args()
    if args.masks and not args.images:
        parser.error("--masks takes --images DIR, the folder of their images")
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: expected a whole number from 0 on")
    return args


if __name__ == "__main__":
    main()
