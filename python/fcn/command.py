"""The table of the subcommands of `fcn`. A new one is a line of it."""

import importlib
import sys

# {subcommand: (module whose main() parses sys.argv, imported when it is used; help)}
COMMANDS = {
    "import": ("segdata.importing.__main__", "turn labelled images of any form into a data folder"),
    "solve": ("fcn.solvers.solve", "train on such a folder, or train an experiment of the paper"),
    "score": ("fcn.solvers.score", "score a trained net on its validation set"),
    "report": ("fcn.solvers.report.__main__", "write the report of a run, or one over all runs"),
    "infer": ("fcn.solvers.infer", "segment photographs"),
    "export": ("fcn.export", "write a trained net as ONNX, with its classes and mean"),
    "page": ("fcn.page.__main__", "write a page to try a net on, in the browser"),
    "demo": ("fcn.solvers.demo", "the paper in miniature, on generated data"),
    "nets": ("fcn.nets.__main__", "write the prototxts of a net"),
    "analysis": ("fcn.analysis.__main__", "repeat analyses of the paper"),
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


def command_name(subcommand: str) -> str:
    """What the help of a subcommand says it is called: `fcn NAME`, or as the folder of a checkout
    that it is, `python -m NAME`."""
    called = f"fcn {subcommand}"
    return called if sys.argv[0] == called else f"python -m {subcommand}"


def usage() -> str:
    """The commands, one a line."""
    lines = [f"    fcn {name:<9} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: fcn COMMAND ...\n", *lines, "\nfcn COMMAND --help says more."])
