"""Unpacking tar and zip archives: one folder of them, all of it or nothing, plain files only."""

import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from segdata.errors import ArchiveError, UserError
from segdata.files import put_folder, staging

MOST_TIMES = 1000       # what the content may be larger than the archive; deflate reaches 1032
SPARE = 1 << 28         # bytes that stay free on the disk
LEAST = 512             # bytes that every file counts
CHUNK = 1 << 20


class Member(NamedTuple):
    """A file, folder or something else in an archive; open() gives a file's content, of `size`."""
    name: str
    size: int
    is_folder: bool
    is_file: bool
    open: Callable[[], Any]


def extract(archive: Path, inside: str, folder: Path) -> None:
    """Unpack the folder `inside` ("" for the whole) of an archive as `folder`, all or nothing.

    Only plain files are accepted there, no name may lead out of the archive, and the archive must
    be whole to its end. What is unpacked may not be larger than the disk has room for, nor than
    archives of that size hold. Raises ArchiveError.
    """
    with staging(folder) as place:
        content = place / "content"
        try:
            unpack_all(archive, inside, content)
        except UserError:
            raise
        except Exception as error:      # what the libraries raise on damaged files has no base
            raise ArchiveError(f"{archive} cannot be unpacked: {error or type(error).__name__}. "
                               "If it is damaged, remove it and run again: it is downloaded "
                               "anew") from error
        if not (content / inside).is_dir():
            raise ArchiveError(f"{archive} holds no folder {inside}")
        put_folder(content / inside, folder)


def unpack_all(archive: Path, inside: str, content: Path) -> None:
    """Write the files in `inside` below `content`, as far as there is room. Where stderr is no
    terminal, a line in place of the bar says so."""
    free = shutil.disk_usage(content.parent.parent).free - SPARE
    room, why = min((free, "there is free on the disk: make room"),
                    (MOST_TIMES * archive.stat().st_size + CHUNK,
                     f"{MOST_TIMES} times its own size: it is no archive to trust"))
    bar = tqdm(members(archive), desc=f"unpacking {archive.name}", unit=" files", disable=None)
    if bar.disable:
        print(f"unpacking {archive.name}", file=sys.stderr, flush=True)
    for member in bar:
        room -= max(member.size, LEAST)
        if room < 0 or member.size < 0:
            raise ArchiveError(f"{archive} is unsafe: with '{member.name}' of {member.size:,} "
                               f"bytes it holds more than {why}")
        unpack(archive, member, inside, content)


def members(archive: Path) -> Iterator[Member]:
    """The `Member`s of a zip or tar archive, and after the last the check that it is whole."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                yield Member(info.filename.replace("\\", "/"), info.file_size, info.is_dir(),
                             not info.is_dir(), partial(zipped.open, info))
    else:
        with tarfile.open(archive, tarinfo=Entry) as tar:
            for entry in tar:
                yield Member(entry.name, entry.size, entry.isdir(),
                             entry.isfile() and not entry.issparse(),
                             partial(tar.extractfile, entry))
            if tar.fileobj.tell() <= tar.offset:
                raise EOFError("it ends without the mark of its end")
            read_to_end(tar.fileobj)


class Entry(tarfile.TarInfo):
    """A header of a tar, refused where tarfile would read a name of many bytes into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Entry":
        entry = super().frombuf(buf, encoding, errors)
        if not entry.isfile() and entry.size > CHUNK:
            raise ArchiveError(f"the tar is unsafe: its header '{entry.name}' has {entry.size:,} "
                               "bytes")
        return entry


def read_to_end(stream: Any) -> None:
    """Read what comes after the last member: the checksum of a compressed stream stands at its
    end. Raises ValueError if more than padding comes."""
    for count, chunk in enumerate(iter(partial(stream.read, CHUNK), b"")):
        if chunk.strip(b"\0") or count == MOST_TIMES:
            raise ValueError("something other than padding comes after the last file")


def unpack(archive: Path, member: Member, inside: str, content: Path) -> None:
    """Write one member below `content` if it is a file in `inside`."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ArchiveError(f"{archive} is unsafe: '{member.name}' leads out of the archive")
    if not name.is_relative_to(inside) or member.is_folder:
        return
    if not member.is_file:
        raise ArchiveError(f"{archive} is unsafe: '{member.name}' is a link, a device or a sparse "
                           "file")
    target = content / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, open(target, "wb") as out:
        left = member.size
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            out.write(chunk)
    if left:
        raise ArchiveError(f"{archive}: '{member.name}' has not the {member.size:,} bytes that it "
                           "should have")
