"""Processes of a part, one for each precision, side by side."""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from part import Part
from said import understood

SPARE = 10          # seconds before the part's deadline at which they are ended


def side_by_side(part: Part, script: str, precisions: Iterable[str], *arguments: str
                 ) -> Iterator[dict[str, dict[str, Any]]]:
    """Run `script --precision NAME arguments` for each; yields {name: what it has found} whenever
    there is more. What fails, or is not at its end in time, is a failure of the part.

    Output goes to files: a pipe may be kept open by whom they have started.
    """
    outputs = {name: part.folder / f"{Path(script).stem}-{name}.txt" for name in precisions}
    started = {name: subprocess.Popen(
        [sys.executable, script, "--precision", name, *arguments, *["--dry-run"] * part.dry],
        stdout=output.open("w"), stderr=subprocess.STDOUT) for name, output in outputs.items()}
    known: dict[str, dict[str, Any]] = {}
    run = True
    while run:
        run = (any(process.poll() is None for process in started.values())
               and time.monotonic() < part.deadline - SPARE)
        said = {name: understood(output.read_text(errors="replace"))
                for name, output in outputs.items()}
        found = {name: each["found"] for name, each in said.items()}
        if found != known:
            yield (known := found)
        if run:
            time.sleep(0.2)
    for name, process in started.items():
        for failure in said[name]["failures"]:
            part.fail(f"{name}: {failure}")
        if process.poll() is None:
            process.kill()
            part.fail(f"{name}: not at its end in time")
        elif process.returncode and not said[name]["failures"]:
            part.fail(f"{name}: " + "\n".join(said[name]["last_lines"]))
