"""What the original and its forks computed, beside what the engine computes on the GPU in fp32."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from part import Part, is_lost, working_in

SHARE, TINY = 1e-4, 5e-6        # of the largest value of an array, and beside that

Compared = list[tuple[str, Any, Any]]       # key, actual, expected


def main() -> None:
    part = Part(__doc__)
    part.use("fp32")
    worst, count = (0.0, "none"), 0
    for name, run in recordings(part.dry):
        folder = part.folder / name.replace("/", "_")
        folder.mkdir()
        try:
            with working_in(folder):
                found = max(((excess(*pair), key) for key, *pair in run(folder)), default=(0, ""))
        except Exception as error:      # the next recording may go well
            part.fail(f"{name}: {type(error).__name__}: {error}")
            if is_lost(error):
                break
            continue
        count += 1
        worst = max(worst, (found[0], f"{name}: {found[1]}"))
        part.expect(found[0] <= 1, f"{name}: {found[1]} differs by {found[0]:.2g} of the allowed "
                                   f"{SHARE:g} of its largest value")
    part.found(f"{count} recordings compared; the worst has {100 * worst[0]:.0f}% of the allowed "
               f"error ({worst[1]})", recordings=count, worst_share=worst[0] * SHARE)
    part.end()


def recordings(dry: bool) -> Iterator[tuple[str, Any]]:
    """(name, function of a folder that gives what is compared) of each."""
    from test_recorded_sequences import RECORDINGS

    from fork_runs import FORKS
    from golden_runs import NETS, SOLVERS, run_net
    some = slice(0, None, 40 if dry else 1)
    for path in NETS[some]:
        yield f"layers/{path.stem}", lambda folder, path=path: run_net(path, folder)
    for path in SOLVERS[some]:
        yield f"solvers/{path.stem}", lambda folder, path=path: solver(path, folder)
    for path in RECORDINGS[some]:
        yield f"sequences/{path.stem}", lambda folder, path=path: sequence(path, folder)
    for path in FORKS[some]:
        yield f"forks/{path.stem}", lambda folder, path=path: fork(path, folder)


def solver(path: Path, folder: Path) -> Compared:
    from golden_runs import load_solver, run_solver
    run = np.load(path)
    return run_solver(load_solver(run, folder), run, range(8))


def sequence(path: Path, folder: Path) -> Compared:
    import json

    from test_recorded_sequences import play
    recording = dict(np.load(path))
    net = play(json.loads(str(recording.pop("script"))), folder)
    found = []
    for key, expected in recording.items():
        kind, *name, field = key.split("/")
        blob = (net.blobs["/".join(name)] if kind == "blob"
                else net.params["/".join(name[:-1])][int(name[-1])])
        found.append((key, getattr(blob, field), expected))
    return found


def fork(path: Path, folder: Path) -> Compared:
    """But for what differs on purpose."""
    from test_golden_forks import EXCEPT

    from fork_runs import run_fork
    return [(key, actual[:1], expected[:1]) if path.stem == "pspnet_densecrf_3c_two_images"
            else (key, actual, expected) for key, actual, expected in run_fork(path, folder)
            if not key.startswith(tuple(EXCEPT.get(path.stem, ())))]


def excess(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest error as a share of what is allowed."""
    if np.size(actual) != np.size(expected):
        return float("inf")
    error = np.abs(np.ravel(actual) - np.ravel(expected)).max(initial=0)
    return float(error / (TINY + SHARE * np.abs(expected).max(initial=0)))


if __name__ == "__main__":
    main()
