"""Reads damaged files: python worker.py FOLDER, then `FORMAT SEED` on each line of its input.

For each it prints a line: ok, own (an error of the project), or the other error.
"""

import os
import resource
import sys
import traceback
import warnings
from pathlib import Path

from mutations import mutated
from samples import FORMATS

import caffe
from segdata.errors import UserError

MEMORY = 4 << 30


def main() -> None:
    warnings.simplefilter("ignore")
    caffe.init_log(3)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    whole: dict[str, tuple[Path, bytes]] = {}
    for line in sys.stdin:
        name, seed = line.strip().rsplit(" ", 1)
        form = FORMATS[name]
        if name not in whole:
            folder = Path(sys.argv[1]) / f"{os.getpid()}" / name.replace(" ", "_")
            folder.mkdir(parents=True)
            path = form.make(folder)
            form.read(path)         # the whole one is read without an error
            whole[name] = path, path.read_bytes()
        path, content = whole[name]
        path.unlink()
        path.write_bytes(mutated(content, int(seed)))
        try:
            form.read(path)
            outcome = "ok"
        except (caffe.CaffeError, UserError):
            outcome = "own"
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            outcome = (f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
                       ).replace("\n", " ")
        print(outcome, file=answers, flush=True)


if __name__ == "__main__":
    main()
