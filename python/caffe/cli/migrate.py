"""caffe migrate: what of a Caffe project runs here, and what to change. None of its code is run."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from google.protobuf import text_format
from google.protobuf.message import Message

from ..errors import CaffeError, did_you_mean
from ..formats import caffemodel, hdf5, prototxt, text
from ..formats.forks import UNSUPPORTED
from ..log import silence
from ..proto import caffe_pb2
from . import python_files
from .flags import positive
from .trial import FAILED, NOT_RUN, RAN, Trials

RUNS, READS, LAYER, CHANGE, SKIPPED = "runs", "reads", "needs a layer", "change", "skipped"
AFTER = "runs after"     # another file is changed
_SKIPPED = re.compile(r"\.|__pycache__$|(build|node_modules|venv)$")
_SOLVER = re.compile(r"\b(base_lr|lr_policy|max_iter|solver_mode|test_interval)\s*:")
_NAMES_A_NET = re.compile(r"\b(train_|test_)?(net\s*:|net_param\s*[:{])")
_NET = re.compile(r"\b(layers?\s*\{|input\s*:|input_dim\s*:)")
_OLD_NET = re.compile(r"\b(layers\s*\{|input\s*:)")
_REGISTERED = re.compile(r"\bREGISTER_LAYER_(?:CLASS|CREATOR)\(\s*(\w+)")
_PHASES = caffe_pb2.TRAIN, caffe_pb2.TEST
_PROTOTXT = (".prototxt", ".pt", ".pbtxt")
_UNREADABLE = CaffeError, OSError, RecursionError, MemoryError
_SOURCE = (".cpp", ".cu", ".cc", ".hpp")


class Project:
    """A folder, the files in it and its folders, and what tries nets, if nets are to run."""

    def __init__(self, root: Path, trials: Trials | None = None) -> None:
        self.root, self.files, self.trials = root, list(_files(root)), trials
        self._programs = [path for path in self.files if path.suffix == ".py"]
        self._modules = {part for path in self.files for part in (path.stem, *path.parts)}
        self._imported: dict[Path, set[Path]] = {}
        self._is_to_change: dict[Path, bool] = {}

    def to_change(self, program: Path) -> list[str]:
        """What of a Python file is to change."""
        return python_files.to_change(text.encode(text.read_text(program)), self._modules)

    def waits_for(self, program: Path) -> list[str]:
        """The Python files that one imports, also indirectly, and that are to change."""
        reached, new = {program}, [program]
        while new:
            found = self._imports(new.pop()) - reached
            reached |= found
            new += found
        return sorted(str(path.relative_to(self.root)) for path in reached - {program}
                      if self.is_to_change(path))

    def is_to_change(self, program: Path) -> bool:
        if program not in self._is_to_change:
            try:
                self._is_to_change[program] = bool(self.to_change(program))
            except _UNREADABLE:
                self._is_to_change[program] = True
        return self._is_to_change[program]

    def _imports(self, program: Path) -> set[Path]:
        if program not in self._imported:
            self._imported[program] = set()
            with suppress(*_UNREADABLE):
                self._imported[program] = python_files.imported(
                    text.encode(text.read_text(program)), program, self._programs)
        return self._imported[program]


Reader = Callable[[Path, Project], Iterator[tuple[str, str]]]


class Finding(NamedTuple):
    """A row of the table: `file` within the folder, a verdict, and why."""
    file: str
    verdict: str
    why: str


def migrate(args: argparse.Namespace) -> int:
    """Say what of a Caffe project runs here, what needs a layer of a fork, and what to change.

    Reads prototxts, caffemodels, Python files, and sources of layers, and runs none of them: a net
    "reads" if every layer of it is known, a solver if its net does, too. What imports a file that
    is to change "runs after" that file is changed.

    With --run each net runs forward and backward, in both phases: with inputs of zeros and ones in
    place of its data, with images of at most --size pixels a side if it takes them, else of its
    own size, and with random weights. Nets with Python layers between others run with --trust
    alone, which runs the layers' code from PYTHONPATH.

    The exit status is 0 if everything runs, and no net was left out.
    """
    root = Path(args.folder)
    project = Project(root, Trials(args.size, args.seconds, args.trust) if args.run_nets else None)
    readers = {path: reader for path in project.files if (reader := _reader(path.name))}
    width = max((len(str(path.relative_to(root))) for path in readers), default=0)
    found: list[Finding] = []
    for path, reader in readers.items():
        with silence():
            rows = dict.fromkeys(_look(path, reader, project))
        for file, verdict, why in rows:
            print(text.printable(f"{file:{width}}  {verdict:{len(LAYER)}}  {why}"), flush=True)
        found += rows
    if not found:
        raise CaffeError(f"{root}: expected a Caffe project, found no prototxt, caffemodel or "
                         "Python file in it")
    print(_summary(found))
    return int(any(row.verdict not in (RUNS, READS, RAN, SKIPPED) for row in found))


def _summary(found: list[Finding]) -> str:
    """How many files are as they should be."""
    of = {verdict: {row.file for row in found if row.verdict == verdict}
          for verdict in (RAN, FAILED, NOT_RUN, LAYER, CHANGE)}
    files = {row.file for row in found if row.verdict != SKIPPED}
    left = set().union(*(of[verdict] for verdict in (FAILED, NOT_RUN, LAYER, CHANGE)))
    if of[RAN] or of[FAILED] or of[NOT_RUN]:
        parts = [f"nets that ran on made-up data: {len(of[RAN] - of[FAILED] - of[NOT_RUN])}"]
        parts += [f"{len(of[FAILED])} failed"] if of[FAILED] else []
        parts += [f"{len(of[NOT_RUN])} not run"] if of[NOT_RUN] else []
        return "; ".join([*parts, f"files to change: {len(of[LAYER] | of[CHANGE])}"])
    return (f"{len(files) - len(left)} of {len(files)} files need no change"
            + (": everything" if files and not left else ""))


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _SKIPPED.match(name))
        yield from (Path(folder, name) for name in sorted(names))


def _reader(name: str) -> Reader | None:
    """What reads a file of this name; None if it is not of a kind that Caffe has."""
    if name.endswith(_PROTOTXT) or ".prototxt." in name:
        return _prototxt
    if name.endswith((".caffemodel", ".caffemodel.h5", ".solverstate", ".solverstate.h5")):
        return _weights
    if name.endswith(".py"):
        return _python
    return _source if name.endswith(_SOURCE) else None


def _look(path: Path, look: Reader, project: Project) -> Iterator[Finding]:
    """The findings of a file."""
    found: list[tuple[str, str]] = []
    try:
        found.extend(look(path, project))      # keeps those before an error
    except (CaffeError, OSError) as error:
        found.append((CHANGE, str(error).removeprefix(f"{path}:").strip()))
    except (RecursionError, MemoryError):
        found.append((CHANGE, "nested too deep, or too large, to be read"))
    wrong = [row for row in found if row[0] not in (RUNS, READS)]
    yield from (Finding(str(path.relative_to(project.root)), *row) for row in wrong or found)


def _prototxt(path: Path, project: Project) -> Iterator[tuple[str, str]]:
    content = re.sub("#.*", "", text.read_text(path))
    if "\0" in content:
        yield CHANGE, "is not text; a binary is named .caffemodel"
        return
    if _SOLVER.search(_without_blocks(content)) or _NAMES_A_NET.search(content):
        # outside of blocks, since DenseCRF has a max_iter, too
        yield from _solver(path, project)
    elif _NET.search(content):
        yield from _net(path, project, content)
    else:
        yield SKIPPED, "neither a net nor a solver: left alone"


def _without_blocks(content: str) -> str:
    """A prototxt without what is in braces."""
    while content != (content := re.sub(r"\{[^{}]*\}", "", content)):
        pass
    return content


def _net(path: Path, project: Project, content: str) -> Iterator[tuple[str, str]]:
    loose = caffe_pb2.NetParameter()
    with suppress(text_format.ParseError):      # the strict reader, below, says what is wrong
        text_format.Parse(content, loose, allow_unknown_field=True)
    unknown = _unknown_types(loose)
    try:
        param = prototxt.read_net(str(path))
        complaint = None
    except CaffeError as error:
        param, complaint = loose, str(error).removeprefix(f"{path}:").strip()
        yield LAYER if unknown else CHANGE, complaint
    yield from _layers(param, path, project)
    if not unknown and complaint is None:
        yield from _connections(param)
        if project.trials:
            yield from (_trial(param, path, phase, project.trials)
                        for phase in _PHASES if not _unconnected(param, phase))
        old = (", reads as it is; caffe upgrade_net_proto_text would write it in the present form"
               if _OLD_NET.search(content) else "")
        yield READS, f"a net of {len(param.layer)} layers{old}"


def _unknown_types(param: caffe_pb2.NetParameter) -> list[str]:
    from ..engine.layers import layer_type_list
    return sorted({layer.type for layer in param.layer} - set(layer_type_list()))


def _layers(param: caffe_pb2.NetParameter, path: Path, project: Project
            ) -> Iterator[tuple[str, str]]:
    """What to change in each layer of a net."""
    for name in _unknown_types(param):
        yield LAYER, _unknown_type(name)
    for layer in param.layer:
        if layer.type == "Python":
            yield from _python_layer(layer, project)
        if layer.type == "Data" and layer.data_param.backend != caffe_pb2.DataParameter.LMDB:
            yield CHANGE, (f"layer '{layer.name}': LevelDB, the default backend, is not supported: "
                           "make an LMDB (caffe convert_imageset), and set backend: LMDB")
    yield from _missing_files(param, path)


def _trial(param: caffe_pb2.NetParameter, path: Path, phase: int, trials: Trials
           ) -> tuple[str, str]:
    own = [layer.name for layer in param.layer if layer.type == "Python" and layer.bottom]
    if own and not trials.trust:
        return NOT_RUN, f"the layer '{own[0]}' is Python code of the project, see --trust"
    verdict, why = trials(str(path), phase)
    return verdict, f"{caffe_pb2.Phase.Name(phase)}: {why}"


def _connections(param: caffe_pb2.NetParameter) -> Iterator[tuple[str, str]]:
    errors = [_unconnected(param, phase) for phase in _PHASES]
    if all(errors):     # many nets are for one phase alone
        yield CHANGE, errors[0]


def _unconnected(param: caffe_pb2.NetParameter, phase: int) -> str:
    """What is wrong with the blobs that connect the layers of a phase, if anything."""
    from ..engine import graph
    param.state.phase = phase
    try:
        graph.insert_splits(graph.filter_layers(param))
    except CaffeError as error:
        return str(error)
    return ""


def _unknown_type(name: str) -> str:
    from ..engine.layers import layer_type_list
    whose = f"layer type {name} of {UNSUPPORTED[name]}" if name in UNSUPPORTED else \
        f"layer type {name}, which Caffe does not have{did_you_mean(name, layer_type_list())}"
    return f"{whose}: write it with caffe.engine.layers.register, or as a Python layer"


def _python_layer(layer: caffe_pb2.LayerParameter, project: Project) -> Iterator[tuple[str, str]]:
    module, name = layer.python_param.module, layer.python_param.layer
    sources = [path for path in project.files
               if path.as_posix().endswith("/" + module.replace(".", "/") + ".py")]
    place = f"layer '{layer.name}': "
    if not sources:
        if python_files.installed(module.partition(".")[0]):
            return
        yield CHANGE, (f"{place}the module {module} of its Python layer is not in the project: put "
                       "its folder on PYTHONPATH")
    elif not any(re.search(rf"^class {re.escape(name)}\b|^{re.escape(name)} *=",
                           text.read_text(source), re.M) for source in sources):
        yield CHANGE, f"{place}no class {name} in {sources[0].relative_to(project.root)}"
    else:
        others = project.waits_for(sources[0])
        if project.is_to_change(sources[0]):
            others = [str(sources[0].relative_to(project.root)), *others]
        if others:
            yield AFTER, f"{_are_changed(others)}, for the layer '{layer.name}'"


def _solver(path: Path, project: Project) -> Iterator[tuple[str, str]]:
    from ..engine.solvers import rates
    from ..engine.solvers.registry import solver_types
    param = prototxt.read_solver(str(path))
    if param.type not in solver_types():
        yield CHANGE, (f"unknown solver type '{param.type}'"
                       + did_you_mean(param.type, solver_types()))
    try:
        rates.check(param)
    except CaffeError as error:
        yield CHANGE, str(error)
    for field in ("net_param", "train_net_param", "test_net_param"):
        inner = getattr(param, field)
        for net in [inner] if field != "test_net_param" else inner:
            rows = [*_layers(net, path, project), *([] if _unknown_types(net) else
                                                    _connections(net))]
            yield from ((verdict, f"{field}: {why}") for verdict, why in rows)
        param.ClearField(field)     # what is missing in it was said
    yield from _missing_files(param, path)
    for name in dict.fromkeys([param.net, param.train_net, *param.test_net]):
        if name and (net := _find(name, path)):
            yield from _net_of_solver(name, net, project)
    folder = os.path.dirname(param.snapshot_prefix)
    if folder and not _find(folder, path):
        yield CHANGE, (f"snapshot_prefix: there is no folder {_starts_in(param, path) / folder}; "
                       "make it, or correct snapshot_prefix")
    yield READS, f"a solver, {param.type}"


def _starts_in(param: caffe_pb2.SolverParameter, path: Path) -> Path:
    """The folder from which a solver finds its net, and in which a training starts therefore."""
    for name in map(text.file_name, [param.net, param.train_net, *param.test_net]):
        place = _find(name, path) if name else None
        if place and not os.path.isabs(name) and ".." not in Path(name).parts:
            return place.resolve().parents[len(Path(name).parts) - 1]
    return Path.cwd()


def _net_of_solver(name: str, path: Path, project: Project) -> Iterator[tuple[str, str]]:
    """What keeps a solver's net from running."""
    try:
        for verdict, why in _net(path, project, text.read_text(path)):
            if verdict in (LAYER, CHANGE, FAILED):
                yield LAYER if verdict == LAYER else CHANGE, f"its net {name}: {why}"
                return
    except (CaffeError, OSError) as error:
        yield CHANGE, f"its net {name}: {error}"


