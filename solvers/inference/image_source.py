"""ImageSource: where one image or video is, in a file, an archive or at a URL, and its bytes."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tarfile import TarError
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile

from fcn.solvers.inference.errors import InferError, no_such_file

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}
# of what file systems say of a file: what changes with its content
VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "modify",
            "created")
READING = threading.RLock()     # held by the thread that reads what all threads share


class ImageSource(NamedTuple):
    """One image or video.

    file : the name, in messages, of the file that it is, or that it is in
    path : of that file, in the file system of `url`, or else on this machine
    member : its name in a tar archive; offset, size : of its bytes there
    """
    file: str
    path: str
    url: str = ""
    member: str = ""
    offset: int = 0
    size: int = 0

    @property
    def name(self) -> str:
        """As messages have it."""
        return f"{self.file}/{self.member}" if self.member else self.file

    @property
    def identity(self) -> str:
        """A name that is the same from wherever the tool is called."""
        file = self.file if self.url else os.path.abspath(self.path)
        return f"{file}/{self.member}" if self.member else file

    @property
    def local(self) -> Path | None:
        """The path, of one that is a file of its own on this machine."""
        return None if self.url or self.member else Path(self.path)

    @property
    def shown(self) -> Path | str:
        """The path, or of one that is no file of its own here, the name."""
        return self.local or self.name

    @property
    def parts(self) -> list[str]:
        """The folders that it lies in and its stem."""
        file = self.file.partition("://")[2].partition("::")[0] if self.url else self.identity
        parts = re.split(r"[/\\]" if os.name == "nt" else "/",
                         f"{file}/{self.member}" if self.url and self.member else file)
        parts[-1] = PurePosixPath(parts[-1]).stem
        return [part.replace(":", "") if os.name == "nt" else part for part in parts
                if part not in ("", ".", "..")]

    @property
    def stem(self) -> str:
        """Its name without the folders and the suffix."""
        return self.parts[-1]

    @property
    def is_video(self) -> bool:
        """Whether its suffix is that of a video."""
        return suffix(self.member or self.path) in VIDEOS

    def version(self) -> tuple[int, int | str]:
        """(bytes, what changes with the content: the time of the last change or the like). Of a
        member of an archive, the archive's. Raises InferError where it is not there (any more)."""
        try:
            if not self.url:
                found = os.stat(self.path)
                return self.size if self.member else found.st_size, found.st_mtime_ns
            with reaching(self.file):
                system = file_system(self.url)
                with _lock(system):
                    info = system.info(self.path)
        except FileNotFoundError:
            raise InferError(no_such_file(Path(self.path))) from None
        changed = next((str(info[key]) for key in VERSIONS if info.get(key)), "")
        return self.size if self.member else int(info.get("size") or 0), changed

    def content(self) -> BinaryIO:
        """Its bytes. Raises InferError where they are not all there."""
        with opened(self) as file:
            if not self.member:
                return io.BytesIO(file.read())
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise InferError(f"{self.name}: the archive ends after {len(content):,} of its "
                             f"{self.size:,} bytes")
        return io.BytesIO(content)


class Problem(NamedTuple):
    """An argument, a line of a list or an archive that gives no images, or not all, and why.

    is_missing : whether there is none at all
    """
    name: str
    message: str
    is_missing: bool = False


def suffix(name: str) -> str:
    """That of a path, in lower case: ".jpg"; '' without one."""
    return os.path.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Whether a path has the suffix of an image or video."""
    return suffix(name) in SUFFIXES | VIDEOS


@lru_cache(maxsize=64)
def file_system(url: str) -> Any:
    """The file system of a URL, as fsspec has it. Raises InferError where fsspec, or a package that
    it needs for such URLs, is not installed, for a URL of no kind that it knows, and where it is in
    an archive that is damaged."""
    try:
        import fsspec
    except ImportError:
        raise InferError(f"{url}: URLs take fsspec: pip install fsspec") from None
    with reaching(url):
        try:
            return fsspec.core.url_to_fs(url)[0]
        except ImportError as error:
            raise InferError(f"{url}: {error}; install it by pip") from None
        except ValueError as error:
            raise InferError(f"{url}: fsspec has no such file system: {error}") from None
        except (TarError, BadZipFile) as error:
            raise InferError(f"{url}: the archive is damaged, or compressed as a whole (then "
                             f"decompress it): {error}") from None


def _lock(system: Any) -> AbstractContextManager:
    """What a thread holds while it reads from a file system: READING, if only one may read."""
    return READING if _has_one_reader(system) else nullcontext()


def _has_one_reader(system: Any) -> bool:
    """Whether fsspec reads all through one open file, with one position, or one connection: the
    members of an archive (tar://...::, zip://...::), what lies in memory, and what is on an FTP
    server; also behind a cache."""
    from fsspec.archive import AbstractArchiveFileSystem
    from fsspec.implementations.ftp import FTPFileSystem
    from fsspec.implementations.memory import MemoryFileSystem
    while system is not None:
        if isinstance(system, (AbstractArchiveFileSystem, FTPFileSystem, MemoryFileSystem)):
            return True
        system = getattr(system, "fs", None)
    return False


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raise InferError for what file systems raise, which has no base."""
    try:
        yield
    except (InferError, GeneratorExit):
        raise
    except FileNotFoundError:
        raise InferError(f"{url}: no such file") from None
    except Exception as error:
        raise InferError(f"{url}: cannot be read: {error or type(error).__name__}") from None


@contextmanager
def opened(source: ImageSource) -> Iterator[BinaryIO]:
    """The file that a source is, or is in."""
    if source.url:
        with reaching(source.file):
            system = file_system(source.url)
            with _lock(system), system.open(source.path, "rb") as file:
                yield file
    else:
        with open(source.path, "rb") as file:
            yield file
