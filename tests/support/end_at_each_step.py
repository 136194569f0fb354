"""Run something in children of this process that end, as by SIGKILL, at its n-th change of files.

    python end_at_each_step.py snapshot FOLDER          a solver's snapshot, at every step
    python end_at_each_step.py run DATA FOLDER EVERY    a run of the tools, at each EVERY-th step

Steps are the calls that change files, in any frame of Python. After each child the folder is
looked at: training goes on from there, and comes to the same end. Prints the number of steps.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

CHANGES = {"write", "writelines", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir",
           "chmod", "truncate"}
KILLED = 9


def ending_at(limit: int) -> Callable[[FrameType, str, Any], None]:
    """A profiler that ends the process before the call number `limit`."""
    count = 0

    def look(frame: FrameType, event: str, function: Any) -> None:
        nonlocal count
        if event == "c_call" and (function.__name__ in CHANGES or function is os.open):
            count += 1
            if count == limit:
                os._exit(KILLED)
    return look


def in_child(do: Callable[[], object], limit: int = 0) -> int:
    """do() in a child that ends at that step (0: at none); returns its exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            sys.setprofile(ending_at(limit) if limit else None)
            do()
            sys.setprofile(None)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_each_step(do: Callable[[], object], check: Callable[[], None], every: int = 1, first: int = 1
                 ) -> int:
    """do() in a child for each step, and check() after each; returns the number of children."""
    limit = first
    while status := in_child(do, limit):
        assert status == KILLED, f"step {limit}: exit status {status}"
        try:
            check()
        except BaseException:
            print(f"after step {limit}", file=sys.stderr)
            raise
        limit += every
    check()
    return limit


def of_snapshot(folder: Path) -> int:
    import caffe
    os.chdir(folder)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(2)
    solver.snapshot()
    first = solver.net.params["fc"][0].data.copy()
    solver.step(2)
    second = solver.net.params["fc"][0].data.copy()

    def check() -> None:
        """A state that has its name has weights, and both can be read."""
        states = sorted(path for suffix in ("", ".h5")
                        for path in folder.glob(f"s_iter_*.solverstate{suffix}"))
        assert states[0].name.startswith("s_iter_2.")
        for path in states:
            again = caffe.get_solver("solver.prototxt")
            again.restore(str(path))
            expected = first if path.name.startswith("s_iter_2.") else second
            assert (again.net.params["fc"][0].data == expected).all()
        for path in folder.glob("s_iter_4*"):
            path.unlink()
    return at_each_step(solver.snapshot, check)


def of_run(data: Path, folder: Path, every: int) -> int:
    import matplotlib.pyplot  # noqa: F401  children need not load it

    import caffe  # noqa: F401
    from caffe.proto import caffe_pb2
    from fcn.nets.source import voc
    from fcn.solvers import training
    from fcn.solvers.experiments.experiment import Experiment
    from fcn.solvers.training import loop
    from segdata.embedded import voc as embedded_voc
    loop.LOG_EVERY = 1

    def train(build: Path) -> None:
        training.train(Experiment(
            "tiny", {}, 1e-9, "fcn32s", voc(data, 7), {"label": embedded_voc.CLASSES},
            iterations=2, interval=1, build=build, net=dict(width=1 / 64, filler="msra")), keep=1)

    def left(build: Path) -> dict[str, bytes]:
        found = {name: (build / "tiny" / name).read_bytes()
                 for name in ("log.csv", "score.json", "settings.json", "classes.txt")}
        net = caffe_pb2.NetParameter.FromString(
            (build / "tiny" / "snapshot" / "train_iter_2.caffemodel").read_bytes())
        found["log.csv"] = b"\n".join(          # but for the time, which no two have in common
            b",".join(field for number, field in enumerate(line.split(b",")) if number != 5)
            for line in found["log.csv"].splitlines())
        return {**found, "weights": b"".join(blob.SerializeToString() for layer in net.layer
                                             for blob in layer.blobs)}

    train(folder / "whole")         # here, so that children need not load what it loads
    expected = left(folder / "whole")

    def check() -> None:
        """The same command goes on, and comes to the same end."""
        assert in_child(lambda: train(folder / "cut")) == 0
        for name, content in left(folder / "cut").items():
            assert content == expected[name], name
        assert not list((folder / "cut").rglob("*.part"))
        shutil.rmtree(folder / "cut")
    return at_each_step(lambda: train(folder / "cut"), check, every, every)


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, *arguments = sys.argv[1:]
    if what == "snapshot":
        print(of_snapshot(Path(arguments[0])))
    else:
        print(of_run(Path(arguments[0]), Path(arguments[1]), int(arguments[2])))
