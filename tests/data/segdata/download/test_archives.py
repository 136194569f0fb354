"""Tar and zip archives: unpacked whole or not at all, and never outside their folder."""

import tarfile

import pytest

from data_samples import tar, zipped
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
