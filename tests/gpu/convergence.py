"""The paper in miniature, trained in each precision: the mean IU of its three stages."""

import json
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

from part import Part
from said import FOUND

PRECISIONS = ("fp32", "tf32", "bf16")
LEAST = 60.0        # of FCN-8s; on CPUs 73 to 83, by seed and precision
SPARE = 10          # seconds before the deadline at which those that train are ended


def main() -> None:
    part = Part(__doc__, "precision", "output")
    if part.given.precision:
        train(part, part.given.precision, Path(part.given.output))
    else:
        in_processes(part)
    part.end()


def train(part: Part, precision: str, folder: Path) -> None:
    """Train the stages, as `fcn demo --gpu 0` does."""
    import tiny
    from fcn.solvers import command, demo, miniature
    if part.dry:
        tiny.shrink()
    command.set_device(Namespace(gpu=None if part.dry else 0, precision=precision))
    found = {}
    for name in demo.STAGES:
        scores = miniature.train(name, folder, 0)[1]["label"]
        found[name] = 100 * scores.mean_iu
        part.found(name, scores=found)


def in_processes(part: Part) -> None:
    """Train in all precisions at once, and compare what they have come to by the deadline."""
    names = PRECISIONS[1:2] if part.dry else PRECISIONS
    outputs = {name: part.folder / f"{name}.txt" for name in names}
    started = {name: subprocess.Popen(
        [sys.executable, __file__, "--precision", name, "--output", str(part.folder / name),
         *["--dry-run"] * part.dry], stdout=output.open("w"), stderr=subprocess.STDOUT)
        for name, output in outputs.items()}
    while any(process.poll() is None for process in started.values()) \
            and time.monotonic() < part.deadline - SPARE:
        time.sleep(0.2)
    rows = {}
    for name, process in started.items():
        if process.poll() is None:
            process.kill()
            part.fail(f"{name}: not at its end in time; {last_losses(part.folder / name)}")
        elif process.returncode:
            part.fail(f"{name}: {outputs[name].read_text()[-1500:]}")
        rows[name] = scores(outputs[name])
        final = rows[name].get("voc-fcn8s")
        if final is not None and not part.dry:
            part.expect(final >= LEAST, f"{name}: FCN-8s has a mean IU of {final:.1f}%, expected "
                                        f"at least {LEAST:g}%")
    part.found("mean IU of the stages, in percent: " + "; ".join(
        f"{name} {', '.join(f'{value:.1f}' for value in row.values()) or 'none'}"
        for name, row in rows.items()), scores=rows)


def scores(output: Path) -> dict[str, float]:
    """The last that a process has said."""
    said = [line.removeprefix(FOUND) for line in output.read_text().splitlines()
            if line.startswith(FOUND)]
    return json.loads(said[-1])["scores"] if said else {}


def last_losses(folder: Path) -> str:
    """The end of each log of losses."""
    logs = sorted(folder.glob("**/log.csv"))
    return "; ".join(f"{log.parent.name}: {log.read_text().splitlines()[-1]}" for log in logs)


if __name__ == "__main__":
    main()
