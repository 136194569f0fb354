"""What was in the folder of a run before a training, until that has a snapshot: the whole run, if
one begins anew, or its files, if it goes on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcn.solvers.console.errors import RunError
from segdata.files import make_folder, new_folder

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run

# folders in that of the run
ASIDE = "replaced"      # of the run before
WHOLE = ".whole"        # a file in it, as long as all of that run is there
BEFORE = "before"       # of its files, as they were when it last had a snapshot
SNAPSHOTS = "snapshots.json"    # among these: the snapshots of then
# what a training may write before its first snapshot, of the net and of the run
WRITTEN = ("*.prototxt", "classes*.txt", "class_weights_*.binaryproto", "settings.json",
           "data.json", "progress.json", "ended.json", "circumstances.json")


def set_aside(run: Run) -> None:
    """Move all that is in the folder aside, so that the run can start anew.

    Call it only while the run is locked. When the lock is released, and when it is next taken,
    what was set aside is removed if the new run has a snapshot by then; if not, it is put back.
    Snapshots go first, and come back last, so that a run that is killed meanwhile keeps them.
    Raises RunError, and moves nothing, if the folder holds something else than a run.
    """
    names = {path.name for path in run.directory.iterdir()} - {".lock"}
    files = [path for path in run.directory.rglob("*") if path.name != ".lock"
             and not path.is_dir()]
    if files and not {"train.prototxt", "solver.prototxt"} & names:
        raise RunError(f"{run.directory} holds no run of an experiment; remove it by hand")
    if files:
        make_folder(run.directory / ASIDE)
        for name in sorted(names, key=lambda name: (name != run.folder.name, name)):
            (run.directory / name).rename(run.directory / ASIDE / name)
        (run.directory / ASIDE / WHOLE).touch()


def keep_files(run: Run) -> None:
    """Copy the files that say how the run was trained so far, if it has a snapshot: one that goes
    on with other options writes them anew.

    Call it only while the run is locked. When it next has another snapshot, the copies are removed;
    when the lock is released before, or next taken if the process is killed, they are put back.
    """
    if snapshots := _snapshots(run):
        with new_folder(run.directory / BEFORE) as folder:
            for path in _written(run):
                (folder / path.name).write_bytes(path.read_bytes())
            (folder / SNAPSHOTS).write_text(json.dumps(snapshots), encoding="utf-8")


def _written(run: Run) -> list[Path]:
    """The files by those patterns that are there."""
    return [path for pattern in WRITTEN for path in run.directory.glob(pattern)]


def _snapshots(run: Run) -> dict[str, int]:
    """{name: when it was written} of the snapshots."""
    return {path.name: path.stat().st_mtime_ns for _, path in run.snapshots()}


def settle(run: Run) -> None:
    """Remove what was set aside or kept if the run has a snapshot since. If not, put it back, and
    remove what a run that began anew has written: files that the run before lacks would change
    what that is."""
    _settle_files(run)
    aside = run.directory / ASIDE
    if not aside.exists():
        return
    if not run.snapshots():
        if (aside / WHOLE).exists():        # and so none of what is here is of the run before
            for new in _written(run):
                new.unlink()
            (aside / WHOLE).unlink()
        for old in sorted(aside.iterdir(), key=lambda old: (old.name == run.folder.name,
                                                            old.name)):
            _remove(run.directory / old.name)
            old.rename(run.directory / old.name)
        print(f"the run in {run.directory} that --fresh set aside is back, for the new one "
              "has no snapshot", file=sys.stderr)
    _remove(aside)


def _settle_files(run: Run) -> None:
    before = run.directory / BEFORE
    record = before / SNAPSHOTS     # removed last: without it, all is settled but the folder
    if record.exists():
        known = json.loads(record.read_text(encoding="utf-8"))
        is_newer = any(known.get(name) != written for name, written in _snapshots(run).items())
        for path in {*before.iterdir()} - {record}:
            if is_newer:
                path.unlink()
            else:
                os.replace(path, run.directory / path.name)
        record.unlink()
    _remove(before)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
