"""A pass and a training step at 500x500 in each precision, beside PyTorch's own net."""

import fcntl
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from children import side_by_side
from part import Part

import caffe
import torch_fcn8s
from subjects import inputs, pycaffe, pytorch

PRECISIONS = ("tf32", "bf16", "fp32")
GOALS = {"forward": 3.0, "step": 9.0}       # milliseconds, in tf32
PEER, LEAD = "torch eager", 1.5             # how many times faster than that
RUNS = 30

Runs = dict[str, Callable[[], Any]]


def main() -> None:
    part = Part(__doc__, "precision", "lock")
    if part.given.precision:
        measure_all(part, part.given.precision)
    else:
        in_processes(part)
    part.end()


def in_processes(part: Part) -> None:
    """A process for each precision: they build and compile side by side, and measure in turns."""
    names = PRECISIONS[:2] if part.dry else PRECISIONS
    for found in side_by_side(part, __file__, names, "--lock", str(part.folder / "lock")):
        rows = {name: each["rows"] for name, each in found.items() if "rows" in each}
        part.found(table(rows), **rows, goals=goals(rows))


def table(rows: dict[str, dict]) -> str:
    """A line for each precision, task and subject."""
    lines = [f"{'precision':10}{'task':9}{'subject':30}{'ms':>9}{'issued':>9}{'MiB':>9}"]
    for precision, found in rows.items():
        for task, subject in found.items():
            for name, row in subject.items():
                values = (f"{row['ms']:9.2f}{row['issued_ms']:9.2f}{row['mib']:9.0f}"
                          if "ms" in row else f"  none: {row['absent']}")
                lines.append(f"{precision:10}{task:9}{name:30}{values}")
    return "\n".join([*lines, *(f"{name}: {'met' if met else 'missed'}"
                                for name, met in goals(rows).items())])


def goals(rows: dict[str, dict]) -> dict[str, bool]:
    """{goal: whether it is met}, of those that can be told."""
    found = {}
    for task, most in GOALS.items():
        of_task = rows.get("tf32", {}).get(task, {})
        ms, peer = (of_task.get(name, {}).get("ms") for name in ("engine", PEER))
        if ms:
            found[f"{task} in tf32 at most {most:g} ms ({ms:.2f})"] = ms <= most
        if ms and peer:
            found[f"{task} in tf32 at least {LEAD} times as fast as {PEER} "
                  f"({peer / ms:.2f})"] = peer / ms >= LEAD
    return found


# one precision

def measure_all(part: Part, precision: str) -> None:
    prefix, width = ("", 1 / 64) if part.dry else ("gpu_", 1)
    if part.dry:
        inputs.SIZES.update({f"{task}-500": [(40, 40)] for task in GOALS})
        torch_fcn8s.FCN8s = partial(torch_fcn8s.FCN8s, width=width)
    lock, rows = Path(part.given.lock), {task: {} for task in GOALS}
    peers = {}
    set_torch(precision)
    for task in GOALS:      # compiling first, all processes at once
        with holding(lock, fcntl.LOCK_SH):
            peers[task] = torch_subjects(f"{prefix}{task}-500", task, precision, part, rows[task])
    for task in GOALS:
        for name, run in peers.pop(task).items():
            take(part, lock, rows, task, name, run)
    torch.backends.cudnn.benchmark = False      # the engine sets it itself
    part.use(precision)
    net, read = pycaffe.forward(f"{prefix}forward-500", part.folder, width)
    image, = inputs.images(f"{prefix}forward-500")
    read()
    take_engine(part, lock, rows, "forward", net, partial(forward, net, image))
    take(part, lock, rows, "forward", "engine, scores copied back", read)
    del net
    take_engine(part, lock, rows, "step",
                *pycaffe.step(f"{prefix}step-500", part.folder, width))


def forward(net: caffe.Net, image: np.ndarray) -> None:
    """From an array of the host to scores that stay where they are."""
    net.blobs["data"].data[...] = image
    net.run_forward()


def take_engine(part: Part, lock: Path, rows: dict, task: str, net: caffe.Net,
                run: Callable[[], Any]) -> None:
    """Measure the engine, in the default precision also without what it does for speed."""
    take(part, lock, rows, task, "engine", run)
    for name in ("cuda_graphs", "elide_padding") if part.given.precision == "tf32" else ():
        setattr(net, name, False)
        take(part, lock, rows, task, f"engine, {name} = False", run)
        setattr(net, name, True)


def torch_subjects(name: str, task: str, precision: str, part: Part, rows: dict) -> Runs:
    """{subject: function that runs it}, compiled; what fails to compile is said in `rows`."""
    make = pytorch.forward if task == "forward" else pytorch.step
    cast = partial(InBf16, kind="cpu" if part.dry else "cuda") if precision == "bf16" \
        else lambda model: model
    backend = "aot_eager" if part.dry else "inductor"
    made = {PEER: make(name, None, wrap=cast),
            "torch eager, channels last": make(name, None, channels_last=True, wrap=cast)}
    try:
        compiled = make(name, None, channels_last=True,
                        wrap=lambda model: torch.compile(cast(model), backend=backend))
        compiled()
        made["torch compiled, channels last"] = compiled
    except Exception as error:      # a compiler that is not there, or fails, says so in many ways
        rows["torch compiled, channels last"] = {
            "absent": f"{type(error).__name__}: {str(error)[:200]}"}
    return made


class InBf16(torch.nn.Module):
    """A model under autocast."""

    def __init__(self, model: torch.nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.kind, torch.bfloat16):
            return self.model(image).float()


def set_torch(precision: str) -> None:
    """What a user of PyTorch would set."""
    fast = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
    torch.backends.cudnn.benchmark = fast


def take(part: Part, lock: Path, rows: dict, task: str, name: str, run: Callable[[], Any]) -> None:
    """Measure a subject alone on the GPU, and say all rows."""
    with holding(lock, fcntl.LOCK_EX):
        rows[task][name] = measure(part, run)
    part.found(name, rows=rows)


def measure(part: Part, run: Callable[[], Any]) -> dict[str, float]:
    """The median milliseconds of RUNS, until the GPU is done, and until they are issued; MiB."""
    if not part.dry:
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for number in range(2 if part.dry else 1000):       # a GPU needs a moment to speed up
        run()
        part.wait()
        if number >= 4 and time.perf_counter() - begin > 0.5:
            break
    seconds, issued = [], []
    for _ in range(2 if part.dry else RUNS):
        start = time.perf_counter()
        run()
        issued.append(time.perf_counter() - start)
        part.wait()
        seconds.append(time.perf_counter() - start)
    return {"ms": 1e3 * statistics.median(seconds), "least_ms": 1e3 * min(seconds),
            "issued_ms": 1e3 * statistics.median(issued), "mib": part.memory()["allocated"]}


@contextmanager
def holding(path: Path, how: int) -> Iterator[None]:
    """With a lock: whoever compiles shares it, who measures has it alone."""
    with open(path, "a") as file:
        fcntl.flock(file, how)
        yield


if __name__ == "__main__":
    main()
