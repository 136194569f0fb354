"""LMDBs that are read: one environment for each in a process, however many readers it has."""

import os
from collections.abc import Iterator

import lmdb

from ..errors import CaffeError
from ..formats.text import decode, file_name

_open = {}       # by device and inode


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
        with self.environment.begin() as transaction:
            for key, value in transaction.cursor():
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
