"""LMDBs that are read: one of each in a process, however many readers it has.

The file is read here, not by the library: that trusts every number in the file, and one that is
cut short or damaged ends the process with a signal. It is a tree of pages. Each page begins with a
header (its number, flags, the end of its table of places); the table says where its nodes are; a
node of a branch has the number of a page below, one of a leaf a key and its value, or the number
of the first of the pages that hold the value. Of the two first pages, that of the later
transaction says where the tree begins.
"""

from __future__ import annotations

import bisect
import os
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager

from ..errors import CaffeError
from ..formats.reading import reading
from ..formats.text import decode, encode, file_name

MAGIC, VERSION = 0xBEEFC0DE, 1
PAGE_SIZES = [1 << bits for bits in range(9, 17)]
NO_PAGE = 2 ** 64 - 1
MOST_DEPTH = 32
BRANCH, LEAF = 1, 2                 # flags of a page
ELSEWHERE = 1                       # flag of a node: its value has pages of its own
HEADER = struct.Struct("<Q2xHHH")   # of a page: number, flags, end of the table, begin of the nodes
NODE = struct.Struct("<HHHH")       # size of the value or number of a page, in parts of 16 bits,
#                                     of which the third is a leaf's flags; size of the key
# of a first page: magic, version, page size; number of records, root, last page, transaction
META = struct.Struct("<II16xI76xQQQQ")

_open: dict[tuple[int, ...], Database] = {}    # by device, inode, size and time


class Database:
    """An LMDB in a folder, opened for reading. Raises CaffeError if it is none, or is cut short."""

    def __init__(self, path: str) -> None:
        self.path = path
        with self._reading():
            self._file = open(_data_file(path), "rb", buffering=0)     # noqa: SIM115  kept open
            self._size = os.fstat(self._file.fileno()).st_size
            self._page_size, self._count, self._root = self._read_meta()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """The (key as text, value as bytes), in the order of the keys."""
        return self.after(None)

    def after(self, last: str | None) -> Iterator[tuple[str, bytes]]:
        """Those that follow on the key `last`; None: all. Pages before it are not read."""
        if self._root != NO_PAGE:
            yield from self._below(self._root, None if last is None else encode(last), set())

    def _reading(self) -> AbstractContextManager[None]:
        return reading(os.path.join(self.path, "data.mdb"), "LMDB", CaffeError)

    def _read_meta(self) -> tuple[int, int, int]:
        """(page size, number of records, number of the root's page)."""
        found = []
        for size in PAGE_SIZES:
            for start in (HEADER.size, size + HEADER.size):
                if start + META.size <= self._size:
                    values = META.unpack(self._bytes(start, META.size))
                    if values[:3] == (MAGIC, VERSION, size):
                        found.append(values)
        if not found:
            raise ValueError(f"no first page of an LMDB of version {VERSION}, as machines of 64 "
                             "bits write it")
        _, _, size, count, root, last, _ = max(found, key=lambda values: values[-1])
        if self._size < (last + 1) * size:
            raise ValueError(f"it is cut short: {self._size:,} bytes, expected {last + 1} pages of "
                             f"{size:,}; copy it anew")
        return size, count, root

    def _below(self, number: int, last: bytes | None, seen: set[int], depth: int = 0
               ) -> Iterator[tuple[str, bytes]]:
        """The records below a page whose keys follow on `last`."""
        with self._reading():
            if number in seen or depth > MOST_DEPTH:
                raise ValueError(f"page {number} stands twice in the tree, or too deep in it")
            seen.add(number)
            page = self._bytes(number * self._page_size, self._page_size)
            own, flags, end, _ = HEADER.unpack_from(page)
            if own != number or flags & (BRANCH | LEAF) not in (BRANCH, LEAF):
                raise ValueError(f"page {number} is no page of the tree")
            places = struct.unpack_from(f"<{(end - HEADER.size) // 2}H", page, HEADER.size)
            nodes = [(place, *NODE.unpack_from(page, place)) for place in places]
            begins = [place + NODE.size + length for place, *_, length in nodes]
            keys = [page[begin - node[-1]:begin] for begin, node in zip(begins, nodes)]
        if last is not None:    # below a branch's node are keys from its own up to the next one's
            first = bisect.bisect_right(keys, last, lo=min(1, len(keys)) if flags & BRANCH else 0)
            first -= bool(flags & BRANCH)
            nodes, begins, keys = nodes[first:], begins[first:], keys[first:]
        for (_, low, high, third, _), begin, key in zip(nodes, begins, keys):
            size = low | high << 16
            if flags & BRANCH:
                yield from self._below(size | third << 32, last, seen, depth + 1)
            else:
                with self._reading():
                    value = self._value(page, begin, size, third)
                yield decode(key), value

    def _value(self, page: bytes, begin: int, size: int, flags: int) -> bytes:
        if flags == ELSEWHERE:
            first, = struct.unpack_from("<Q", page, begin)
            return self._bytes(first * self._page_size + HEADER.size, size)
        if flags or begin + size > len(page):
            raise ValueError("a record is no key with one value")
        return page[begin:begin + size]

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size > self._size:
            raise ValueError(f"it names the bytes up to {start + size:,}, and has {self._size:,}")
        found = _read_at(self._file.fileno(), size, start)
        if len(found) != size:
            raise ValueError("it has become shorter")
        return found


def _read_at(handle: int, size: int, start: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, size, start)
    os.lseek(handle, start, os.SEEK_SET)        # Windows, which has no forks that share the place
    return os.read(handle, size)


def _data_file(path: str) -> str:
    return os.path.join(file_name(path), "data.mdb")


def open_database(path: str) -> Database:
    """The Database at `path`, the same one for all.

    It stays open. What is written anew at the path is another file, and another Database.
    """
    try:
        file = os.stat(_data_file(path))
    except OSError as error:
        raise CaffeError(f"{path}: cannot be read as an LMDB: {error.strerror}") from None
    place = file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns
    if place not in _open:
        _open[place] = Database(path)
    return _open[place]
