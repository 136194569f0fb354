"""What the command lines have in common."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from fcn.solvers.runs import INT_MAX, RunError
from fcn.solvers.torchrun import is_first
from segdata.errors import UserError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
           if hasattr(signal, name)]        # Windows has no SIGHUP

TYPED = "FCN_TYPED"     # in the environment: the command line of make, as the Makefile says it


def add_device(parser: argparse.ArgumentParser, learns: bool = True) -> None:
    """Add --gpu, --cpu and --precision, which `set_device` takes; with "auto" where nothing
    learns."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=whole, metavar="N", help="run on GPU N")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")
    add_precision(parser, learns)


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """Add --weights and --best: which snapshot of a run is scored."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--weights", help="default: the run's newest snapshot")
    which.add_argument("--best", action="store_true",
                       help="take the snapshot with the best mean IU on the validation set")


def add_precision(parser: argparse._ActionsContainer, learns: bool = True) -> None:
    """Add --precision, which `set_device` takes; with "auto" where nothing learns."""
    auto = "" if learns else "; auto: bf16 where the device has it, which costs scores nothing"
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16") + ("auto",) * (not learns),
                        help="of convolutions and matrix products (default tf32; on CPUs that is "
                             f"fp32 with Winograd's method, and fp32 keeps plain sums{auto})")


def keep(text: str) -> int | None:
    """An argparse type: a number of snapshots, or "all", which is None."""
    if text == "all":
        return None
    with suppress(argparse.ArgumentTypeError):
        return int(positive(int)(text))
    raise argparse.ArgumentTypeError(f"expected a whole number above 0, or 'all', got '{text}'")


def positive(kind: type) -> Callable[[str], float]:
    """An argparse type: a number above 0, int or float as `kind` says."""
    def number(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if 0 < value < (INT_MAX if kind is int else float("inf")):
                return value
        raise argparse.ArgumentTypeError(
            f"expected a {'whole ' * (kind is int)}number above 0, got '{text}'")
    return number


def whole(text: str) -> int:
    """An argparse type: a whole number from 0 on."""
    with suppress(ValueError):
        if (value := int(text)) >= 0:
            return value
    raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got '{text}'")


def seed(text: str) -> int:
    """An argparse type: a whole number from 0 on, as NumPy's generators take it."""
    return whole(text)


_gpu: int | None = None     # the one that was chosen; pycaffe cannot be asked


def runs_on_gpu() -> bool:
    """Whether `set_device` chose a GPU."""
    return _gpu is not None


def set_device(args: argparse.Namespace) -> str:
    """Choose the device, and have Caffe's log silent, for progress bars say what it says. Returns
    a note of what `--precision auto` chose, '' where nobody asked for that.

    Raises RunError where the GPU cannot be used, or the precision not be chosen, which BVLC's
    pycaffe does not let one do.
    """
    import caffe
    global _gpu
    _gpu = args.gpu
    if "GLOG_minloglevel" not in os.environ:
        caffe.init_log(1)
    if args.precision and not hasattr(caffe, "set_precision"):
        raise RunError(f"--precision {args.precision}: {caffe.__file__} has no set_precision; it "
                       "computes in fp32")
    if args.gpu is None:
        caffe.set_mode_cpu()
    else:
        _use_gpu(args.gpu)
    taken = caffe.set_precision(args.precision) if args.precision else ""
    if args.precision != "auto":
        return ""
    is_fp32 = args.gpu is None and taken == "tf32"
    return (f"precision {taken}" + " (on a CPU fp32 with Winograd's method)" * is_fp32
            + ", chosen by --precision auto")


def _use_gpu(number: int) -> None:
    import caffe
    try:
        caffe.set_device(number)
        caffe.set_mode_gpu()
    except reported() as error:
        raise RunError(f"{str(error).partition('. ')[0]}. Without --gpu N, or with --cpu in its "
                       "place, it runs on the CPU") from None


