"""LMDBs that are read: one environment for each in a process, however many readers it has."""

import os
import weakref

import lmdb

from .errors import CaffeError

_open = weakref.WeakValueDictionary()


class Database:
    """An LMDB, opened for reading. Raises CaffeError if it is none."""

    def __init__(self, path):
        self.path = path
        try:
            self.environment = lmdb.open(path, readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            raise CaffeError(f"{path}: cannot be read as an LMDB: {error}") from None

    def __len__(self):
        return self.environment.stat()["entries"]

    def __iter__(self):
        """The (key as text, value as bytes), in the order of the keys."""
        with self.environment.begin() as transaction:
            for key, value in transaction.cursor():
                yield key.decode(errors="replace"), value


def open_database(path):
    """The Database at `path`, the same one for all who have it open: LMDB allows no second."""
    place = os.path.realpath(path)
    database = _open.get(place)
    if database is None:
        database = _open[place] = Database(path)
    return database
