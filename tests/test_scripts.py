"""Scripts only help where they are asked to, and refuse arguments that they do not know."""

import runpy
import sys
import warnings

import pytest

from fcn.nets.source import ROOT

FOLDERS = ("analysis", "benchmarks", "data/segdata", "docs", "examples", "python/caffe/proto",
           "tests/support")
CHILDREN = {"end_at_each_step.py"}      # which tests start
SCRIPTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
           if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
           and path.name not in CHILDREN]
ABOVE = {"python": (), "data": (), "analysis": ("fcn", "analysis")}     # of modules


def run(path, argument, monkeypatch, capsys):
    """The exit status of a script with one argument, and what it prints."""
    folder, *parts = path.relative_to(ROOT).with_suffix("").parts
    monkeypatch.setattr(sys, "argv", [str(path), argument])
    with pytest.raises(SystemExit) as ended, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)     # the module is imported already
        if folder in ABOVE:
            runpy.run_module(".".join((*ABOVE[folder], *parts)), run_name="__main__")
        else:
            runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr()
    code = ended.value.code
    return (1, code) if isinstance(code, str) else (code, printed.out + printed.err)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_help_and_unknown_arguments_do_nothing_else(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, text = run(path, "--help", monkeypatch, capsys)
    if path.parent.name == "examples":      # which take no options, and print how to call them
        assert status and path.name in text
    else:
        assert text.startswith("usage: ") and status == 0
    status, text = run(path, "--xyzzy", monkeypatch, capsys)
    assert status and ("--xyzzy" in text or text.startswith("usage: ") or path.name in text)
    assert not list(tmp_path.iterdir())


def test_the_scripts_are_found():
    assert {"fidelity.py", "stubs.py", "kernels.py", "own_layer.py", "catalog.py"} <= {
        path.name for path in SCRIPTS}
