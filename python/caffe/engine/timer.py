"""Timer: how long the device took."""

import time

import torch

from ..context import device


class Timer:
    """Milliseconds between start() and stop(), once the device is done with its work."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._stop: float | None = None

    def start(self) -> None:
        """Begin, or begin anew."""
        self._start, self._stop = _now(), None

    def stop(self) -> None:
        """End."""
        self._stop = _now()

    @property
    def ms(self) -> float:
        """Milliseconds from start() to stop(), or to now; 0 before start()."""
        if self._start is None:
            return 0.0
        return 1000 * ((self._stop or _now()) - self._start)


def _now() -> float:
    if device().type == "cuda":
        torch.cuda.synchronize(device())
    return time.perf_counter()
