"""The folder of a run, build/EXPERIMENT: its prototxts, snapshots, settings and scores."""

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path

from nets.source import ROOT
from palette import read_class_names

BUILD = ROOT / "build"


class RunError(RuntimeError):
    """A run that is not there, or not what was asked for."""


class Run:
    """What a run leaves in its folder; the folder alone suffices to score it and to infer."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def prototxt(self, split):
        return self.directory / f"{split}.prototxt"

    def snapshots(self):
        """[(iteration, solverstate path)], in order."""
        found = (self.directory / "snapshot").glob("train_iter_*.solverstate")
        return sorted((int(re.search(r"_(\d+)\.solverstate$", path.name)[1]), path)
                      for path in found)

    def weights(self, iteration):
        """The caffemodel of an iteration, whether or not it is there."""
        return self.directory / "snapshot" / f"train_iter_{iteration}.caffemodel"

    def newest_weights(self):
        """The newest caffemodel. Raises RunError if there is none."""
        found = self.snapshots()
        if not found:
            raise RunError(f"{self.directory / 'snapshot'} holds no snapshot: nothing is trained "
                           "there yet")
        return found[-1][1].with_suffix(".caffemodel")

    def samples(self):
        """The number of validation samples, which solver.prototxt has as test_iter."""
        from caffe.proto import caffe_pb2
        from google.protobuf import text_format
        text = (self.directory / "solver.prototxt").read_text(encoding="utf-8")
        return text_format.Parse(text, caffe_pb2.SolverParameter()).test_iter[0]

    def class_names(self, label="label"):
        """The names of a label's classes; those of the first label are in classes.txt."""
        own = self.directory / f"classes_{label}.txt"
        return read_class_names(own if own.exists() else self.directory / "classes.txt")

    def unscored(self):
        """The classes that do not count in the scores."""
        return json.loads((self.directory / "settings.json").read_text())["unscored"]

    def settle(self, **settings):
        """Record what makes the run what it is, or raise RunError if it began as another."""
        path = self.directory / "settings.json"
        settings = json.loads(json.dumps(settings))
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [f"{key} {before.get(key)!r}, now asked for is {settings.get(key)!r}"
                       for key in {**before, **settings} if before.get(key) != settings.get(key)]
            if changed:
                raise RunError(f"{self.directory} holds a run with " + "; ".join(changed))
        self.directory.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def find(name):
    """The Run of an experiment's name, of a stage of the demo, or in a folder of that path.

    Raises RunError where none is.
    """
    places = [BUILD / name, BUILD / "demo" / name, Path(name)]
    for directory in places:
        if (directory / "deploy.prototxt").exists():
            return Run(directory)
    known = ", ".join(run.directory.name for run in trained()) or "none"
    raise RunError(f"no run '{name}': there is no deploy.prototxt in "
                   f"{', '.join(map(str, places))}. Trained are: {known}")


def trained():
    """All runs under build/ that have a net and a snapshot."""
    runs = [Run(path.parent) for pattern in ("*", "demo*/*")
            for path in sorted(BUILD.glob(f"{pattern}/deploy.prototxt"))]
    return [run for run in runs if run.snapshots()]


@contextmanager
def replacing(path):
    """Yield a temporary path that takes the place of `path` if no error comes."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
