"""The runs under build/: the one of a name, all of them, and in which order they were trained."""

from __future__ import annotations

import itertools
from pathlib import Path

from fcn.solvers.console.errors import RunError
from fcn.solvers.runs.aside import ASIDE
from fcn.solvers.runs.run import Run, missing
from segdata.errors import did_you_mean
from segdata.files import replacing
from segdata.paths import build_root


def find(name: str | Path | None) -> Run:
    """The Run of an experiment's name, of a stage of the demo, or in a folder of that path.

    Raises RunError, with the runs that there are, where none is, or where `name` is None.
    """
    if name is None:
        raise RunError(f"no run is given: type its name, or its folder. {_there(_names())}")
    build = build_root()
    for directory in (build / name, build / "demo" / name, Path(name)):
        if (directory / "deploy.prototxt").exists():
            return Run(directory)
    if Path(name).is_file():
        raise RunError(f"{name} is a file, expected a run: its name or its folder; --weights FILE "
                       "beside it chooses another snapshot than its newest")
    for directory in (build / name, build / "demo" / name, Path(name)):
        if Run(directory).caffemodels():
            raise RunError(missing(Run(directory).prototxt("deploy")))
    known = _names()
    raise RunError(f"no run '{name}': there is no deploy.prototxt in {build / name}"
                   f"{did_you_mean(str(name), known)}. {_there(known)}")


def _names() -> list[str]:
    return [run.directory.name for run in trained()]


def _there(known: list[str]) -> str:
    """Which runs there are, in a sentence."""
    return f"Trained are: {', '.join(known)}" if known else nothing_trained()


def nothing_trained() -> str:
    """The sentence for where `trained` gives no run: which file a run with weights lacks, or else
    which commands train one."""
    build = build_root()
    for path in sorted(itertools.chain(build.glob("*"), build.glob("demo*/*"))):
        if path.name != ASIDE and Run(path).caffemodels():
            return f"No run is whole: {missing(Run(path).prototxt('deploy'))}"
    return (f"Nothing is trained yet under {build}: `fcn demo` trains a small net, `fcn solve "
            "--data FOLDER` one on your own images, `fcn solve NAME` an experiment of the paper")


def trained() -> list[Run]:
    """All runs under build/ that have a net and weights."""
    runs = [Run(path.parent) for pattern in ("*", "demo*/*")
            for path in sorted(build_root().glob(f"{pattern}/deploy.prototxt"))
            if path.parent.name != ASIDE]
    return [run for run in runs if run.caffemodels()]


def take_turn(run: Run) -> None:
    """Record that a run is trained after all that have been trained, whatever the clock says."""
    before = max((each.turn() for each in trained() if each.directory != run.directory),
                 default=0)
    if run.turn() <= before:
        with replacing(run.turn_file) as temporary:
            temporary.write_text(f"{before + 1}\n", encoding="utf-8")