def reported() -> tuple[type[BaseException], ...]:
    """The errors that a user can mend: the project's own, Caffe's, those of files."""
    import caffe
    caffes = (caffe.CaffeError,) if hasattr(caffe, "CaffeError") else ()       # BVLC's has none
    return (UserError, OSError, *caffes)


# signals

class Stopped(KeyboardInterrupt):
    """The end that a signal asks for. number : of the signal; note : what there is to say of it"""

    def __init__(self, number: int, note: str = "") -> None:
        super().__init__(note)
        self.number, self.note = number, note

    def __reduce__(self) -> tuple:
        return Stopped, (self.number, self.note)


class Pending:
    """A signal that came and is not yet acted on.

    number : the signal that came, 0 for none; waits : False while a signal may stop the program
    at once
    """
    number, waits = 0, True

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nothing can be lost: have signals raise Stopped, one that has come already too."""
        self.waits = False
        try:
            if self.number:
                raise Stopped(self.number)
            yield
        finally:
            self.waits = True


@contextmanager
def deferring_signals() -> Iterator[Pending]:
    """Have the first of SIGNALS wait in the `Pending` yielded; a second raises Stopped, and so
    does the end, where one that came was not acted on: what follows must not begin."""
    pending = Pending()

    def note(number: int, frame: FrameType | None) -> None:
        if not pending.waits or pending.number:
            stop(number, frame)
        pending.number = number
        if is_first():
            tell(f"\n{signal.Signals(number).name}: finishing the iterations under way, then a "
                 "snapshot; a second signal stops at once")

    with handling_signals(note):
        yield pending
    if pending.number:
        raise Stopped(pending.number, "what was under way is finished")


@contextmanager
def handling_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have SIGNALS call `handler`; those that the caller ignores, as nohup does, stay ignored."""
    before = {}
    if threading.current_thread() is threading.main_thread():       # no other can set handlers
        before = {number: found for number in SIGNALS
                  if (found := signal.getsignal(number)) is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found or signal.SIG_DFL)


def stop(number: int, frame: FrameType | None = None) -> NoReturn:
    """A handler of signals: raise Stopped."""
    raise Stopped(number)


def tell(text: str) -> None:
    """Print to stderr. What went to a terminal that is gone (SIGHUP) goes nowhere from then on:
    an error there would take the work with it."""
    for number in (1, 2):
        try:
            os.write(number, b"")
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def unheard(stream: TextIO) -> None:
    """Have what is written to a stream whose reader is gone go nowhere from now on."""
    with suppress(OSError):         # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def same_command() -> str:
    """The command that runs, to be run again, without --fresh: as make was called, where that
    runs it."""
    program, *arguments = [each for each in sys.argv
                           if len(each) < 4 or not "--fresh".startswith(each)]
    is_fresh = len(arguments) < len(sys.argv) - 1
    typed = os.environ.get(TYPED, "")
    if typed and not is_fresh and not set("'\"") & set(typed):  # make loses how those were quoted
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


@contextmanager
def report_errors(continues: bool = False) -> Iterator[None]:
    """End with one message and exit status 1, no traceback, for errors that users can mend.

    All others are bugs. SIGINT (Ctrl-C) ends with exit status 130, SIGTERM with 143, SIGHUP with
    129, and a sentence; `continues`: which names the command that goes on from there.
    """
    for stream in (sys.stdout, sys.stderr):     # class names are of any script
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with handling_signals(stop):
            yield
    except BrokenPipeError:     # `... | head`: whoever read the output has had enough
        unheard(sys.stdout)
        sys.exit(1)
    except reported() as error:
        sys.exit(f"error: {error}" if is_first() else f"error: rank {os.environ['RANK']}: {error}")
    except KeyboardInterrupt as error:
        number = getattr(error, "number", signal.SIGINT)
        if not is_first():
            sys.exit(128 + number)
        note = getattr(error, "note", "") or "snapshots that are there are kept" * continues
        tell(f"stopped by {signal.Signals(number).name}" + f": {note}" * bool(note)
             + f"; continue with\n    {same_command()}" * continues)
        sys.exit(128 + number)
