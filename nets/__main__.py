"""fcn nets NAME [-o DIR]: write the prototxts of a net, without -o into build/NAME."""

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    if __spec__ is None:        # started by its path: its folder has an fcn of its own, fcn.py
        del sys.path[0]
    from fcn.start import run
    sys.exit(run("fcn.nets.__main__"))

from segdata.arguments import ArgumentParser, folder_name, width
from segdata.errors import UserError
from segdata.paths import build_root

from . import NAMES, write


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("-o", "--output", type=folder_name,
                        help="default: build/NAME, or NAME in $FCN_BUILD")
    parser.add_argument("--width", type=width, default=1.0,
                        help="fraction of the published net's channels, up to 1 (default 1)")
    parser.add_argument("--num-classes", type=int, metavar="N",
                        help="write it for N classes, background included, not for those of its "
                             "data set; of two labels this is the first's")
    args = parser.parse_args()
    output = args.output or build_root() / args.name
    if (output / "snapshot").exists():
        parser.error(f"{output} holds a run and its prototxts; choose another folder with -o")
    try:
        paths = write(args.name, output, args.num_classes, width=args.width)
    except ValueError as error:
        parser.error(str(error))
    except UserError as error:      # a folder that is not writable
        sys.exit(f"error: {error}")
    for path in paths.values():
        print(path)
