"""Caffe's command line: train, test, time, device_query and its other tools, with their flags.

Flags take one dash or two, and their value after a space or `=`, as gflags had them.
"""

import argparse
import inspect
import sys

from .. import __version__
from ..errors import CaffeError
from . import info, logs, migrate, models, pictures, train_test
from .arguments import ArgumentParser
from .flags import without_truth

_FAMILIES = train_test, logs, models, pictures, migrate, info


def main(arguments: list[str] | None = None) -> int:
    """Run the command line `arguments` (default: sys.argv); returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = "caffe"
    try:
        args = _parser().parse_args(without_truth(arguments) or ["--help"])
        args.arguments, command = arguments, f"caffe {args.command}"
        status = args.run(args)
    except (CaffeError, OSError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(prog="caffe", description=__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version=f"caffe {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in _FAMILIES:
        for run, add_arguments in family.COMMANDS.items():
            description = inspect.cleandoc(run.__doc__)
            command = commands.add_parser(run.__name__, help=description.split("\n")[0],
                                          description=description, allow_abbrev=False,
                                          formatter_class=argparse.RawDescriptionHelpFormatter)
            add_arguments(command)
            command.set_defaults(run=run)
    return parser
