"""Command lines in messages: the one that runs, and others."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

# in the environment
TYPED = "FCN_TYPED"     # the command line of make, as the Makefile says it
THREADS = "OMP_NUM_THREADS"     # they decide how sums are rounded, and so what is trained
OF_ALL = "FCN_THREADS"      # in several processes: THREADS of the command that started them


def same_command(is_fresh: bool = False) -> str:
    """The command that runs, to be run again: as make was called, where that runs it, with as many
    threads. is_fresh : whether to keep --fresh; without it, the command continues the run"""
    # what starts one of several processes gives it a number, and perhaps threads
    threads = os.environ.get(OF_ALL if "RANK" in os.environ else THREADS, "")
    return f"{THREADS}={shlex.quote(threads)} " * bool(threads) + _without_threads(is_fresh)


def _without_threads(is_fresh: bool) -> str:
    program, *arguments = [each for each in sys.argv
                           if is_fresh or len(each) < 4 or not "--fresh".startswith(each)]
    is_changed = len(arguments) < len(sys.argv) - 1
    typed = os.environ.get(TYPED, "")
    if typed and not is_changed and not set("'\"") & set(typed):  # make loses how those were quoted
        return typed
    python = os.path.relpath(sys.executable) if sys.executable.startswith(os.getcwd() + os.sep) \
        else sys.executable
    if program.startswith("fcn "):      # a subcommand, as python/fcn/command.py names it
        name, subcommand = program.split()
        return shlex.join([os.path.join(os.path.dirname(python), name), subcommand, *arguments])
    return shlex.join([python, program, *arguments])


def near(path: str | Path) -> str:
    """A path from the current folder where it lies in it."""
    path = Path(os.path.abspath(path))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def fcn_command(*words: str | Path) -> str:
    """A command line of the `fcn` that belongs to this Python."""
    return shlex.join([near(Path(sys.executable).with_name("fcn")), *map(str, words)])
