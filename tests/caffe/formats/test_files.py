"""Files are written whole, or not at all."""

import errno
import os

import pytest

from caffe.errors import WeightsError
from caffe.formats.atomic import replacing, write_whole


def test_pieces_follow_one_another(tmp_path):
    path = tmp_path / "file"
    for pieces in ([b"abc", memoryview(b"de"), b""], [b"f"], []):
        write_whole(path, pieces)
        assert path.read_bytes() == b"".join(pieces)
    assert os.listdir(tmp_path) == ["file"]


def refusing(code):
    def posix_fallocate(*_):
        raise OSError(code, os.strerror(code))
    return posix_fallocate


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.ENOSPC), raising=False)
    with pytest.raises(WeightsError, match="file: cannot be written: 3 bytes are needed: No space"):
        write_whole(path, [b"new"])
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_file_systems_that_reserve_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.EOPNOTSUPP), raising=False)
    write_whole(tmp_path / "file", [b"new"])
    assert (tmp_path / "file").read_bytes() == b"new"


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
