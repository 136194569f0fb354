"""Files are written whole, or not at all."""

import errno
import os
import resource

import h5py
import numpy as np
import pytest

from caffe.errors import WeightsError
from caffe.formats.atomic import creating_folder, replacing, write_whole


def test_pieces_follow_one_another(tmp_path):
    path = tmp_path / "file"
    for pieces in ([b"abc", memoryview(b"de"), b""], [b"f"], []):
        write_whole(path, pieces)
        assert path.read_bytes() == b"".join(pieces)
    assert os.listdir(tmp_path) == ["file"]


@pytest.fixture
def limited():
    """No file can be longer than 2,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["bytes", "HDF5"])
def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path, limited, kind):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(WeightsError, match=r"file: cannot be written: File too large; raise the "
                                           r"limit of file sizes \(ulimit -f\)"):
        if kind == "bytes":
            write_whole(path, [bytes(1000)] * 3)
        with replacing(path) as raw, h5py.File(raw, "w") as file:
            file["array"] = np.zeros(1000)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code, remedy", [(errno.ENOSPC, "free space on its disk"),
                                          (errno.EROFS, "make its folder writable"),
                                          (errno.EIO, "write to another")])
def test_whatever_step_fails_the_old_file_stays(tmp_path, monkeypatch, step, code, remedy):
    def fail(*_):
        raise OSError(code, os.strerror(code))
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(WeightsError, match=f"file: cannot be written: {os.strerror(code)}; .*"
                                           f"{remedy}"):
        write_whole(path, [b"new"])
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(WeightsError, match="absent/file: cannot be written: No such file or "
                                           "directory; make its folder"):
        write_whole(tmp_path / "absent" / "file", [b"new"])
    with pytest.raises(WeightsError, match="absent/db: cannot be written: .* make its folder"), \
            creating_folder(tmp_path / "absent" / "db"):
        pytest.fail("no folder")


def test_what_cannot_be_read_meanwhile_is_not_taken_for_what_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), replacing(tmp_path / "file"):
        (tmp_path / "other").read_bytes()


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
