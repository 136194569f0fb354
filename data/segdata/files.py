"""Files that are written whole or not at all, whatever ends the process or the power.

The engine has the same in caffe/formats/atomic.py, which the tools cannot use, for they also run
on the original Caffe. Both name what they are writing NAME.<letters>.part.
"""

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from segdata.errors import UserError

REMEDIES = {errno.EEXIST: "a file has that name: take another",
            errno.EISDIR: "a folder has that name: take another",
            errno.ENOTDIR: "a part of that path is a file: take another",
            errno.ENOSPC: "free space on its disk", errno.EDQUOT: "free space within the quota",
            errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
            errno.ENOENT: "make its folder, which is not there (any more)"}
IN_USE = "lock"             # in a temporary folder: held while that is written
REPLACED = "replaced"       # in a temporary folder: what had the name before
ELSEWHERE = "make its folder writable, or write to another"


class WriteError(UserError):
    """A file that cannot be written."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, beside `path`, that takes its place if no error comes.

    Raises WriteError, with the remedy, where it cannot be written.
    """
    path = Path(path)
    with reporting(path):
        handle, name = tempfile.mkstemp(".part", path.name + ".", path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            put(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def put(temporary: Path, path: Path) -> None:
    """Give a complete file its name, once it is on the disk; before, a power cut leaves zeros."""
    flush(temporary)
    os.replace(temporary, path)
    flush(path.parent)


def put_folder(temporary: Path, path: Path) -> None:
    """Give a complete folder its name, once all that is in it is on the disk."""
    flush_all()
    os.replace(temporary, path)
    flush(path.parent)


@contextmanager
def new_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder, beside `path`, that becomes `path` if no error comes.

    An empty folder may be there; any other is replaced only where that is said, at the very end.
    Raises WriteError, with the remedy, where it cannot be written.
    """
    path = Path(path)
    with staging(path) as place:
        content = place / "content"
        content.mkdir()
        yield content
        flush_all()
        if path.exists() and not replace:
            path.rmdir()
        elif path.exists():
            os.replace(path, place / REPLACED)
        put_folder(content, path)


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, beside the folder `path`, in which it is prepared; what a process
    that was killed has left there of an earlier one is removed.

    What was moved to REPLACED in it gets its name back where nothing has taken that. Raises
    WriteError, with the remedy, where it cannot be written.
    """
    make_folder(path.parent)
    recover(path)
    with reporting(path), tempfile.TemporaryDirectory(".part", path.name + ".",
                                                      path.parent) as name:
        place = Path(name)
        with FileLock(place / IN_USE):
            try:
                yield place
            finally:
                put_back(place, path)


def recover(path: Path) -> None:
    """Of the folder `path`: put back what a process that was killed had moved aside to replace it,
    and remove what it left half written."""
    for place in path.parent.glob(f"{glob.escape(path.name)}.{8 * '[a-z0-9_]'}.part"):
        if not (place / IN_USE).exists():
            continue
        with suppress(Timeout):
            with FileLock(place / IN_USE, timeout=0):
                put_back(place, path)
            shutil.rmtree(place, ignore_errors=True)


def put_back(place: Path, path: Path) -> None:
    """Give what was moved aside its name back, if nothing has that."""
    if (place / REPLACED).exists() and not path.exists():
        os.replace(place / REPLACED, path)


def append(path: Path, text: str) -> None:
    """Write `text` at the end of a file, to the disk. Raises WriteError, with the remedy."""
    with reporting(path), path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def remove_partial(folder: Path, stem: str = "") -> None:
    """Remove what a process that was killed while it wrote has left in a folder, of files whose
    names begin with `stem`. Call it only while nobody writes there."""
    letters = 8 * "[a-z0-9_]"       # as tempfile names them
    for path in folder.glob(f"{glob.escape(stem)}*.{letters}.part"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises WriteError, with the remedy."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: cannot be made: {error.strerror}: {error.filename}; "
                         f"{REMEDIES.get(error.errno or 0, ELSEWHERE)}") from error


def flush_all() -> None:
    """Have all that was written on the disk: for thousands of files a flush of each takes minutes.
    """
    if hasattr(os, "sync"):
        os.sync()


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    if path.is_dir() and os.name != "posix":            # only POSIX opens folders
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Raise WriteError for what hinders writing `path`; other files' errors stay as they are."""
    try:
        yield
    except OSError as error:
        place = os.path.abspath(path)
        hindered = place if error.filename is None else os.path.abspath(error.filename)
        if not hindered.startswith(place) and hindered != os.path.dirname(place):
            raise
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}; "
                         f"{REMEDIES.get(error.errno or 0, ELSEWHERE)}") from error
