"""What `--from` names: a classifier, a run or a file of weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fcn import nets, surgery
from fcn.solvers.console.errors import RunError
from fcn.solvers.runs.all_runs import find
from fcn.solvers.runs.reading import damage
from fcn.solvers.runs.run import Run
from segdata.download import catalog
from segdata.errors import did_you_mean_path
from segdata.paths import build_root

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2

GENERATED = re.compile(r"class\d+")     # names that stand where there is no classes.txt


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    origin : what settings.json records: a classifier's name, the path of a run or file
    path : the file of the weights
    home : the run that they are of; for a file alone, its folder if there are class names in it
    """
    origin: str
    path: Path
    home: Run | None = None

    @cached_property
    def weights(self) -> surgery.Weights:
        if problem := damage(self.path):
            raise RunError(problem)
        return surgery.Weights(self.path)

    def outputs(self, name: str) -> int:
        return int(self.weights.params[name][0].data.shape[0])

    def class_names(self, label: str) -> Sequence[str]:
        """The names of a label's classes; none where they are not known."""
        if self.home is None or not (self.home.directory / "classes.txt").exists():
            return ()
        return known_names(self.home.class_names(label))

    def definition(self) -> caffe_pb2.NetParameter:
        """What is known of the net's layers, beside their names and weights."""
        from google.protobuf.message import DecodeError

        from caffe.proto import caffe_pb2
        if self.home and self.home.prototxt("deploy").exists():
            return self.home.net_param("deploy")
        try:
            return caffe_pb2.NetParameter.FromString(self.path.read_bytes())
        except DecodeError:     # HDF5, or a fork's
            return caffe_pb2.NetParameter()


def known_names(names: Sequence[str]) -> Sequence[str]:
    """Names of classes, none if they were generated: class1 of two data sets is not one thing."""
    return () if all(map(GENERATED.fullmatch, names)) else names


def origins(text: str) -> list[str]:
    """What settings.json may have recorded for a `--from`, whether or not it is there still."""
    if text in nets.TRUNKS:
        return [text]
    build = build_root()
    return [str(path.resolve()) for path in (build / text, build / "demo" / text, Path(text))]


def find_start(text: str) -> Start:
    """The Start that `--from` says. Raises RunError where there is none."""
    if text in nets.TRUNKS:
        if problem := catalog.missing(text):
            raise RunError(f"--from {text}: {problem}")
        return Start(text, catalog.path(text))
    path = Path(text)
    if path.is_file():
        return Start(str(path.resolve()), path, _home(path.resolve()))
    if path.suffix in (".caffemodel", ".h5"):
        raise RunError(f"--from {text}: no such file{did_you_mean_path(path)}")
    try:
        run = find(text)
    except RunError as error:
        raise RunError(f"--from {text}: no file, none of {', '.join(nets.TRUNKS)}, and {error}"
                       ) from None
    return Start(str(run.directory.resolve()), _newest(run), run)


def _home(path: Path) -> Run | None:
    """The Run whose weights a file is, or that has class names beside it."""
    folder = path.parent.parent
    if path.parent.name == Run(folder).folder.name and (folder / "deploy.prototxt").exists():
        return Run(folder)
    return Run(path.parent) if (path.parent / "classes.txt").exists() else None


def _newest(run: Run) -> Path:
    """The newest weights of a run, in HDF5 too."""
    numbered = [(int(match[1]), path) for path in run.folder.glob("train_iter_*.caffemodel.h5")
                if (match := re.fullmatch(r"train_iter_(\d+)\.caffemodel\.h5", path.name))]
    numbered += run.caffemodels()
    return max(numbered)[1] if numbered else run.newest_weights()       # which says what lacks
