"""Write a page on which anybody tries a net on photographs, in the browser.

    fcn page [RUN] [-o DIR] [--best] [--serve]

DIR gets a static page with the net, its classes and all that runs it; it loads nothing from
elsewhere, and photographs stay on the machine of whoever looks at it. --serve shows it on this
machine. RUN is an experiment (voc-fcn8s), a stage of the demo (voc-fcn8s-demo) or the folder of a
run; the default is the finished run under build/ that was begun or continued last.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":      # first, so that Ctrl-C while the rest loads ends it in one line
    from fcn.start import run
    sys.exit(run("fcn.page.__main__"))

import argparse
from contextlib import suppress
from pathlib import Path

from fcn.export import add_chosen
from fcn.page import page
from fcn.page.server import address, server
from fcn.solvers.console.arguments import positive, whole
from fcn.solvers.console.commands import same_command
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import report_errors
from fcn.solvers.inference.network import choose, described
from segdata.arguments import ArgumentParser, folder_name
from segdata.paths import build_root

LAST_PORT = 65_535
PHONE = 10 ** 9     # bytes of memory that browsers of phones let a page have, about


def main() -> int:
    """The command line; returns the exit status."""
    with report_errors():
        args = parse()
        set_device(argparse.Namespace(gpu=None, precision=None))
        chosen = choose(args.net, args.weights, args.run, args.best)
        print(described(chosen))
        memory = page.write(chosen, args.output, args.side)["memory"]
        size = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
        print(f"wrote the page to {args.output} ({size / 1e6:.1f} MB)")
        if memory > PHONE:
            print(f"note: who opens it downloads that, and the browser takes {memory / 1e9:.1f} GB "
                  "of memory and more with a photograph, which computers have and many phones do "
                  "not; a narrower net (fcn solve --width) takes less")
        if args.serve:
            serve(args.output, args.port)
        else:
            print(f"look at it with `{same_command()} --serve`, or put the folder on any web "
                  "server")
    return 0


def parse() -> argparse.Namespace:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    add_chosen(parser)
    parser.add_argument("-o", "--output", type=folder_name, default=build_root() / "page",
                        help="folder of the page (default build/page); an older page is replaced")
    parser.add_argument("--side", type=positive(int), default=500, metavar="PIXELS",
                        help="longer side to which photographs are scaled down at first (500)")
    parser.add_argument("--serve", action="store_true", help="show the page, on this machine alone")
    parser.add_argument("--port", type=port, default=0, help="of --serve (default: a free one)")
    return parser.parse_args()


def port(text: str) -> int:
    """An argparse type: the number of a port, 0 for any."""
    with suppress(argparse.ArgumentTypeError):
        if (number := whole(text)) <= LAST_PORT:
            return number
    raise argparse.ArgumentTypeError(f"expected a number from 0 to {LAST_PORT}, got '{text}'")


def serve(directory: Path, port: int) -> None:
    """Show a page until Ctrl-C."""
    with server(directory, port) as running:
        print(f"open {address(running)} in a browser on this machine; Ctrl-C ends", flush=True)
        running.serve_forever()
