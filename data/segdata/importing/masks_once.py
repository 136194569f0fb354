"""`solve.py --images DIR --masks DIR`: an import that is made once, and trained on repeatedly."""

import argparse
import json
from pathlib import Path

from segdata.errors import DataError
from segdata.files import recover
from segdata.importing.labelled import Options, Request
from segdata.importing.options import add_label_options
from segdata.importing.write import RECORD, import_labels, record
from segdata.paths import build_root

ONLY = ("masks", "colours", "foreground", "val")


def add_arguments(what: argparse._MutuallyExclusiveGroup, parser: argparse.ArgumentParser) -> None:
    """Add --images to what can be trained, and what goes with it."""
    what.add_argument("--images", type=Path, metavar="DIR",
                      help="a folder of images, with --masks: they are imported as `fcn import` "
                           "does it, into build/imported")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="the folder of their masks")
    add_label_options(parser, "with --images: ")


def check_arguments(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """End with a message unless --images and what goes with it come together."""
    if args.images and not args.masks:
        parser.error("--images takes --masks DIR, the folder of their masks")
    for key in ONLY:
        if getattr(args, key) and not args.images:
            parser.error(f"--{key} goes with --images DIR")


def folder_of(images: Path, name: str | None) -> Path:
    """The folder under build/imported of the images of a command line."""
    folder = images.resolve()
    return build_root() / "imported" / (name or folder.parent.name or folder.name)


def import_once(args: argparse.Namespace, name: str | None, fresh: bool) -> Path:
    """The folder under build/imported of the images and masks of a command line.

    What was imported before is taken as it is. Raises DataError if images, masks or options have
    changed since, unless `fresh`.
    """
    target = folder_of(args.images, name)
    recover(target)
    request = Request(args.images, target, Options(args.colours, args.foreground, args.images,
                                                   args.masks), share=args.val, fresh=fresh)
    if not fresh and (path := target / "report" / RECORD).exists():
        if recorded(path) != record(request):
            raise DataError(f"{target} was imported from other images or masks, or with other "
                            "options, or they have changed since. Import and train anew (--fresh), "
                            "or take another --name")
    else:
        print(import_labels(request), end="\n\n")
    return target


def recorded(path: Path) -> object:
    """What an import recorded. Raises DataError where that is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged: {error}. Import and train anew (--fresh), or take "
                        "another --name") from None
