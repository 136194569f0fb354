"""docs/architecture.md names what there is: its paths exist, its picture leaves no module out."""

import ast
import re

import pytest

from fcn.nets.source import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PICTURE = PAGE.split("```")[1]
# what the page's paths are below
BASES = [ROOT / base for base in ("", "data", "python", "python/caffe", "solvers", "docs")]


def test_its_paths_exist():
    paths = {path for path in re.findall(r"`([\w/.]+)`", PAGE) if "/" in path}
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not any(
        (base / (path + suffix)).exists() for base in BASES for suffix in ("", ".py"))] == []


@pytest.mark.parametrize("folder", [
    "solvers", *(f"solvers/{name}" for name in (
        "console", "experiments", "miniatures", "processes", "runs", "scoring", "training")),
    "surgery", "python/caffe", "python/caffe/engine", "python/caffe/engine/runners",
    "python/caffe/engine/solvers"])
def test_the_picture_has_every_module_of(folder):
    modules = [path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py"
               or (path / "__init__.py").exists()]
    assert len(modules) > 2
    words = re.findall(r"\w+", PICTURE)
    assert {name for name in modules if not name.startswith("__")} - {*words} == set()


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
