"""Damaged files of every format: the outcome is success or one of the project's own errors.

FUZZ_SEED=N chooses other damage; a failure prints the format and the seed of the file.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

SEED = int(os.environ.get("FUZZ_SEED", 0))
SECONDS = 20            # for a file
START = 120             # seconds until a worker answers the first time
NAMES = ("caffemodel", "solverstate", "caffemodel.h5", "solverstate.h5", "net", "solver",
         "binaryproto", "png", "label", "jpg", "mat", "lmdb", "tar.gz", "tar.xz", "tar.bz2", "tar",
         "zip", "score.json", "settings.json", "log.csv", "val.prototxt", "list", "image list",
         "classes.txt", "coco", "coco compressed", "labelme", "cvat")


class Worker:
    """A process that reads damaged files."""

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent), *sys.path]), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment)
        self.answers: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.answered = False

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.answers.put(line.strip())
        self.answers.put(None)

    def ask(self, name: str, seed: int) -> str:
        """The outcome of a file; the process has ended unless it is 'ok', 'own' or an error."""
        assert self.process.stdin
        try:
            print(name, seed, file=self.process.stdin, flush=True)
            answer = self.answers.get(timeout=SECONDS if self.answered else START)
        except (queue.Empty, BrokenPipeError):
            self.process.kill()
            return f"hangs for more than {SECONDS} s"
        self.answered = True
        return answer or f"ends the process with {self.process.wait()}"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def outcomes(folder: Path, count: int) -> Iterator[str]:
    """What is neither success nor the project's own error, of `count` damaged files."""
    worker = Worker(folder)
    try:
        for number in range(count):
            name = NAMES[number % len(NAMES)]
            seed = SEED + number // len(NAMES)
            answer = worker.ask(name, seed)
            if answer not in ("ok", "own"):
                yield f"{name} {seed}: {answer}"
            if worker.process.poll() is not None or answer.startswith("hangs"):
                worker.close()
                worker = Worker(folder)
    finally:
        worker.close()


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path: Path, count: int) -> None:
    found = list(outcomes(tmp_path, count))
    assert not found, f"FUZZ_SEED={SEED}, {len(found)} of {count}:\n" + "\n".join(found)
