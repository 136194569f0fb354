"""Which of several ways to compute the same is the fastest on this processor, found by measuring.

The ways differ in rounding. So that a training that is resumed, and each of several processes,
computes alike, a choice is made once for each kind of processor, and kept in a file: what is there
first is what all take. Where no file can be kept, the first way is taken and nothing is measured.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch

from ....log import logger

# how often each way is measured: what takes little time more often, for its times vary more
FEW_TURNS, MOST_TURNS = 4, 20
SHORT = 0.05        # seconds in all after which FEW_TURNS are enough
ENOUGH = 0.4        # seconds in all after which two turns are enough
MARGIN = 0.9        # of the first way's time: what another takes at most to be chosen

_chosen: dict[str, str] = {}


def fastest(task: str, ways: Mapping[str, Callable[[], object]]) -> str:
    """The name of the way to do `task`, a text that names operation and shapes, from {name:
    function that does it}. The first way is what is done unless another is faster by a tenth."""
    if len(ways) == 1:
        return next(iter(ways))
    task = f"{task}: {', '.join(ways)}"
    if task not in _chosen:
        path = folder() / hashlib.sha256(f"{processor()}\n{task}".encode()).hexdigest()[:32]
        name = _read(path) or _kept(path, task, ways)
        _chosen[task] = name if name in ways else next(iter(ways))
    return _chosen[task]


def folder() -> Path:
    """Where the choices are kept: `caffe/kernels` in $XDG_CACHE_HOME, or in ~/.cache."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache_home) / "caffe" / "kernels"


@cache
def processor() -> str:
    """The kind of processor and the release of PyTorch, which brings the libraries."""
    try:
        described = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        kind = [line.partition(":")[2].strip() for line in described
                if line.startswith(("vendor_id", "cpu family", "model", "stepping"))]
    except OSError:
        kind = []
    kind += [platform.machine(), platform.processor()]      # all there is where Linux says no more
    return " / ".join([*kind, torch.backends.cpu.get_cpu_capability(), torch.__version__])


def _read(path: Path) -> str:
    """The name that a file keeps in its last line; empty if there is none."""
    try:
        return path.read_text().splitlines()[-1]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def _kept(path: Path, task: str, ways: Mapping[str, Callable[[], object]]) -> str:
    """What measuring finds, or what another process has found and kept meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=path.parent)
    except OSError:
        return next(iter(ways))
    _say_once()
    try:
        with os.fdopen(handle, "w") as file:
            file.write(f"{processor()}\n{task}\n{_measured(ways)}\n")
            file.flush()
            os.fsync(file.fileno())     # a power cut leaves the choice, or no file
        os.link(made, path)         # whole, and only if there is none
    except FileExistsError:
        pass
    except OSError:                 # a full disk, or one without links
        return next(iter(ways))
    finally:
        os.unlink(made)
    return _read(path)


@cache
def _say_once() -> None:
    logger.info("finding the fastest ways to compute large layers on this kind of processor, which "
                "makes first passes slow; what is found is kept in %s", folder())


def _measured(ways: Mapping[str, Callable[[], object]]) -> str:
    """The fastest of the ways, tried in turns, each at its best: first times may be anything."""
    least, began = dict.fromkeys(ways, float("inf")), time.perf_counter()
    with torch.no_grad():
        for turn in range(1, MOST_TURNS + 1):
            for name, run in ways.items():
                start = time.perf_counter()
                run()
                least[name] = min(least[name], time.perf_counter() - start)
            took = time.perf_counter() - began
            if turn > 1 and took > ENOUGH or turn >= FEW_TURNS and took > SHORT:
                break
    first, *_ = ways
    best = min(least, key=lambda name: least[name])
    return best if least[best] <= MARGIN * least[first] else first
