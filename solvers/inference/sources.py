"""Which images and videos a command line names, wherever they lie.

A file, a folder, a pattern such as 'photos/*.jpg', a tar archive (a shard), the URL of one of these
as fsspec knows it (s3://, https://, memory://, ...), or @LIST, a file with one of these a line.
Everything is found one after the other, for there may be millions.
"""

from __future__ import annotations

import codecs
import glob
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from fcn.solvers.inference.errors import InferError, no_such_file, not_there
from fcn.solvers.inference.image_source import (
    READING,
    ImageSource,
    Problem,
    file_system,
    is_image,
    opened,
    reaching,
    suffix,
)
from fcn.solvers.inference.marks import is_own

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|[A-Za-z][A-Za-z0-9+.-]+::")
LOCAL = re.compile(r"^(file|local)://")
SHARD = re.compile(r"\.(tar|tgz|tar\.[a-z0-9]+)$", re.I)
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz", b"\x28\xb5": "unzstd"}


# of all arguments

def find(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """(images and videos that are files on this machine, messages on arguments that name none),
    each file once, in order. What this tool wrote itself, as its marks show, is left out."""
    found: dict[str, tuple[int, str, Path]] = {}
    messages = []
    for group, item in find_all(arguments):
        if isinstance(item, Problem):
            messages.append(item.message)
        elif path := item.local:
            found.setdefault(os.path.realpath(path), (group, item.file, path))
        else:
            messages.append(f"{item.name}: this net takes files on this machine alone")
    return [path for _, _, path in sorted(found.values())], messages


def find_all(arguments: Iterable[str], each_line: bool = False
             ) -> Iterator[tuple[int, ImageSource | Problem]]:
    """(group, ImageSource or Problem) of all that the arguments name, except what this tool wrote
    itself. The order is that of the groups, and in a group that of the names.

    each_line : have a Problem of each line of a list that names no image, not one of the list
    """
    groups = count()
    for argument in arguments:
        for group, item in _guarded(argument, groups, each_line, ()):
            if isinstance(item, Problem) or item.local is None or suffix(item.path) != ".png" \
                    or not is_own(item.local):
                yield group, item


def _guarded(argument: str, groups: Iterator[int], each_line: bool, lists: tuple[str, ...]
             ) -> Iterator[tuple[int, ImageSource | Problem]]:
    group = next(groups)
    argument = LOCAL.sub("", argument)      # a file and its URL are one
    try:
        if argument.startswith("@") and not os.path.exists(argument):
            yield from _listed(argument[1:], groups, each_line, lists)
        else:
            for item in _named(argument, is_typed=not lists):
                yield group, item
    except InferError as error:
        yield group, Problem(argument, str(error), True)
    except OSError as error:
        yield group, Problem(argument, f"{argument}: {error.strerror or error}", True)


def _named(argument: str, is_typed: bool) -> Iterator[ImageSource | Problem]:
    if URL.match(argument) and not os.path.exists(argument):
        yield from _remote(argument)
    elif os.path.isdir(argument):
        yield from _inside(argument)
    elif os.path.exists(argument):
        yield from _shards([_local(argument)]) if SHARD.search(argument) else [_local(argument)]
    elif glob.has_magic(argument):
        yield from _matching(argument)
    else:
        raise InferError((not_there if is_typed else no_such_file)(Path(argument)))


def _local(path: str) -> ImageSource:
    shown = str(Path(path))
    return ImageSource(shown, shown)


def _images_or_shards(files: Iterable[ImageSource]) -> Iterator[ImageSource | Problem]:
    """The images and videos among files; where there are none, those in the tar archives."""
    shards, has_images = [], False
    for source in files:
        if is_image(source.path):
            has_images = True
            yield source
        elif not has_images and SHARD.search(source.path):
            shards.append(source)
    if not has_images:
        yield from _shards(sorted(shards))


def _any(items: Iterator[ImageSource | Problem], message: str) -> Iterator[ImageSource | Problem]:
    """The items; InferError with the message where there are none."""
    first = next(items, None)
    if first is None:
        raise InferError(message)
    yield from chain([first], items)


def _inside(folder: str) -> Iterator[ImageSource | Problem]:
    """The images and videos in a folder; of one in VOC layout, those in JPEGImages."""
    if os.path.isdir(os.path.join(folder, "JPEGImages")):
        folder = os.path.join(folder, "JPEGImages")
    with os.scandir(folder) as entries:
        items = _images_or_shards(_local(entry.path) for entry in entries if _is_file(entry))
        if (first := next(items, None)) is None:
            deeper = os.path.join(folder, "**", "*")
            has_deeper = any(map(is_image, glob.iglob(deeper, recursive=True)))
            raise InferError(f"{Path(folder)}: a folder without images"
                             + f"; '{deeper}' names those of the folders in it" * has_deeper)
        yield from chain([first], items)


def _is_file(entry: os.DirEntry) -> bool:
    """Whether it is a file; or a link to nothing, which is told where it is to be read."""
    is_broken = entry.is_symlink() and not os.path.exists(entry.path)
    return is_broken or entry.is_file()


def _matching(pattern: str) -> Iterator[ImageSource | Problem]:
    where = "" if os.path.isabs(pattern) else f" in {Path.cwd()}"
    matches: list[str] = []         # the first and the number of those that are no images

    def files() -> Iterator[ImageSource]:
        for match in glob.iglob(pattern, recursive=True):
            if (is_image(match) or SHARD.search(match)) and os.path.isfile(match):
                yield _local(match)
            elif len(matches) < 100_000:
                matches.append(match)

    items = _images_or_shards(files())
    first = next(items, None)
    if first is None:
        raise InferError(f"{pattern}: no file has such a name{where}" if not matches else
                         f"{pattern}: none of the {len(matches)} names that it stands for"
                         f"{where} is an image or video, the first is {min(matches)}")
    yield from chain([first], items)


# lists

def _listed(name: str, groups: Iterator[int], each_line: bool, lists: tuple[str, ...]
            ) -> Iterator[tuple[int, ImageSource | Problem]]:
    """What the lines of a list name, in the current folder or else in that of the list."""
    if name in lists:
        raise InferError(f"{name}: a list that names itself")
    total, missing, first = 0, 0, ""
    folder = os.path.dirname(name)
    for line in _lines(name):
        total += 1
        exists = bool(URL.match(line)) or os.path.exists(line)
        argument = line if exists or line.startswith("@") else os.path.join(folder, line)
        for group, item in _guarded(argument, groups, each_line, (*lists, name)):
            if isinstance(item, Problem) and item.is_missing and not each_line:
                missing, first = missing + 1, first or line
            else:
                yield group, item
    if not total:
        raise InferError(f"{name}: an empty list; expected the path of an image a line")
    if missing:
        raise InferError(f"{name}: {missing} of its {total} lines name no image, the "
                         f"first is '{first}'; looked for in {Path.cwd()} and "
                         f"{Path(name).resolve().parent}")


def _lines(name: str) -> Iterator[str]:
    """The lines of a list that are not blank; bytes that are no UTF-8 stay as they are, as in the
    names of files."""
    source = ImageSource(name, name) if not URL.match(name) else _whole(name)
    try:
        with opened(source) as file:
            start = file.read(3)
            file.seek(0)
            wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            for line in io.TextIOWrapper(file, "utf-16" if wide else "utf-8-sig",
                                         "replace" if wide else "surrogateescape"):
                if "\0" in line:
                    raise InferError(f"{name}: no list of images: it holds zero bytes")
                if line := line.strip():
                    yield line
    except FileNotFoundError:
        raise InferError(not_there(Path(name))) from None
    except (OSError, ValueError) as error:
        raise InferError(f"{name}: no list of images: {error}") from None


# tar archives

def _shards(files: Iterable[ImageSource]) -> Iterator[ImageSource | Problem]:
    for file in files:
        try:
            yield from _any(_members(file), f"{file.file}: an archive without images")
        except InferError as error:
            yield Problem(file.file, str(error))


def _members(file: ImageSource) -> Iterator[ImageSource]:
    number = 0
    with opened(file) as content:
        try:
            with tarfile.open(fileobj=content, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []        # type: ignore[attr-defined]    # it keeps them all
                    if member.isreg() and not member.issparse() and is_image(member.name):
                        number += 1
                        yield file._replace(member=member.name, offset=member.offset_data,
                                            size=member.size)
                content.seek(archive.offset)    # type: ignore[attr-defined]
                if content.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("it lacks the mark of its end")
        except (tarfile.TarError, EOFError, ValueError) as error:
            content.seek(0)
            if tool := COMPRESSED.get(content.read(2)):
                raise InferError(f"{file.file}: a compressed archive, of which images cannot be "
                                 f"read one by one; decompress it ({tool})") from None
            raise InferError(f"{file.file}: the archive is damaged or ends too early, after "
                             f"{number} images: {error}" if number else
                             f"{file.file}: not a readable tar archive: {error}") from None


# URLs

def _divided(url: str) -> tuple[str, str]:
    """(the URL of the file system, the path in it); that of a chain (a::b) is the whole."""
    root = url if "::" in url else (re.match(r"[^:]+://[^/]*", url) or [url])[0]
    file_system(root)       # which says what is missing
    import fsspec
    return root, str(fsspec.core.url_to_fs(url)[1])


def _whole(url: str) -> ImageSource:
    root, path = _divided(url)
    return ImageSource(url, path, root)


def _remote(url: str) -> Iterator[ImageSource | Problem]:
    root, path = _divided(url)
    system, rest = file_system(root), url.partition("::")[2]
    web = url.startswith(("http://", "https://"))

    def source(found: str) -> ImageSource:
        name = system.unstrip_protocol(found) + f"::{rest}" * bool(rest)
        return ImageSource(name, found, root)

    def files(entries: Iterable[dict[str, Any]]) -> Iterator[ImageSource]:
        return (source(entry["name"]) for entry in entries if entry["type"] == "file")

    is_listed = True
    with reaching(url):
        if re.search(r"[*\[]" if web else r"[*?\[]", path) and (web or not system.exists(path)):
            matches = system.glob(path, detail=True).values()
            items = _any(_images_or_shards(files(matches)), f"{url}: no image has such a name")
        elif is_image(path):            # what is not there shows when it is read
            items, is_listed = iter([source(path)]), False
        elif SHARD.search(path):
            items = _shards([source(path)])
        elif not system.isdir(path):
            raise InferError(f"{url}: no such file or folder")
        else:
            voc = path.rstrip("/") + "/JPEGImages"
            inside = system.ls(voc if not web and system.isdir(voc) else path, detail=True)
            items = _any(_images_or_shards(files(inside)), f"{url}: a folder without images")
    yield from items
    if is_listed and not _is_whole(system):
        raise InferError(f"{url}: the archive is damaged or ends too early: after what was found "
                         "it lacks the mark of its end")


def _is_whole(system: Any) -> bool:
    """Whether the tar archive that a file system shows, also behind a cache, has the mark of its
    end where fsspec found no more members; of all else, which fsspec checks itself, True."""
    from fsspec.implementations.tar import TarFileSystem
    while system is not None and not isinstance(system, TarFileSystem):
        system = getattr(system, "fs", None)
    if system is None:
        return True
    with READING:
        system.tar.fileobj.seek(system.tar.offset)
        return bool(system.tar.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE))
