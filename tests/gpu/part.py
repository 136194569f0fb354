"""What the parts of the check have in common: the device, and how they say what they found."""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import torch
from said import FAILED, FOUND


class Part:
    """A part of the check, in a process of its own.

    Attributes
    ----------
    dry : whether it runs on the CPU, as small as can be, with a stand-in for CUDA graphs
    deadline : when it is ended, in the seconds of time.monotonic()
    folder : its own, which is removed at the end
    given : further arguments of the command line
    """

    def __init__(self, description: str, *arguments: str) -> None:
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--dry-run", action="store_true", help="on the CPU, tiny")
        parser.add_argument("--seconds", type=float, default=600, help="until it is ended")
        for name in arguments:
            parser.add_argument(f"--{name}")
        self.given = parser.parse_args()
        self.dry = self.given.dry_run
        self.deadline = time.monotonic() + self.given.seconds
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self._failed = False

    def use(self, precision: str) -> None:
        """Run what follows on the GPU in that precision; in a dry run on the CPU, its passes
        recorded, too. The log tells warnings alone."""
        import caffe
        caffe.set_precision(precision)
        caffe.init_log(1)
        logging.getLogger("caffe").propagate = True
        if not self.dry:
            caffe.set_mode_gpu()
            return
        from caffe.engine.layers.convolution import Deconvolution
        from caffe.engine.runners import recorded
        from graph_stand_in import GraphStandIn
        torch.set_num_threads(1)
        recorded.GRAPHS = {"cpu": GraphStandIn}
        Deconvolution._is_diagonal = lambda *_: False       # it would look at values

    def wait(self) -> None:
        """Until the GPU is done."""
        if not self.dry:
            torch.cuda.synchronize()

    def memory(self) -> dict[str, float]:
        """MiB on the GPU: the most that tensors took, the most that PyTorch took, and what is in
        use of the whole card."""
        if self.dry:
            return {"allocated": 0.0, "reserved": 0.0, "of_the_card": 0.0}
        free, total = torch.cuda.mem_get_info()
        return {"allocated": torch.cuda.max_memory_allocated() / 2 ** 20,
                "reserved": torch.cuda.max_memory_reserved() / 2 ** 20,
                "of_the_card": (total - free) / 2 ** 20}

    @staticmethod
    def found(told: str, **figures: Any) -> None:
        """Say what was found so far, in a sentence and in figures, which stay if the part ends
        early; later ones of the same name take their place."""
        print(FOUND + json.dumps({"told": told, **figures}), flush=True)

    def fail(self, reason: str) -> None:
        """Say what is not as it has to be; the part goes on."""
        self._failed = True
        print(FAILED + reason, flush=True)

    def expect(self, holds: bool, reason: str) -> None:
        """`fail` unless it holds."""
        if not holds:
            self.fail(reason)

    def end(self) -> None:
        """End the process, with status 1 if something failed."""
        self._temporary.cleanup()
        raise SystemExit(int(self._failed))


def is_lost(error: BaseException) -> bool:
    """Whether a process can do nothing more on its GPU after that error."""
    return "CUDA error" in str(error) or "cuDNN error" in str(error)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """With another working folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
