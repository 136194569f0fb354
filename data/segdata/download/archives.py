"""Unpacking tar and zip archives: one folder of them, all of it or nothing, plain files only."""

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from segdata.errors import ArchiveError
from segdata.files import put_folder

BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error)


class Member(NamedTuple):
    """A file, folder or something else in an archive; open() gives a file's content."""
    name: str
    is_folder: bool
    is_file: bool
    open: Callable[[], Any]


def extract(archive: Path, inside: str, folder: Path) -> None:
    """Unpack the folder `inside` ("" for the whole) of an archive as `folder`, all or nothing.

    Only plain files are accepted there, and no name may lead out of the archive.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as staging:
        content = Path(staging) / "content"
        try:
            for member in tqdm(members(archive), desc=f"unpacking {archive.name}", unit=" files"):
                unpack(archive, member, inside, content)
        except BROKEN as error:
            raise ArchiveError(f"{archive} cannot be unpacked: {error}") from error
        if not (content / inside).is_dir():
            raise ArchiveError(f"{archive} holds no folder {inside}")
        put_folder(content / inside, folder)


def members(archive: Path) -> Iterator[Member]:
    """The `Member`s of a zip or tar archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                yield Member(info.filename.replace("\\", "/"), info.is_dir(), not info.is_dir(),
                             partial(zipped.open, info))
    else:
        with tarfile.open(archive) as tar:
            for entry in tar:
                yield Member(entry.name, entry.isdir(), entry.isfile(),
                             partial(tar.extractfile, entry))


def unpack(archive: Path, member: Member, inside: str, content: Path) -> None:
    """Write one member below `content` if it is a file in `inside`."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ArchiveError(f"{archive} is unsafe: '{member.name}' leads out of the archive")
    if not name.is_relative_to(inside) or member.is_folder:
        return
    if not member.is_file:
        raise ArchiveError(f"{archive} is unsafe: '{member.name}' is a link or a device")
    target = content / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)
