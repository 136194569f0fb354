"""Files of a run that are read: whole, damaged, or no such files at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from fcn.solvers.console.errors import RunError
from segdata.errors import UserError
from segdata.lists import check_regular

MOST_BYTES = 1 << 26      # bytes of a prototxt or settings.json


def damage(path: Path) -> str:
    """What is wrong with a caffemodel or solverstate, by the SHA-256 that the file .resume of its
    snapshot holds; '' where the two agree, or none is recorded, as by the original Caffe."""
    state = path.with_suffix(".solverstate")
    beside = state.with_name(f"{state.name}.resume")
    if path.suffix not in (".caffemodel", ".solverstate") or not beside.exists():
        return ""
    try:
        recorded = json.loads(beside.read_text(encoding="utf-8"))
        text = json.dumps(recorded["content"], sort_keys=True)
        if hashlib.sha256(text.encode()).hexdigest() != recorded["sha256"]:
            raise ValueError("it is not as it was written")
        expected = recorded["content"]["files"][path.suffix[1:]]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return (f"{path} cannot be checked: {beside} or it is damaged ({error}). Take another "
                f"snapshot, or remove {beside} if you trust the file")
    if digest == expected:
        return ""
    return (f"{path}: damaged, or another file than was written: expected the SHA-256 {expected}, "
            f"got {digest}. Take another snapshot, or remove {beside} if you trust the file")


@lru_cache(maxsize=8)
def parsed(text: str, message: str) -> Any:
    """What a prototxt says; a training reads its own a dozen times."""
    from google.protobuf import text_format

    from caffe.proto import caffe_pb2
    return text_format.Parse(text, getattr(caffe_pb2, message)())


@contextmanager
def reading(path: Path, kind: str, remedy: str = "Write it anew, or take another folder",
            most: int = MOST_BYTES) -> Iterator[None]:
    """Turn whatever goes wrong while the file `path` is read into a RunError that names it, also
    that it has more than `most` bytes."""
    try:
        check_regular(path)
        if path.stat().st_size > most:
            raise ValueError(f"it has {path.stat().st_size:,} bytes, at most {most:,} are read")
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        raise RunError(f"{path}: damaged: no {kind}: {error or type(error).__name__}. "
                       f"{remedy}") from None
