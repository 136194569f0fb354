"""On which devices a training runs: one, or several, with a process for each."""

from __future__ import annotations

import argparse
from contextlib import suppress

from fcn.solvers.console.arguments import add_precision, positive, whole
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import RunError
from fcn.solvers.processes import torchrun
from fcn.start import is_launched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --gpu, --cpu, --precision and what is said of several processes."""
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", type=gpus, metavar="N[,N...]",
                        help="run on GPU N; on several, or all, with a process for each, which "
                             "train together")
    device.add_argument("--cpu", action="store_true", help="run on the CPU (the default)")
    add_precision(parser)
    group = parser.add_argument_group("several processes")
    group.add_argument("--workers", type=positive(int), metavar="N",
                       help="on the CPU: train in N processes (default 1)")
    group.add_argument("--same-images", action="store_true",
                       help="have N processes see as many images as one: iterations / N, rate x N, "
                            "momentum^N (default: N times as many images)")
    group.add_argument("--max-restarts", type=whole, default=0, metavar="N",
                       help="begin anew from the newest snapshot, N times at most, where a process "
                            "ends (default 0)")


def gpus(text: str) -> list[int]:
    """An argparse type: numbers of GPUs, or "all": GPU 0 where there are none, to be told so."""
    if text == "all":
        import torch
        return list(range(torch.cuda.device_count())) or [0]
    with suppress(argparse.ArgumentTypeError):
        numbers = [whole(number) for number in text.split(",")]
        if len(set(numbers)) == len(numbers):
            return numbers
    raise argparse.ArgumentTypeError("expected the number of a GPU, several different ones as "
                                     f"0,1, or all, got '{text}'")


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """End with what is wrong with options that do not go together."""
    if args.workers and args.gpu:
        parser.error("--workers N is for the CPU; on GPUs there is a process for each: --gpu 0,1")
    is_several = is_launched() or asked(args) > 1
    for option, given in (("--same-images", args.same_images),
                          ("--max-restarts", args.max_restarts)):
        if given and not is_several:
            parser.error(f"{option} goes with several processes: --gpu 0,1 or --workers N")


def asked(args: argparse.Namespace) -> int:
    """How many processes the command line asks for on this machine."""
    return len(args.gpu) if args.gpu else args.workers or 1


def take(args: argparse.Namespace) -> None:
    """Choose the device of this process. Raises RunError where that cannot be, or there are not as
    many processes as devices."""
    count, place = asked(args), torchrun.place()
    here = place.local_count
    if is_launched() and count != here and (args.gpu or args.workers):
        given = f"--gpu {','.join(map(str, args.gpu))}" if args.gpu else f"--workers {args.workers}"
        raise RunError(f"{given} is {count} process{'es' * (count > 1)} on this machine, torchrun "
                       f"has started {here}: give --nproc-per-node {count}, or as many GPUs as "
                       "there are processes")
    args.gpu = args.gpu[place.local_rank] if args.gpu else None
    set_device(args)
