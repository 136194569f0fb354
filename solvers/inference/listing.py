"""The images of a run, each once, in order, with the names of what is written of them.

They lie in a file of SQLite, not in memory: there may be millions, and several processes read them.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.image_source import ImageSource, Problem
from fcn.solvers.inference.outputs import free_stem, name_key

TABLES = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
    CREATE TABLE found (turn INTEGER, name BLOB, same BLOB UNIQUE, source TEXT);
    CREATE TABLE problems (name TEXT, message TEXT);
    CREATE TABLE names (key BLOB PRIMARY KEY, owner BLOB) WITHOUT ROWID;
    CREATE TABLE entries (identity BLOB PRIMARY KEY, attempt INTEGER, entry TEXT) WITHOUT ROWID;
    CREATE TABLE jobs (number INTEGER PRIMARY KEY, source TEXT, stem TEXT, entry TEXT);
"""


class Job(NamedTuple):
    """An image to segment. stem : of the paths of its outputs, in the folder of the results;
    entry : the last one of the manifests on it"""
    source: ImageSource
    stem: str
    entry: dict[str, Any] | None


class Naming(NamedTuple):
    """How outputs are named.

    folder : of the results
    mirrored : whether they lie in folders as the images do, below the deepest that all have in
        common; else all lie in `folder`
    suffixes : of an ImageSource, what follows the stem of its outputs' names
    reads : of an ImageSource, the files beside it that are read, and must not be overwritten
    kept : other such files
    """
    folder: Path
    mirrored: bool
    suffixes: Callable[[ImageSource], Sequence[str]]
    reads: Callable[[ImageSource], Iterable[Path]]
    kept: Iterable[Path]


class Listing:
    """The images in a file that `Listing.make` has written. count : of them"""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._read() as table:
            self.count, = table.execute("SELECT COUNT(*) FROM jobs").fetchone()

    @classmethod
    def make(cls, path: Path, found: Iterable[tuple[int, ImageSource | Problem]], naming: Naming,
             entries: Iterable[dict[str, Any]]) -> Listing:
        """List what is found, as `sources.find_all` has it; entries : of the manifests, a later one
        in place of an earlier. Raises InferError where there is no room for the list."""
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as table:
                table.executescript(TABLES)
                table.execute("BEGIN")
                names = _Names(table, naming.folder)
                _enter_recorded(table, entries, names)
                root = _enter_found(table, found, naming, names)
                _enter_jobs(table, naming, root if naming.mirrored else None, names)
                table.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise InferError(f"{path}: the list of the images cannot be written: {error}; free "
                             "space there, or have TMPDIR name another folder") from None
        return cls(path)

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        uri = f"{self.path.as_uri()}?mode=ro&immutable=1"       # no locks, on whatever disk it is
        # one thread reads; after an error another may close it
        with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as table:
            yield table

    def problems(self) -> Iterator[Problem]:
        with self._read() as table:
            for row in table.execute("SELECT name, message FROM problems ORDER BY rowid"):
                yield Problem(*map(json.loads, row))

    def recorded(self) -> Iterator[dict[str, Any]]:
        """The last entry of the manifests on each image, whether it is in the list or not."""
        with self._read() as table:
            for text, in table.execute("SELECT entry FROM entries"):
                yield json.loads(text)

    def sources(self) -> Iterator[ImageSource]:
        return (job.source for job in self.jobs(0, 1))

    def jobs(self, rank: int, count: int) -> Iterator[Job]:
        """Of the images, every count-th, from the one with the number `rank` on."""
        with self._read() as table:
            for source, stem, entry in table.execute(
                    "SELECT source, stem, entry FROM jobs WHERE number % ? = ? ORDER BY number",
                    (count, rank)):
                yield Job(ImageSource(*json.loads(source)), json.loads(stem),
                          json.loads(entry) if entry else None)


