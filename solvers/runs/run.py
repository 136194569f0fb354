"""The folder of a run, build/EXPERIMENT: its prototxts, snapshots, settings and scores."""

from __future__ import annotations

import copy
import itertools
import json
import re
import reprlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fcn.solvers.console.arguments import INT_MAX
from fcn.solvers.console.errors import RunError
from fcn.solvers.runs import aside, log
from fcn.solvers.runs.images import Images, images_of
from fcn.solvers.runs.reading import damage, parsed, reading
from fcn.solvers.runs.settings import OF_SEED, difference, elsewhere
from segdata.classes import read_class_names
from segdata.files import flush, make_folder, remove_partial, replacing, reporting
from segdata.lists import literal
from segdata.means import OF_LAYERS

if TYPE_CHECKING:
    from caffe.proto import caffe_pb2

KEEP = 3        # of the newest snapshots
NOTABLE = 1.0   # points of mean IU by which a snapshot is better than the newest, to be named
PROGRESS = "progress.json"      # in a run's folder
# in a run's folder: what its training writes of the net, the solver and the classes
FILES = "train.prototxt", "val.prototxt", "deploy.prototxt", "solver.prototxt", "classes.txt"
WRITTEN = "*.prototxt", "classes*.txt", "class_weights_*.binaryproto"      # FILES and the like


