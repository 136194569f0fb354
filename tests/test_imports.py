"""What files import of the project is there, also in those whose types lint does not check, and in
functions that no test calls."""

import ast
import importlib

import pytest

from fcn.nets.source import ROOT

PACKAGES = ("caffe", "fcn", "segdata", "subjects")


def missing(tree):
    """What a file imports of the project and that there is not: 'NAME of MODULE'."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level \
                and node.module.partition(".")[0] in PACKAGES:
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    try:
                        importlib.import_module(f"{node.module}.{alias.name}")
                    except ModuleNotFoundError:
                        yield f"{alias.name} of {node.module}"


@pytest.mark.parametrize("folder", ["analysis", "benchmarks", "docs", "examples", "tests/gpu",
                                    "tests/original", "tests/support"])
def test_what_is_imported_of_the_project_is_there(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        assert [*missing(ast.parse(file.read_text()))] == [], file
