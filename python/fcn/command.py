"""The table of the subcommands of `fcn`. A new one is a line of it."""

import importlib
import sys

# {subcommand: (module whose main() parses sys.argv, imported when it is used; help)}
COMMANDS = {
    "import": ("segdata.importing.__main__", "turn labelled images of any form into a data folder"),
    "solve": ("solvers.solve", "train on such a folder, or train an experiment of the paper"),
    "score": ("solvers.score", "score a trained net on its validation set"),
    "infer": ("solvers.infer", "segment photographs"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line `arguments` (default: sys.argv); returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"error: fcn has no command '{name}'\n\n{usage()}", file=sys.stderr)
        return 2
    sys.argv = [f"fcn {name}", *rest]       # argparse names the program so
    return importlib.import_module(COMMANDS[name][0]).main() or 0


def usage() -> str:
    """The commands, one a line."""
    lines = [f"    fcn {name:<8} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: fcn COMMAND ...\n", *lines, "\nfcn COMMAND --help says more."])
