"""Locks on files, which the system lifts when their process ends, however it does."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fcn.solvers.inference.errors import InferError
from segdata.files import reporting

try:
    import fcntl
except ImportError:         # Windows
    fcntl = None            # type: ignore[assignment]

PATIENCE = 10       # seconds for the processes of a run that was killed to notice it
POLL = 0.05
TAKEN = errno.EAGAIN, errno.EACCES
# of file systems without locks, such as Lustre without `-o flock`
WITHOUT = errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP


@contextmanager
def locked(path: Path, what: str, shared: bool = False, patience: float | None = None
           ) -> Iterator[bool]:
    """Hold the lock `path`, a file that is made for it and removed behind it. Yields whether
    nobody else can hold it: not where it is shared, nor where the system has no such locks.

    what : the file or folder that it is for, in messages
    shared : others may hold it, too, if they share it
    patience : seconds, default PATIENCE
    Raises InferError, naming the process that holds it, where that does not end within `patience`.
    A file system without locks is told of, and nothing held.
    """
    patience = PATIENCE if patience is None else patience
    if fcntl is None:
        with nullcontext() if shared else _locked_on_windows(path, what, patience):
            yield False
        return
    file, is_locked = _taken(path, what, shared, patience)
    try:
        yield is_locked and not shared
    finally:
        with suppress(OSError):     # the last of several that share it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                path.unlink()
        file.close()


def _taken(path: Path, what: str, shared: bool, patience: float) -> tuple[Any, bool]:
    """(the open file, whether its file system has locks)"""
    latest = time.monotonic() + patience
    while True:
        with reporting(path):
            file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in WITHOUT:
                _warn_without_locks(what, error.strerror)
                return file, False
            if error.errno not in TAKEN:
                file.close()
                raise
            if time.monotonic() > latest:
                raise _refused(file, what) from None
            file.close()
            time.sleep(POLL)
            continue
        if _is_at(file, path):
            with reporting(path):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}, begun "
                           f"{time.strftime('%Y-%m-%d %H:%M:%S')}")
                file.flush()
            return file, True
        file.close()        # whoever had it has removed it


@cache
def _warn_without_locks(what: str, reason: str) -> None:
    """Say it once of each file or folder."""
    print(f"warning: {what}: its file system has no locks ({reason}), so that nothing hinders "
          "another infer from writing to it, too; begin none", file=sys.stderr)


def _is_at(file: Any, path: Path) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _refused(file: Any, what: str) -> InferError:
    with file:
        file.seek(0)
        holder = file.read()
    return _in_use(what, f" ({holder})" * bool(holder))


def _in_use(what: str, holder: str = "") -> InferError:
    return InferError(f"{what}: another infer{holder} is writing to it; wait for its end, or write "
                      "to another folder (-o)")


@contextmanager
def _locked_on_windows(path: Path, what: str, patience: float) -> Iterator[None]:
    """There, a lock is not shared, and its file cannot be read."""
    try:
        with FileLock(path, timeout=patience):
            yield
    except Timeout:
        raise _in_use(what) from None
    finally:
        with suppress(OSError):
            path.unlink()
