"""Run the parts of the check of a GPU, each in a process of its own; write one JSON and one table.

Parts that compare run side by side, those that measure time alone. Each has its own limit of
seconds, and all of them together LIMIT. The JSON is written after every part.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from checkout import FOLDERS, ROOT
from said import understood

LIMIT = 480         # seconds
AT_ONCE = 8         # parts side by side; of a dry run as many as there are cores
REPEATING = "speed", "schedule", "convergence"      # parts that say all they know every time
PATIENCE = 4        # times the limits that a dry run has, on a computer with other work
# a group, to end what a part has started; a session would outlive whoever runs the check
GROUP: dict[str, Any] = ({"process_group": 0} if sys.version_info >= (3, 11)
                         else {"start_new_session": True})


class Row(NamedTuple):
    """A part: its script with arguments, its limit in seconds, whether it runs alone, and what it
    is for."""

    command: tuple[str, ...]
    limit: float
    alone: bool
    purpose: str


PARTS = {
    "versions": Row(("versions.py",), 60, True, "the GPU and the packages"),
    "recordings": Row(("recordings.py",), 150, False, "the original's numbers, in fp32"),
    "tests": Row(("marked_tests.py",), 190, False, "all tests that are marked gpu"),
    "replay": Row(("replay.py",), 150, False, "replays of CUDA graphs beside plain passes"),
    "memory": Row(("memory.py",), 100, False, "what is said when memory does not suffice"),
    "lattice": Row(("lattice.py",), 100, False, "the dense CRF beside the CPU's"),
    "resume": Row(("resume.py",), 120, False, "killed and resumed, to the bit"),
    "convergence": Row(("convergence.py",), 190, False, "the miniature in each precision"),
    "speed": Row(("speed.py",), 140, True, "a pass and a step beside PyTorch's own"),
    "schedule": Row(("schedule.py",), 70, True, "500 steps on VOC's sizes"),
    "schedule-bf16": Row(("schedule.py", "--precision", "bf16"), 60, True, "the same in bf16"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="check.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {name:14}{row.purpose}" for name, row in PARTS.items()))
    parser.add_argument("parts", nargs="*", metavar="PART", help="default all; the results of "
                        "others, from the run before, are kept")
    parser.add_argument("--dry-run", action="store_true",
                        help="all of it on the CPU, as small as can be: tries the check itself")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    folder = Path(os.environ.get("OUT") or ROOT / "build" / "gpu-check")
    check = Check(folder, args.dry_run, known(folder, args.dry_run) if args.parts else {})
    check.run(args.parts or list(PARTS))
    print(check.write())
    return int(any(result["status"] != "passed" for result in check.results.values()))


def known(folder: Path, dry: bool) -> dict[str, Any]:
    """The results of the run before, if that was a dry one like this, or not."""
    try:
        before = json.loads((folder / "gpu-check.json").read_text())
        return dict(before["parts"]) if before["dry_run"] == dry else {}
    except (OSError, ValueError, KeyError):
        return {}


class Check:
    """Runs parts, and writes their `results`, {part: what came of it}, into a folder."""

    def __init__(self, folder: Path, dry: bool, results: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.dry, self.results = folder, dry, results
        self._patience = PATIENCE if dry else 1
        self._deadline, self._lock = time.monotonic() + LIMIT * self._patience, Lock()

    def run(self, names: list[str]) -> None:
        """Run these parts: what there is, those that compare, those that measure."""
        if "versions" in names:
            self._run("versions")
            if self.results["versions"]["status"] != "passed":
                return
        with ThreadPoolExecutor(os.cpu_count() if self.dry else AT_ONCE) as pool:
            list(pool.map(self._run, [name for name in names if not PARTS[name].alone]))
        for name in names:
            if PARTS[name].alone and name != "versions":
                self._run(name)

    def _run(self, name: str) -> None:
        row, start = PARTS[name], time.monotonic()
        limit = min(row.limit * self._patience, self._deadline - start)
        if limit > 0:
            status, output = ended(row, limit, self.dry)
        else:
            status, output = "left out: the time for all parts is spent", ""
        self.results[name] = {"status": status, "seconds": round(time.monotonic() - start, 1),
                              "limit": row.limit, **understood(output)}
        with self._lock:
            print(f"{name}: {status}, {self.results[name]['seconds']:.0f} s", flush=True)
            self.write()

    def write(self) -> str:
        """Write JSON and table; returns the table."""
        results = {name: self.results[name] for name in PARTS if name in self.results}
        text = table(results)
        for name, content in (
                ("gpu-check.json", json.dumps({"dry_run": self.dry, "commit": commit(),
                                               "parts": results}, indent=1)),
                ("gpu-check.txt", text)):
            (self.folder / name).write_text(content + "\n")
        return text


def ended(row: Row, limit: float, dry: bool) -> tuple[str, str]:
    """Run a part in a process group of its own; (status, output)."""
    script, *arguments = row.command
    command = [sys.executable, str(ROOT / "tests" / "gpu" / script), *arguments,
               "--seconds", f"{limit:.0f}", *["--dry-run"] * dry]
    path = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
                                   env={**os.environ, "PYTHONPATH": path}, **GROUP)
        try:
            status = "failed" if process.wait(limit) else "passed"
        except subprocess.TimeoutExpired:
            status = f"timed out after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):      # whatever it has started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return status, output.read()


def table(results: dict[str, Any]) -> str:
    """A line for each part and what it says, and below what failed."""
    lines = [f"{'part':14} {'seconds':>7}  status"]
    for name, result in results.items():
        lines.append(f"{name:14} {result['seconds']:7.0f}  {result['status']}")
        lines += [f"{'':24}{line}" for told in shown(name, result["told"])
                  for line in told.splitlines()]
    for name, result in results.items():
        if result["status"] != "passed":
            lines += ["", f"{name}: {PARTS[name].purpose}",
                      *(f"  {line}" for line in result["failures"] or result["last_lines"])]
    wrong = [name for name, result in results.items() if result["status"] != "passed"]
    again = f"; again: tests/gpu/check.sh {' '.join(wrong)}" if wrong else ""
    count = f"{len(results) - len(wrong)} passed, {len(wrong)} failed"
    return "\n".join([*lines, "", count + again])


def shown(name: str, told: list[str]) -> Iterator[str]:
    """Of a part that says all it knows again and again, the last."""
    yield from told[-1:] if name.startswith(REPEATING) else told


def commit() -> str:
    """That of the checkout, if git tells."""
    try:
        run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                             capture_output=True)
        return run.stdout.strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