class Run:
    """What a run leaves in its folder; the folder alone suffices to score it and to infer."""

    def __init__(self, directory: str | Path, snapshots: str = "snapshot") -> None:
        """snapshots : the folder in it that has them"""
        self.directory, self.folder = Path(directory), Path(directory) / snapshots

    def prototxt(self, split: str) -> Path:
        """The file of a split, "train", "val" or "deploy", or of the "solver"; whether or not it is
        there."""
        return self.directory / f"{split}.prototxt"

    def present(self, name: str) -> Path:
        """The path of one of its FILES. Raises RunError where that is missing."""
        path = self.directory / name
        if not path.exists():
            raise RunError(missing(path))
        return path

    def missing_files(self) -> list[str]:
        """Those of its FILES that are missing."""
        return [name for name in FILES if not (self.directory / name).exists()]

    def written(self) -> list[Path]:
        """The prototxts and class files that are there."""
        return [path for pattern in WRITTEN for path in self.directory.glob(pattern)]

    @contextmanager
    def kept_if_refused(self) -> Iterator[None]:
        """Where an error or a signal ends the block, put the prototxts and class files back that
        the run had before: they say how it was trained so far."""
        before = {path: path.read_bytes() for path in self.written()}
        try:
            yield
        except BaseException:
            for path, content in before.items():
                with replacing(path) as temporary:
                    temporary.write_bytes(content)
            raise

    def snapshots(self) -> list[tuple[int, Path]]:
        """[(iteration, solverstate path)] from which training can continue, in order."""
        return [(iteration, path.with_suffix(".solverstate"))
                for iteration, path in self.caffemodels()
                if path.with_suffix(".solverstate").exists()]

    def caffemodels(self) -> list[tuple[int, Path]]:
        """[(iteration, caffemodel path)], in order."""
        paths = self.folder.glob("train_iter_*.caffemodel")
        numbered = ((re.fullmatch(r"train_iter_(\d+)", path.stem), path) for path in paths)
        return sorted((int(match[1]), path) for match, path in numbered if match)

    def weights(self, iteration: int) -> Path:
        """The caffemodel of an iteration, whether or not it is there."""
        return self.folder / f"train_iter_{iteration}.caffemodel"

    def needs_statistics(self) -> bool:
        """Whether its snapshots have to be made ready for testing, see
        training.batch_statistics."""
        return self.prototxt("statistics").exists()

    def for_testing(self, weights: Path) -> Path:
        """What the nets of val and deploy take in place of a snapshot, whether or not it is
        there: where the run needs statistics, test_iter_N.caffemodel beside it."""
        if self.needs_statistics() and re.fullmatch(r"train_iter_\d+\.caffemodel", weights.name):
            return weights.with_name(f"test{weights.name.removeprefix('train')}")
        return weights

    def remove_ready_after(self, iteration: int) -> None:
        """Remove what was made ready of later snapshots, which a training that goes on from this
        iteration writes anew."""
        if self.needs_statistics():
            for number, weights in self.caffemodels():
                if number > iteration:
                    self.for_testing(weights).unlink(missing_ok=True)

    def newest_weights(self) -> Path:
        """The newest caffemodel that can be tested. Raises RunError if there is none."""
        caffemodels = [(iteration, path) for iteration, path in self.caffemodels()
                       if self.for_testing(path).exists()]
        if not caffemodels and (waiting := self.caffemodels()):
            raise RunError(f"{self.folder} holds no snapshot that is ready for testing: the "
                           f"training ended before the statistics of {waiting[-1][1].name} were "
                           "measured; run the command that trained it once more")
        if not caffemodels:
            raise RunError(f"{self.folder} holds no snapshot: nothing is trained "
                           "there yet")
        return caffemodels[-1][1]

    def scored(self) -> list[tuple[float, int]]:
        """[(mean IU in percent, iteration)] of the snapshots that log.csv has scores of."""
        there = {iteration for iteration, _ in self.caffemodels()}
        return [(row.mean_iu, row.iteration) for row in log.read(self.directory / "log.csv")
                if row.mean_iu is not None and row.iteration in there]

    def chosen_weights(self, best: bool) -> tuple[Path, str]:
        """The newest caffemodel or the best, by mean IU on the validation set, and what there is
        to say of it: which it is, or that another is better by more than NOTABLE; '' for nothing.

        Raises RunError if there is none, or none that was scored.
        """
        newest, scored = self.newest_weights(), self.scored()
        if not scored:
            if best:
                raise RunError(f"--best: {self.directory / 'log.csv'} has scores of none of the "
                               f"snapshots in {self.folder}; without --best it is the newest, or "
                               "give --weights")
            return newest, ""
        mean_iu, iteration = max(scored)
        if best:
            return self.weights(iteration), (f"iteration {iteration}, the best on the validation "
                                             f"set: mean IU {mean_iu:.1f}%")
        last, its_mean_iu = scored[-1][1], scored[-1][0]
        if newest != self.weights(last) or mean_iu - its_mean_iu <= NOTABLE:
            return newest, ""
        return newest, (f"iteration {last}, the newest, has mean IU {its_mean_iu:.1f}% on the "
                        f"validation set, iteration {iteration} had {mean_iu:.1f}%: --best takes "
                        "that")

    def is_finished(self) -> bool:
        """Whether it was trained as long as its solver.prototxt says, or ended before by itself; as
        far as is known, where there is no such file."""
        iteration = max((iteration for iteration, path in self.caffemodels()
                         if self.for_testing(path).exists()), default=0)
        with suppress(RunError, OSError):
            return bool(iteration) and (
                not self.prototxt("solver").exists() or iteration >= self.solver_param().max_iter
                or iteration >= self.ended().get("iteration", INT_MAX))
        return False

    def ended(self) -> dict[str, int]:
        """Where --patience ended the run: {"iteration": N, "patience": N}, {} if it did not."""
        path = self.directory / "ended.json"
        if not path.exists():
            return {}
        with reading(path, "JSON file of where a run ended"):
            content = json.loads(path.read_text(encoding="utf-8"))
            return {key: int(content[key]) for key in ("iteration", "patience")}

    def record_end(self, iteration: int | None, patience: int = 0) -> None:
        """Record that --patience ended the run at an iteration; None: that it goes on."""
        path = self.directory / "ended.json"
        if iteration is None:
            path.unlink(missing_ok=True)
            return
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"iteration": iteration, "patience": patience}) + "\n",
                                 encoding="utf-8")

    def seen(self, iteration: int, images: int) -> int:
        """The training images that are seen before an iteration, of which each worker sees `images`
        in each.

        progress.json has {iteration: [images seen before, workers from there on]}, and who started
        the last of them; without it one process has trained the run.
        """
        start, (seen, workers) = max((each for each in self._progress()[0].items()
                                      if each[0] <= iteration), default=(0, (0, 1)))
        return seen + (iteration - start) * images * workers

    def started_by(self) -> str:
        """What `torchrun.place().start` was for those that trained it last."""
        return self._progress()[1]

    def record_workers(self, iteration: int, images: int, workers: int, started_by: str) -> None:
        """Record how many workers go on from an iteration, each with `images` in each."""
        found = {start: each for start, each in self._progress()[0].items() if start < iteration}
        found[iteration] = self.seen(iteration, images), workers
        with replacing(self.directory / PROGRESS) as temporary:
            temporary.write_text(json.dumps({**found, "started by": started_by}) + "\n",
                                 encoding="utf-8")

    def _progress(self) -> tuple[dict[int, tuple[int, int]], str]:
        path = self.directory / PROGRESS
        if not path.exists():
            return {}, ""
        with reading(path, "JSON file of the images that a run has seen"):
            found = json.loads(path.read_text(encoding="utf-8"))
            started_by = str(found.pop("started by", ""))
            return {int(start): (int(seen), int(workers))
                    for start, (seen, workers) in found.items()}, started_by

    def samples(self) -> int:
        """The number of validation samples, which solver.prototxt has as test_iter."""
        solver = self.solver_param()
        if not solver.test_iter:
            raise RunError(f"{self.prototxt('solver')} has no test_iter: add a line "
                           "`test_iter: N` for the N validation samples, or train anew, which "
                           "writes it")
        return solver.test_iter[0]

    def images(self) -> Images:
        """The Images that its net takes, as the project's data layer in val.prototxt has them;
        without such a layer, or of a net that was not trained here, a colour image with ILSVRC's
        mean. Raises RunError where a run that was trained here has lost its val.prototxt."""
        path = self.prototxt("val")
        if not path.exists() and not self.prototxt("train").exists():
            return Images()
        layers = self.net_param("val").layer
        params = (layer.python_param for layer in layers if layer.python_param.module in OF_LAYERS)
        with reading(path, "prototxt with a data layer's param_str"):
            return next(map(images_of, params), Images())

    def batch(self) -> int:
        """The images in a pass of training, as the project's data layer in train.prototxt has
        them; 1 without such a file or layer."""
        params = self.training_params()
        with reading(self.prototxt("train"), "prototxt with a data layer's param_str"):
            return int(params.get("batch", 1))

    def training_params(self) -> dict[str, Any]:
        """The param_str of the project's data layer in train.prototxt; {} without such a file or
        layer."""
        path = self.prototxt("train")
        if not path.exists():
            return {}
        params = (layer.python_param for layer in self.net_param("train").layer)
        with reading(path, "prototxt with a data layer's param_str"):
            return next((dict(literal(param.param_str)) for param in params
                         if param.module in OF_LAYERS), {})

    def solver_param(self) -> caffe_pb2.SolverParameter:
        """What its solver.prototxt says. Raises RunError if that is damaged."""
        return self._read("solver", "SolverParameter")

    def net_param(self, split: str) -> caffe_pb2.NetParameter:
        """What the net's prototxt of a split says. Raises RunError if that is damaged."""
        return self._read(split, "NetParameter")

    def _read(self, split: str, message: str) -> Any:
        """The protobuf message of that type in a prototxt. Raises RunError if it is none."""
        path = self.present(f"{split}.prototxt")
        with reading(path, "prototxt"):
            return copy.deepcopy(parsed(path.read_text(encoding="utf-8"), message))

    def class_names(self, label: str = "label", count: int | None = None) -> list[str]:
        """The names of a label's classes; those of the first label are in classes.txt.

        Raises RunError if there are not `count` of them, where that is given.
        """
        own = self.directory / f"classes_{label}.txt"
        try:
            return read_class_names(own if own.exists() else self.present("classes.txt"), count)
        except ValueError as error:
            raise RunError(error) from None

    def unscored(self) -> tuple:
        """The classes that do not count in the scores."""
        unscored = self.settings().get("unscored", ())
        if not isinstance(unscored, (list, tuple)) or not all(type(i) is int for i in unscored):
            raise RunError(f"{self.directory / 'settings.json'}: damaged: 'unscored' is "
                           f"{reprlib.repr(unscored)}, expected a list of class numbers")
        return tuple(unscored)

    def is_miniature(self) -> bool:
        """Whether it is one of solvers.miniatures, as those of the demo: its data are generated,
        from a seed."""
        return str(self.settings().get("data", "")).startswith(OF_SEED)

    def settings(self) -> dict:
        """What the run began as, {} if that is not recorded."""
        path = self.directory / "settings.json"
        if not path.exists():
            return {}
        with reading(path, "JSON file of a run's settings"):
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError(f"expected {{...}}, found {reprlib.repr(content)}")
            return content

    def check(self, **settings: object) -> None:
        """Raise RunError if the run began with other settings."""
        before, now = self.settings(), json.loads(json.dumps(settings))
        if before and difference(before, now):
            told = difference(before, now, self.training_params())
            raise RunError(f"{self.directory} holds a run {told}")

    def check_start(self, start: str | None) -> None:
        """Raise RunError if the run began with `--from`, and there is none now.

        To be called before the weights are looked for from which a run without `--from` starts:
        such a run does not need them, and to miss them would be the wrong message.
        """
        before = self.settings()
        if not start and before.get("from"):
            now = {"data": before.get("data")}
            raise RunError(f"{self.directory} holds a run "
                           f"{difference({**now, 'from': before['from']}, now)}")

    def record_settings(self, **settings: object) -> None:
        """Record what makes the run what it is, or raise RunError if it began as another."""
        self.check(**settings)
        make_folder(self.directory)
        with replacing(self.directory / "settings.json") as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def turn(self) -> int:
        """The place of this run in the order in which the runs under build/ began to be trained,
        or went on; 0 if that is not recorded, or damaged."""
        with suppress(RunError, OSError), reading(self.turn_file, "whole number"):
            return min(int(self.turn_file.read_text(encoding="utf-8")), INT_MAX)
        return 0

    @property
    def turn_file(self) -> Path:
        return self.directory / "turn.txt"

    def prune(self, keep: int, needed: Collection[int], latest: int = INT_MAX) -> None:
        """Remove snapshots, but not the newest `keep` and those of the iterations `needed`.

        Only whole snapshots up to the iteration `latest` count as newest.

        Call it only while the run is locked. A state goes before its weights: what is left of a
        snapshot if that is interrupted is not taken for one.
        """
        whole = ((iteration, state) for iteration, state in reversed(self.snapshots())
                 if iteration <= latest
                 and not any(map(damage, (state, state.with_suffix(".caffemodel")))))
        newest = [*itertools.islice(whole, keep)][::-1]
        for _, state in newest:
            flush(state)            # which the original Caffe does not
            flush(state.with_suffix(".caffemodel"))
        for iteration, weights in self.caffemodels():
            if newest and iteration < newest[0][0] and iteration not in needed:
                for suffix in (".solverstate", ".solverstate.resume", ".caffemodel"):
                    weights.with_suffix(suffix).unlink(missing_ok=True)
                self.for_testing(weights).unlink(missing_ok=True)

    @contextmanager
    def locked(self, data: str = "") -> Iterator[None]:
        """Keep other processes out, and remove what one that was killed left half written; settle
        what was set `aside`.

        data : see Experiment; of what is trained there
        Raises RunError while another process is in.
        """
        make_folder(self.directory)
        lock = FileLock(self.directory / ".lock", timeout=0)
        with reporting(self.directory / ".lock"):
            try:
                lock.acquire()
            except Timeout:
                raise RunError(f"another process is training in {self.directory}; wait for it, "
                               f"end it, or take another folder ({elsewhere(data)}). Nothing was "
                               "changed") from None
        try:
            for folder in (self.directory, self.folder):
                remove_partial(folder)
            aside.settle(self)
            try:
                yield
            finally:
                aside.settle(self)
        finally:
            lock.release()


def missing(path: Path) -> str:
    """What there is to say of a file that is missing in the folder of a run."""
    return (f"the run in {path.parent} lacks its {path.name}. Put that file back, or run the "
            "command that trained it once more, which writes the file anew and keeps the snapshots")
