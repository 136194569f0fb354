"""Folders that are written whole or not at all, whatever ends the process."""

import os
import signal
import subprocess
import sys

import pytest

from segdata import files
from segdata.files import new_folder, recover, staging

KILLED = """
import os, signal, sys
from pathlib import Path
from segdata import files

target, moment = Path(sys.argv[1]), sys.argv[2]
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with files.new_folder(target, replace=True) as folder:
    (folder / "file").write_text("new")
    if moment == "writing":
        kill()
    if moment == "between":
        files.put_folder = kill
    if moment == "at the end":
        files.put_back = kill
"""


def killed(target, moment):
    """A process that is killed while it replaces a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED, target, moment], env=environment)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def target(tmp_path):
    """A folder with `file`, the name of which means something in patterns."""
    folder = tmp_path / "set [1]"
    folder.mkdir()
    (folder / "file").write_text("old")
    return folder


@pytest.mark.skipif(os.name != "posix", reason="kills")
@pytest.mark.parametrize("moment, left", [("writing", "old"), ("between", "old"),
                                          ("at the end", "new")])
def test_what_a_killed_process_leaves(target, moment, left):
    killed(target, moment)
    assert len(list(target.parent.glob("*.part"))) == 1
    recover(target)
    assert (target / "file").read_text() == left
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(os.name != "posix", reason="kills")
def test_the_next_one_removes_it_and_nothing_else(target):
    killed(target, "writing")
    other = target.with_name("set [1].holidays.part")
    other.mkdir()
    with staging(target) as running:        # as of another process
        with new_folder(target, replace=True) as folder:
            (folder / "file").write_text("newer")
        assert running.exists()
    assert (target / "file").read_text() == "newer"
    assert sorted(target.parent.iterdir()) == [target, other]


def test_an_error_between_the_two_renames_leaves_the_old_one(target, monkeypatch):
    monkeypatch.setattr(files, "put_folder", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), new_folder(target, replace=True) as folder:
        (folder / "file").write_text("new")
    assert (target / "file").read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