def _missing_files(message: Message, path: Path) -> Iterator[tuple[str, str]]:
    """The files that a message names, and its layers, and that are not there."""
    for field, value in message.ListFields():
        if field.name == "save_output_param" and not value.output_directory:
            continue        # its files are not needed
        if field.message_type:
            for part in (value if field.is_repeated else [value]):
                yield from _missing_files(part, path)
        elif field.name in ("source", "mean_file", "net", "train_net", "test_net", "weights",
                            "label_map_file", "name_size_file"):
            for name in (value if field.is_repeated else [value]):
                if not _find(name, path):
                    yield CHANGE, f"{field.name}: {name} is not there"


def _find(name: str, path: Path) -> Path | None:
    """A file of this name, seen from the current folder or from one that `path` is in."""
    places = (folder / text.file_name(name) for folder in (Path(), *path.resolve().parents))
    return next((place for place in places if place.exists()), None)


def _weights(path: Path, project: Project) -> Iterator[tuple[str, str]]:
    form = hdf5 if hdf5.is_hdf5(str(path)) else caffemodel
    with path.open("rb") as file:
        if file.read(40).startswith(b"version https://git-lfs"):
            raise CaffeError("a Git LFS pointer in place of the file: git lfs pull")
    if ".solverstate" in path.name:
        state, _ = form.read_solverstate(str(path))
        yield RUNS, f"a solver's state after {state.iter} iterations"
        return
    layers = [name for name, arrays in form.read_caffemodel(str(path)) if arrays]
    yield RUNS, f"weights of {len(layers)} layers"


