"""What to say where memory did not suffice: what was asked for, what is free, what uses it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from .. import context
from ..errors import CaffeError, OutOfMemoryError
from ..formats.memory import available_memory
from ..formats.reading import NOTABLE
from .blob import VALUE_SIZE
from .memory import DATA

if TYPE_CHECKING:
    from .program import Program

SHOWN = 3       # of the largest blobs and parameters
# in the RuntimeErrors of PyTorch; cuDNN finds no engine if there is no room for its workspaces
PHRASES = ("out of memory", "can't allocate memory", "ALLOC_FAILED",
           "unable to find an engine to execute this computation")
CERTAIN = 1.5   # times the memory that is there: blobs whose padding is elided take less than all
REMEDIES = ("smaller images, or fewer at a time, with iter_size for the sum of their gradients; "
            "--precision bf16, or caffe.set_precision('bf16'); a narrower net; ending other "
            "programs that use this memory")


def check_total(program: Program) -> None:
    """Raise OutOfMemoryError where the values of all blobs, of those that are not there yet, take
    far more memory of the host than there is. A GPU says so itself."""
    coming = {blob.memories[DATA]: (name, blob.shape) for name, blob in program.blobs.items()
              if blob.memories[DATA].tensor is None and name not in program.unsplit_names}
    total = sum(VALUE_SIZE * math.prod(shape) for _, shape in coming.values())
    if context.device().type == "cpu" and total > NOTABLE \
            and total > CERTAIN * (available := available_memory()):
        raise OutOfMemoryError(
            f"{program.source}: out of memory on the host: all blobs together take "
            f"{_readable(total)}, there are {_readable(available)}. The largest: "
            f"{_largest(dict(coming.values()))}. What helps: {REMEDIES}")


@contextmanager
def explaining(place: str, program: Program) -> Iterator[None]:
    """Have an error that says that memory did not suffice say more; `place` is where it was."""
    try:
        yield
    except Exception as error:
        if isinstance(error, CaffeError) or not is_out_of_memory(error):
            raise
        raise explained(error, place, program.memory_users()) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it came from, says that memory did not suffice."""
    text = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or isinstance(
        error, RuntimeError) and any(phrase in text for phrase in PHRASES)


def explained(error: BaseException, place: str, users: Mapping[str, Mapping[str, tuple]]
              ) -> OutOfMemoryError:
    """The error to raise in place of one that says that memory did not suffice.

    It says what was asked for and what is free, as PyTorch knows it, the largest of `users`,
    {kind: {name: shape}}, and what helps. `place` is the file and the layer.
    """
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ ?\w+)", str(error))
    free = re.search(r"of which ([\d.]+ ?\w+) is free", str(error))
    where = "GPU" if isinstance(error, torch.OutOfMemoryError) or re.search(
        "CUDA|cuDNN|CUBLAS|engine", str(error)) else "host"
    largest = "".join(f". The largest {kind} (each held again as gradient): {_largest(shapes)}"
                      for kind, shapes in users.items())
    return OutOfMemoryError(
        f"{place}: out of memory on the {where}: asked for "
        f"{_bytes(asked[1]) if asked else 'an unknown amount'}"
        + (f", free are {free[1]}" if free else "") + largest
        + f". What helps: {REMEDIES}. PyTorch said: {str(error) or type(error).__name__}")


def _bytes(text: str) -> str:
    """'123 bytes' in a unit that can be read."""
    number, _, unit = text.partition(" ")
    return _readable(float(number)) if unit.startswith("byte") else text


def _largest(shapes: Mapping[str, tuple]) -> str:
    sized = sorted(((4 * math.prod(shape), name, shape) for name, shape in shapes.items()),
                   reverse=True)
    return ", ".join(f"{name} {tuple(shape)} {_readable(size)}" for size, name, shape
                     in sized[:SHOWN]) or "none"


def _readable(count: float) -> str:
    """A number of bytes."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
