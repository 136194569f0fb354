"""docs/architecture.md names what there is: its paths exist, its picture leaves no module out."""

import ast
import re
from graphlib import TopologicalSorter

import pytest

from fcn.nets.source import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PICTURE = PAGE.split("```")[1].strip("\n").splitlines()
MOST_INDENT = 6     # of a line of the picture that begins with a name; others go on with a text
# what the page's paths are below
BASES = [ROOT / base for base in ("", "data", "python", "python/caffe", "solvers", "docs")]


def test_its_paths_exist():
    paths = {path for path in re.findall(r"`([\w/.]+)`", PAGE) if "/" in path}
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not any(
        (base / (path + suffix)).exists() for base in BASES for suffix in ("", ".py"))] == []


def test_of_modules_infer_alone_lies_at_the_top():
    assert [path.name for path in ROOT.glob("*.py")] == ["infer.py"]


@pytest.mark.parametrize("folder", [
    "solvers", *(f"solvers/{name}" for name in (
        "console", "experiments", "miniatures", "processes", "runs", "scoring", "training")),
    "surgery", "python/caffe", "python/caffe/engine", "python/caffe/engine/runners",
    "python/caffe/engine/solvers"])
def test_the_picture_has_every_module_of(folder):
    modules = [path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py"
               or (path / "__init__.py").exists()]
    assert len(modules) > 2
    assert {name for name in modules if not name.startswith("__")} - named(folder) == set()


def named(folder):
    """The modules that the picture names of a folder: in the first column of its lines, and in the
    texts the words with which a clause begins, also several: "a; b or c, as it is; d, e"."""
    found, texts, above, at = set(), {}, [], ""
    for line in PICTURE:
        indent = len(line) - len(line.lstrip())
        text = line.strip()
        if text and indent <= MOST_INDENT:
            names, _, text = text.partition("  ")
            above = [(column, path) for column, path in above if column < indent]
            at = above[-1][1] if above else ""
            if at == folder:
                found |= {name.strip("/") for name in names.split(", ")}
            if names.endswith("/"):
                at = f"{at}/{names.split(', ')[-1]}".strip("/")
                above.append((indent, at))
        texts[at] = f"{texts.get(at, '')} {text}"
    for clause in re.split(r"[;:.] ", re.sub(r" \(.*?\)", "", texts[folder])):
        for part in re.split(", | and | or ", clause.strip()):
            found.add(part.partition(" ")[0])
            if " " in part:
                break
    return found


def test_words_of_the_texts_are_no_modules():
    assert named("solvers/training") >= {"first_weights", "continued", "loop", "train_experiment"}
    assert not named("solvers/training") & {"snapshots", "scores", "files", "rules"}
    assert named("solvers/runs") >= {"settings", "reading"}
    assert not named("solvers/runs") & {"settle", "files", "curve", "net"}


def imported(path):
    """The modules that a file names in its imports, and what it takes from them: 'MODULE.NAME'."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = "fcn.solvers." * (node.level > 1)       # `..`, in a folder of solvers
            yield from (f"{above}{node.module or ''}.{alias.name}".replace("..", ".")
                        for alias in node.names)


def test_no_folder_of_solvers_looks_into_a_command():
    commands = {path.stem for path in (ROOT / "solvers").glob("[a-z]*.py")}
    assert {"score", "infer"} <= commands
    assert [(path, name) for path in sorted((ROOT / "solvers").glob("*/*.py"))
            for name in imported(path) if name.startswith("fcn.solvers.")
            and name.split(".")[2] in commands] == []


def test_no_folders_of_solvers_look_into_one_another():
    """Also over others: graphlib's CycleError names them."""
    folders = [path for path in (ROOT / "solvers").iterdir() if (path / "__init__.py").exists()]
    names = {path.name for path in folders}
    below = {path.name: {name.split(".")[2] for file in path.glob("*.py") for name in imported(file)
                         if name.startswith("fcn.solvers.")} & names - {path.name}
             for path in folders}
    assert below["console"] == set() and below["training"] > {"console", "runs"}
    TopologicalSorter(below).prepare()
