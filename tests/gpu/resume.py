"""A training that is killed and resumed ends with the bits of one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from part import Part

import caffe
from subjects import photographs

SNAPSHOT, KILLED, END = 6, 9, 14        # iterations


def main() -> None:
    part = Part(__doc__, "run", "data")
    if part.given.run:
        train(part, part.given.run, Path(part.given.data))
    else:
        compare(part)
    part.end()


def compare(part: Part) -> None:
    """Three runs: one is killed and goes on, two are not."""
    sizes = [(30, 40), (40, 30)] if part.dry else [(90, 120), (120, 90), (100, 100)]
    photographs.write(part.folder / "data", sizes * 3)
    first = [start(part, name) for name in ("killed", "whole", "again")]
    ends = [process.wait() for process in first]
    part.expect(ends == [-signal.SIGKILL, 0, 0], f"the three runs ended with {ends}")
    part.expect(start(part, "killed").wait() == 0, "the resumed run failed")
    whole, again, resumed = (state(part.folder / name) for name in ("whole", "again", "killed"))
    deterministic, equal = (differing(whole, other) for other in (again, resumed))
    part.found(f"resumed beside not interrupted: {told(equal)}; two that were not: "
               f"{told(deterministic)}", resumed_differs=equal, control_differs=deterministic)
    random = [name for name in equal if name.startswith("random")]
    part.expect(not random, f"the states of random generators differ: {', '.join(random)}")
    part.expect("random cuda" in whole or part.dry, "the snapshot has no state of the GPU's random "
                                                    "numbers")
    worse = max(equal.values(), default=0) > 10 * max(deterministic.values(), default=0)
    part.expect(not worse, "the resumed run ends with other weights")


def start(part: Part, name: str) -> subprocess.Popen:
    """A process that trains NAME from its newest snapshot to its end."""
    (part.folder / name).mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, __file__, "--run", str(part.folder / name), "--data",
         str(part.folder / "data"), *["--dry-run"] * part.dry],
        env={**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"})


def train(part: Part, folder: str, data: Path) -> None:
    """Train in a folder, from the newest snapshot there; a run called killed is killed the first
    time."""
    from fcn import nets
    from fcn.nets.source import folder as source
    part.use("fp32")
    torch.use_deterministic_algorithms(True, warn_only=True)
    run = Path(folder)
    net = nets.write_prototxt(run / "train.prototxt", nets.fcn(
        "fcn8s", "train", source=source(data, 21), width=1 / 64 if part.dry else 1 / 8,
        filler="msra"))
    path = run / "solver.prototxt"
    path.write_text(f'train_net: "{net}" base_lr: 1e-9 lr_policy: "fixed" momentum: 0.9 '
                    f'weight_decay: 0.0005 random_seed: 3 snapshot_prefix: "{run}/s"')
    solver = caffe.SGDSolver(str(path))
    snapshot = run / f"s_iter_{SNAPSHOT}.solverstate"
    if snapshot.exists():
        solver.restore(str(snapshot))
    else:
        solver.step(SNAPSHOT)
        solver.snapshot()
        if run.name == "killed":
            solver.step(KILLED - SNAPSHOT)
            part.wait()
            os.kill(os.getpid(), signal.SIGKILL)
    solver.step(END - solver.iter)
    solver.snapshot()


def state(run: Path) -> dict[str, np.ndarray]:
    """What the last snapshot of a run holds: weights, histories, random states."""
    from caffe.engine import values
    from caffe.formats import caffemodel
    path = run / f"s_iter_{END}.solverstate"
    found = {f"{name} {i}": array for name, arrays in caffemodel.read_caffemodel(
        str(path.with_suffix(".caffemodel"))) for i, array in enumerate(arrays)}
    found.update({f"history {i}": array
                  for i, array in enumerate(caffemodel.read_solverstate(str(path))[1])})
    random = values.decode(json.loads(Path(f"{path}.resume").read_text())["content"]["random"])
    found.update({f"random {name}": np.frombuffer(repr(
        value.tolist() if isinstance(value, torch.Tensor) else value).encode(), np.uint8)
        for name, value in random.items() if name in ("torch", "cuda")})
    return found


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, float]:
    """{name: largest difference, of the largest value}, of what is not equal to the bit."""
    return {name: float(np.abs(array.astype(float) - other[name]).max()
                        / max(np.abs(array).max(), 1e-30)) if array.shape == other[name].shape
            else float("inf")
            for name, array in one.items() if not np.array_equal(array, other[name])}


def told(differences: dict[str, float]) -> str:
    if not differences:
        return "equal to the bit"
    name = max(differences, key=lambda name: differences[name])
    return f"{len(differences)} arrays differ, {name} by {differences[name]:.1e}"


if __name__ == "__main__":
    main()
