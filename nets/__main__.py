"""python -m nets NAME [-o DIR]: write the prototxts of a net."""

import argparse
from pathlib import Path

from . import NAMES, write


def main():
    parser = argparse.ArgumentParser(prog="python -m nets", description=__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("-o", "--output", type=Path, help="default: build/NAME")
    parser.add_argument("--width", type=float, default=1.0,
                        help="fraction of the trunk's channels (default 1)")
    args = parser.parse_args()
    output = args.output or Path("build") / args.name
    if (output / "snapshot").exists():
        parser.error(f"{output} holds a run and its prototxts; choose another folder with -o")
    try:
        paths = write(args.name, output, width=args.width)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    for path in paths.values():
        print(path)


if __name__ == "__main__":
    main()
