"""What happens while something trains, told to whoever listens: JSON lines, TensorBoard.

An event is a dict with a key "event"; docs/reports.md lists them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from fcn.solvers.console.errors import RunError
from fcn.solvers.console.streams import unheard

TENSORBOARD = "tensorboard"     # in a run's folder
_listeners: list[Callable[[dict], None]] = []


def emit(event: str, **values: Any) -> None:
    """Tell all listeners."""
    for listener in _listeners:
        listener({"event": event, **values})


@contextmanager
def listening(listener: Callable[[dict], None]) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def json_lines() -> Iterator[None]:
    """Print events to stdout, a JSON object a line, and all that else goes there to stderr.

    The last line says how it ended: what raises is an event "stopped" or "error". Where nobody
    reads the lines any more, the work goes on without them.
    """
    lines = sys.stdout

    def show(event: dict) -> None:
        try:
            print(json.dumps(event, ensure_ascii=False), file=lines, flush=True)
        except OSError:
            unheard(lines)

    with redirect_stdout(sys.stderr), listening(show):
        try:
            yield
        except KeyboardInterrupt as ended:
            emit("stopped", message=str(ended) or type(ended).__name__)
            raise
        except Exception as error:
            emit("error", message=str(error) or type(error).__name__)
            raise


@contextmanager
def tensorboard() -> Iterator[None]:
    """Write the lines of the log and the scores as scalars to the folder `tensorboard` in each
    run's, as TensorBoard shows them.

    Raises RunError where neither torch.utils.tensorboard nor tensorboardX is installed.
    """
    make = summary_writer()
    writers: dict[str, Any] = {}

    def show(event: dict) -> None:
        if event["event"] == "start":
            writers[event["run"]] = make(str(Path(event["folder"]) / TENSORBOARD),
                                         purge_step=event["iteration"] + 1)
        writer = writers.get(event.get("run", ""))
        if writer and event["event"] == "log":
            for name, value in event.items():
                if name not in ("event", "run", "iteration") and value is not None:
                    writer.add_scalar(name, value, event["iteration"])
        if writer and event["event"] == "scores":
            for label, metrics in event["labels"].items():
                for name, value in metrics.items():
                    writer.add_scalar(f"{label}/{name}", value, event["iteration"])
            writer.flush()

    with listening(show):
        try:
            yield
        finally:
            for writer in writers.values():
                writer.close()


def summary_writer() -> Callable[..., Any]:
    """The class that writes TensorBoard's files."""
    for module in ("torch.utils.tensorboard", "tensorboardX"):
        with suppress(ImportError):
            return importlib.import_module(module).SummaryWriter
    raise RunError(f"--tensorboard needs the package tensorboard: {sys.executable} -m pip install "
                   "tensorboard, or leave the option out")
