"""Where and with what a run was trained, in circumstances.json in its folder."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fcn.nets.source import ROOT
from fcn.solvers.console.commands import same_command
from fcn.solvers.console.device import runs_on_gpu
from segdata.files import replacing

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run

FILE = "circumstances.json"
PACKAGES = ("fcn-caffe", "torch", "numpy", "pillow")


def record_circumstances(run: Run, published: str, workers: int) -> None:
    """Write those of the training that begins, or goes on, in this process, one of so many.
    published : as of the experiment"""
    import caffe
    content = {
        "begun": time.strftime("%Y-%m-%d %H:%M:%S %z"), "command": same_command(),
        "in": os.getcwd(),
        "device": f"{workers} workers, each on " * (workers > 1) + _device(), "commit": _commit(),
        "versions": {"Python": platform.python_version(), **_versions(),
                     "caffe": getattr(caffe, "__version__", "?")},
        "system": platform.platform(terse=True), "published": published}
    with replacing(run.directory / FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def circumstances(run: Run) -> dict:
    """What `record_circumstances` wrote; {} where there is nothing, or it is damaged."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads((run.directory / FILE).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def last_command(run: Run) -> str:
    """The command line that began `run`, or went on with it, last, to be typed in the current
    folder; '' where none is known."""
    known = circumstances(run)
    command, folder = known.get("command"), known.get("in", os.getcwd())
    if not isinstance(command, str) or not isinstance(folder, str):
        return ""
    return command if folder == os.getcwd() else f"cd {shlex.quote(folder)} && {command}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _device() -> str:
    """The GPU or processor that trains, and with how many threads."""
    with suppress(Exception):       # the original Caffe needs no torch
        import torch
        if runs_on_gpu():
            return torch.cuda.get_device_name()
        return f"{_processor()}, {torch.get_num_threads()} thread(s)"
    return "a GPU" if runs_on_gpu() else _processor()


def _processor() -> str:
    with suppress(OSError):
        if named := re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M):
            return named[1]
    return platform.processor() or platform.machine()


@functools.cache
def _commit() -> str:
    """That of the checkout, "-dirty" after it where files differ; "" where there is none."""
    if not (ROOT / ".git").exists():
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty",
                               "--exclude=*", "--abbrev=12"], capture_output=True, text=True,
                              timeout=10, check=True).stdout.strip()
    return ""
