"""LMDBs that are read: one environment for each in a process, however many readers it has."""

from __future__ import annotations

import os
from collections.abc import Iterator

import lmdb

from ..errors import CaffeError
from ..formats.text import decode, encode, file_name

_open: dict[tuple[int, int], Database] = {}       # by device and inode


class Database:
    """An LMDB, opened for reading. Raises CaffeError if it is none."""

    def __init__(self, path: str):
        self.path = path
        try:
            self.environment = lmdb.open(os.fsencode(file_name(path)), readonly=True, lock=False,
                                         create=False)
        except lmdb.Error as error:
            raise CaffeError(f"{path}: cannot be read as an LMDB: {error}") from None

    def __len__(self) -> int:
        return self.environment.stat()["entries"]

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """The (key as text, value as bytes), in the order of the keys."""
        return self.after(None)

    def after(self, last: str | None) -> Iterator[tuple[str, bytes]]:
        """Those that follow on the key `last`; None: all."""
        with self.environment.begin() as transaction:
            cursor = transaction.cursor()
            if last is not None and cursor.set_range(encode(last)) \
                    and cursor.key() == encode(last):
                cursor.next()
            for key, value in cursor.iternext() if last is None or cursor.key() else ():
                yield decode(key), value


def open_database(path: str) -> Database:
    """The Database at `path`, the same one for all: LMDB allows no second in a process.

    It stays open. What is written anew at the path is another file, and another Database.
    """
    try:
        file = os.stat(os.path.join(file_name(path), "data.mdb"))
    except OSError as error:
        raise CaffeError(f"{path}: cannot be read as an LMDB: {error.strerror}") from None
    place = file.st_dev, file.st_ino
    if place not in _open:
        _open[place] = Database(path)
    return _open[place]
