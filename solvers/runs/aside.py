"""The run that was in a folder before the one that begins anew, until that has a snapshot."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcn.solvers.console.errors import RunError
from segdata.files import make_folder

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run

ASIDE = "replaced"      # the folder of the run before, in that of the run
WHOLE = ".whole"        # a file in ASIDE, as long as all of that run is there


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


def settle(run: Run) -> None:
    """Remove what was set aside if the run has a snapshot, or else put it back, and remove the
    prototxts and class files of the new one: those that the run before lacks would change what it
    is."""
    aside = run.directory / ASIDE
    if not aside.exists():
        return
    if not run.snapshots():
        if (aside / WHOLE).exists():        # and so none of what is here is of the run before
            for new in run.written():
                new.unlink()
            (aside / WHOLE).unlink()
        for old in sorted(aside.iterdir(), key=lambda old: (old.name == run.folder.name,
                                                            old.name)):
            _remove(run.directory / old.name)
            old.rename(run.directory / old.name)
        print(f"the run in {run.directory} that --fresh set aside is back, for the new one "
              "has no snapshot", file=sys.stderr)
    _remove(aside)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
