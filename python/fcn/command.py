"""The table of the subcommands of `fcn`. A new one is a line of it."""

import importlib
import sys
from importlib import metadata

from fcn.start import ending_quietly
from segdata.errors import UserError, did_you_mean, nearest

# {subcommand: (module whose main() parses sys.argv, imported when it is used; help)}
COMMANDS = {
    "import": ("segdata.importing.__main__", "turn labelled images of any form into a data folder"),
    "solve": ("fcn.solvers.solve", "train on such a folder, or train an experiment of the paper"),
    "score": ("fcn.solvers.score", "score a trained net on its validation set"),
    "cells": ("fcn.solvers.cells", "score a trained U-Net cell by cell: found, merged, extra"),
    "report": ("fcn.solvers.report.__main__", "write the report of a run, or one over all runs"),
    "infer": ("fcn.solvers.infer", "segment photographs"),
    "export": ("fcn.export", "write a trained net as ONNX, with its classes and mean"),
    "page": ("fcn.page.__main__", "write a page to try a net on, in the browser"),
    "demo": ("fcn.solvers.demo", "the paper in miniature, on generated data"),
    "nets": ("fcn.nets.__main__", "write the prototxts of a net"),
    "analysis": ("fcn.analysis.__main__", "repeat analyses of the paper"),
}

TOGETHER = "solve", "infer"     # which several processes do together, started by torchrun

# {what somebody may type in place of a command: what does that, and what for}
SOLVE, WEIGHTS = "fcn solve --data FOLDER", "python -m segdata.weight_map INSTANCES -o WEIGHTS"
DONE_BY = {
    "crf densecrf": {"fcn infer IMAGE --crf": "segment, with a dense CRF behind the net",
                     "fcn score RUN --crf": "score without and with it",
                     "fcn analysis crf --run RUN": "search for its settings"},
    "train fit resume new": {SOLVE: "train, or go on where the same command ended",
                             "caffe train --solver solver.prototxt": "train by a solver alone"},
    "finetune from transfer": {f"{SOLVE} --from RUN": "start from another net"},
    "test evaluate validate": {"fcn score RUN": "score a run on its validation set",
                               "caffe test --model M --weights W": "run a net without a run"},
    "predict segment run overlay video": {"fcn infer IMAGE_OR_FOLDER": "segment"},
    "edges hed": {"fcn infer IMAGE --experiment hed": "draw edges"},
    "instances": {"fcn cells RUN": "score a trained U-Net cell by cell", WEIGHTS: "weigh pixels"},
    "weights weight_map": {WEIGHTS: "weigh pixels by instances",
                           f"{SOLVE} --from FILE.caffemodel": "start from weights"},
    "convert data labels dataset prepare": {"fcn import SRC DST": "any labels into a data folder"},
    "onnx deploy": {"fcn export RUN -o NET.onnx": "write a net as ONNX"},
    "serve web browser": {"fcn page RUN --serve": "try a net in the browser"},
    "runs list results plot": {"fcn report": "write a page over all runs"},
    "migrate upgrade": {"caffe migrate --help": "take over prototxts and weights of Caffe"},
    "time speed": {"caffe time --model M": "time each layer of a net"},
    "download fetch": {"make help": "list the data and weights that can be downloaded"},
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line `arguments` (default: sys.argv); returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name in ("-V", "--version"):
        print(f"fcn {metadata.version('fcn-caffe')}; `caffe info` lists what it runs with")
        return 0
    if name not in COMMANDS:
        print(f"error: fcn has no command '{name}'{advice(name)}\n\n{usage()}", file=sys.stderr)
        return 2
    sys.argv = [f"fcn {name}", *rest]       # argparse names the program so
    try:
        with ending_quietly():
            from fcn.solvers.processes import torchrun
            if name not in TOGETHER and torchrun.has_nothing_to_do(sys.argv[0]):
                return 0
            command = importlib.import_module(COMMANDS[name][0]).main
        return command() or 0
    except UserError as error:      # RANK or WORLD_SIZE in the environment is no number
        print(f"error: {error}", file=sys.stderr)
    return 1


def advice(name: str) -> str:
    """What somebody who typed a command that there is not may have meant."""
    typed = name.lower().lstrip("-")
    guesses = {guess: done for guesses, done in DONE_BY.items() for guess in guesses.split()}
    if typed not in guesses and (meant := did_you_mean(typed, COMMANDS)):
        return meant
    begun = [guess for guess in guesses if len(typed) > 2 and guess.startswith(typed)]
    done = guesses.get(nearest(typed, guesses) or "".join(begun[:1]), {})
    width = max(map(len, done), default=0)
    return "; use" * bool(done) + "".join(f"\n    {command:<{width}}   {purpose}"
                                         for command, purpose in done.items())


def usage() -> str:
    """The commands, one a line."""
    lines = [f"    fcn {name:<9} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: fcn COMMAND ...\n", *lines, "",
                      "fcn COMMAND --help says more, fcn --version prints the version."])