class _Names:
    """The names that are taken in the folder of the results, whatever the case of letters."""

    def __init__(self, table: sqlite3.Connection, folder: Path) -> None:
        self.table, self.folder, self.shown = table, name_key(folder), folder
        self._inside = lru_cache(maxsize=1000)(self._find)

    def key(self, stem: str, suffix: str = "") -> str:
        """Of an output. Raises InferError where a symbolic link would lead it out of the folder."""
        inside, _, name = stem.rpartition("/")
        return f"{self._inside(inside)}{os.sep}{name}{suffix}".lower()

    def _find(self, inside: str) -> str:
        found = name_key(self.shown / inside)
        if found != self.folder and not found.startswith(self.folder + os.sep):
            raise InferError(f"{self.shown / inside} is, or lies in, a symbolic link to {found}, "
                             f"outside of the results: what is there might be overwritten; remove "
                             "the link, or choose another folder by -o")
        return found

    def is_taken(self, key: str, identity: str) -> bool:
        """Whether a name is that of another image's output, or of a file to keep."""
        row = self.table.execute("SELECT owner FROM names WHERE key = ?",
                                 (os.fsencode(key),)).fetchone()
        return row is not None and row[0] != os.fsencode(identity)

    def add(self, key: str, identity: str | None) -> None:
        self.table.execute("INSERT OR REPLACE INTO names VALUES (?, ?)",
                           (os.fsencode(key), identity and os.fsencode(identity)))

    def keep(self, path: Path) -> None:
        """Have no output replace a file."""
        if (key := name_key(path)).startswith(self.folder + os.sep):
            self.add(key, None)


def _enter_recorded(table: sqlite3.Connection, entries: Iterable[dict[str, Any]], names: _Names
                    ) -> None:
    """What the manifests say; the names of outputs are their images', whether these are asked for
    now or not."""
    for entry in entries:
        table.execute(
            "INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT (identity) DO UPDATE SET "
            "attempt = excluded.attempt, entry = excluded.entry WHERE excluded.attempt >= attempt",
            (os.fsencode(entry["path"]), entry["attempt"], json.dumps(entry)))
        for output in entry.get("outputs", ()):
            names.add(names.key(output), entry["path"])


def _enter_found(table: sqlite3.Connection, found: Iterable[tuple[int, ImageSource | Problem]],
                 naming: Naming, names: _Names) -> list[str]:
    """Returns the folders, one in the other, in which all images lie."""
    root: list[str] | None = None
    for path in naming.kept:
        names.keep(path)
    for turn, item in found:
        if isinstance(item, Problem):
            table.execute("INSERT INTO problems VALUES (?, ?)",
                          (json.dumps(item.name), json.dumps(item.message)))
            continue
        same = os.path.realpath(item.local) if item.local else item.identity
        if item.member:         # of two in one archive the later counts, as for tar
            table.execute("UPDATE found SET source = ? WHERE same = ?",
                          (json.dumps(item), os.fsencode(same)))
        if table.execute("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?)",
                         (turn, os.fsencode(item.name), os.fsencode(same), json.dumps(item))
                         ).rowcount == 0:
            continue
        for path in (*([item.local] if item.local else ()), *naming.reads(item)):
            names.keep(path)
        folders = item.parts[:-1]
        root = folders if root is None else list(os.path.commonprefix([root, folders]))
    return root or []


def _enter_jobs(table: sqlite3.Connection, naming: Naming, root: list[str] | None, names: _Names
                ) -> None:
    rows = table.execute("SELECT source FROM found ORDER BY turn, name")
    for number, (text,) in enumerate(rows):
        source = ImageSource(*json.loads(text))
        row = table.execute("SELECT entry FROM entries WHERE identity = ?",
                            (os.fsencode(source.identity),)).fetchone()
        entry = json.loads(row[0]) if row else {}
        parts = source.parts[-1:] if root is None else source.parts[len(root):]
        stem = _named(source, entry.get("stem") or "/".join(parts), naming, names)
        table.execute("INSERT INTO jobs VALUES (?, ?, ?, ?)",
                      (number, text, json.dumps(stem), row[0] if row else None))


def _named(source: ImageSource, stem: str, naming: Naming, names: _Names) -> str:
    """The stem, or STEM_2, ..., of a source, whose outputs' names then are taken."""
    identity, suffixes = source.identity, naming.suffixes(source)

    def keys(stem: str) -> list[str]:
        return [names.key(stem, suffix) for suffix in suffixes]

    stem = free_stem(stem, keys, lambda key: names.is_taken(key, identity))
    for key in keys(stem):
        names.add(key, identity)
    return stem
