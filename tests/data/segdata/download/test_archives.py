"""Tar and zip archives: unpacked whole or not at all, and never outside their folder."""

import argparse
import os
import shutil
import tarfile

import pytest

from data_samples import tar, zipped
from segdata.download import archives
from segdata.download.archives import extract
from segdata.errors import ArchiveError


def archive(tmp_path, content):
    path = tmp_path / "archive"
    path.write_bytes(content)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


FILES = ("top/data/img/a", b"A"), ("top/code", b"C"), ("./top/data/b", b"B")
PACKERS = {"tar": tar, "tar.gz": lambda *files: tar(*files, mode="w:gz"), "zip": zipped}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("inside, expected", [
    ("top/data", {"img/a": b"A", "b": b"B"}),
    ("", {"top/data/img/a": b"A", "top/data/b": b"B", "top/code": b"C"})])
def test_a_folder_or_the_whole(tmp_path, packer, inside, expected):
    path = archive(tmp_path, PACKERS[packer](*FILES))
    extract(path, inside, tmp_path / "out" / "set")
    found = {str(file.relative_to(tmp_path / "out" / "set")): file.read_bytes()
             for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert found == expected
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["set"]


def test_a_line_takes_the_place_of_the_bar_where_there_is_no_terminal(tmp_path, capsys):
    extract(archive(tmp_path, tar(*FILES)), "", tmp_path / "out" / "set")
    assert capsys.readouterr().err == "unpacking archive\n"


@pytest.mark.parametrize("evil", [
    ("../evil", b"E"), ("top/../../evil", b"E"), ("/tmp/evil", b"E"),
    special("top/link", tarfile.SYMTYPE, "/etc"), special("top/link", tarfile.LNKTYPE, "top/a"),
    special("top/device", tarfile.CHRTYPE), special("top/pipe", tarfile.FIFOTYPE)])
def test_an_unsafe_tar_is_refused_whole(tmp_path, evil):
    path = archive(tmp_path, tar(("top/a", b"A"), evil))
    with pytest.raises(ArchiveError, match=f"{path} is unsafe"):
        extract(path, "top", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "top\\..\\..\\evil"])
def test_an_unsafe_zip_is_refused_whole(tmp_path, name):
    path = archive(tmp_path, zipped(("top/a", b"A"), (name, b"E")))
    with pytest.raises(ArchiveError, match=f"{path} is unsafe"):
        extract(path, "", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("packer", ["tar.gz", "zip"])
def test_a_truncated_archive_and_one_without_the_folder(tmp_path, packer):
    path = archive(tmp_path, PACKERS[packer](("top/a", bytes(range(256)) * 50)))
    with pytest.raises(ArchiveError, match="holds no folder other"):
        extract(path, "other", tmp_path / "out" / "set")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArchiveError, match=f"{path} cannot be unpacked"):
        extract(path, "top", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


CONTENT = ("top/a", bytes(range(256)) * 4000)


@pytest.mark.parametrize("kind, place", [("gz", -6), ("gz", -2), ("gz", 40_000), ("xz", -20),
                                         ("xz", 300), ("bz2", -4), ("bz2", 500)])
def test_a_flipped_bit_in_a_compressed_tar_is_found(tmp_path, kind, place):
    content = bytearray(tar(CONTENT, ("top/b", os.urandom(50_000)), mode=f"w:{kind}"))
    content[place] ^= 4
    with pytest.raises(ArchiveError, match="cannot be unpacked|unsafe"):
        extract(archive(tmp_path, bytes(content)), "top", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tar_that_is_larger_than_its_size_or_the_disk_allows(tmp_path, monkeypatch):
    zeros = tar(("top/a", bytes(40 << 20)), mode="w:gz")
    with pytest.raises(ArchiveError, match="'top/a' of 41,943,040 bytes .* no archive to trust"):
        extract(archive(tmp_path, zeros), "top", tmp_path / "out" / "set")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: argparse.Namespace(free=archives.SPARE))
    with pytest.raises(ArchiveError, match="more than there is free on the disk"):
        extract(archive(tmp_path, tar(CONTENT)), "top", tmp_path / "out" / "set")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_sparse_file_and_a_huge_header(tmp_path):
    sparse = special("top/a", tarfile.REGTYPE)
    sparse.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1",
                          "GNU.sparse.size": str(3 << 40), "GNU.sparse.realsize": str(3 << 40)}
    with pytest.raises(ArchiveError, match="unsafe"):
        extract(archive(tmp_path, tar(sparse)), "top", tmp_path / "out" / "set")
    long = special("x" * (2 << 20), tarfile.REGTYPE)
    with pytest.raises(ArchiveError, match="unsafe: its header"):
        extract(archive(tmp_path, tar(long, mode="w:gz")), "", tmp_path / "out" / "set")


def test_a_tar_without_its_end_and_a_zip_with_a_password(tmp_path):
    whole = tar(("top/a", bytes(512)))
    with pytest.raises(ArchiveError, match="without the mark of its end"):
        extract(archive(tmp_path, whole[:1024]), "top", tmp_path / "out" / "set")
    locked = bytearray(zipped(("top/a", b"A" * 100)))
    for place in (6, locked.index(b"PK\1\2") + 8):
        locked[place] |= 1
    with pytest.raises(ArchiveError, match="password"):
        extract(archive(tmp_path, bytes(locked)), "top", tmp_path / "out" / "set")