def _source(path: Path, project: Project) -> Iterator[tuple[str, str]]:
    from ..engine.layers import layer_type_list
    for name in _REGISTERED.findall(text.read_text(path)):
        if name not in layer_type_list():
            yield LAYER, _unknown_type(name)


def _python(path: Path, project: Project) -> Iterator[tuple[str, str]]:
    found = project.to_change(path)
    for why in found:
        yield CHANGE, why
    if not found and (others := project.waits_for(path)):
        yield AFTER, _are_changed(others)
    elif not found:
        yield RUNS, "Python 3"


def _are_changed(files: list[str]) -> str:
    """The rest of a sentence that begins with AFTER."""
    return f"{' and '.join(files)} {'are' if len(files) > 1 else 'is'} changed"


def _flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=folder, metavar="FOLDER", help="the project")
    parser.add_argument("--run", dest="run_nets", action="store_true",
                        help="also run each net forward and backward, in both phases")
    parser.add_argument("--size", type=_size, default="97", metavar="N|HxW",
                        help="most rows and columns of images, with --run (default 97)")
    parser.add_argument("--seconds", type=positive, default=60,
                        help="that a net may take in a phase, with --run (default 60)")
    parser.add_argument("--trust", action="store_true",
                        help="also run nets with Python layers, with --run")


def _size(text: str) -> tuple[int, int]:
    """N, or HEIGHTxWIDTH, as (height, width)."""
    height, _, width = text.partition("x")
    return positive(height), positive(width or height)


def folder(path: str) -> str:
    """An argparse type: the path of a folder, which has to be there."""
    if os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"{path}: is a file, expected the folder of a project")
    if not os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"{path}: no such folder")
    return path


COMMANDS = {migrate: _flags}
