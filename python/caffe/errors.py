"""The exceptions that the engine raises. The original ended the interpreter instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from .formats.text import printable


class CaffeError(RuntimeError):
    """Base of all errors of the engine. Bytes of names that are not UTF-8 are shown as \\xNN."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(str(message)))


class PrototxtError(CaffeError):
    """A prototxt that does not exist, does not parse, or names an unknown field."""


class LayerError(CaffeError):
    """A layer that is unknown, is wired wrongly, or whose blobs do not fit."""


class OutOfMemoryError(LayerError):
    """Memory of the host or of a GPU that did not suffice for a layer."""


class WeightsError(CaffeError):
    """A caffemodel or solverstate that cannot be read, or does not fit the net."""


class DeviceError(CaffeError):
    """A device that is not there."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for the entry of `known` nearest to `name`, or ''."""
    folded = {entry.lower().lstrip("-"): entry for entry in reversed([*known])}
    match = get_close_matches(name.lower().lstrip("-"), folded, n=1, cutoff=0.5)
    return f" (did you mean '{folded[match[0]]}'?)" if match else ""
