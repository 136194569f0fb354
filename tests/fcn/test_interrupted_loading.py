"""Ctrl-C while a command loads: one line, and the exit status 130."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fcn import start
from fcn.command import main
from fcn.nets.source import ROOT

# sends SIGINT when the module of that name is imported, and goes on as the command does
INTERRUPTING = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""
FCN, CAFFE = Path(sys.executable).with_name("fcn"), Path(sys.executable).with_name("caffe")


@pytest.fixture
def run(tmp_path_factory):
    """Runs a command whose Python is interrupted when it imports a module."""
    folder = tmp_path_factory.mktemp("interrupting")
    (folder / "sitecustomize.py").write_text(INTERRUPTING)      # which every Python imports first

    def run(command, module, env=(), **options):
        path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
        return subprocess.run(command, capture_output=True, text=True, **options, env={
            **os.environ, "PYTHONPATH": path, "INTERRUPTED_AT": module, **dict(env)})
    return run


@pytest.mark.parametrize("command, module", [
    ([CAFFE, "info"], "google.protobuf"), ([CAFFE, "info"], "numpy"), ([CAFFE, "info"], "argparse"),
    ([FCN, "solve", "--help"], "segdata.errors"), ([FCN, "solve", "--help"], "argparse"),
    ([FCN, "score", "run"], "fcn.solvers.cells"), ([FCN, "nets", "voc-fcn8s"], "numpy"),
    (["-m", "fcn", "solve"], "numpy"), (["-m", "caffe", "info"], "numpy"),
    (["-m", "fcn.solvers.solve"], "caffe"), ([ROOT / "infer.py", "--help"], "PIL"),
    *(([ROOT / "solvers" / f"{name}.py", "--help"], "argparse")
      for name in ("solve", "score", "cells", "demo", "infer")),
    *((["-m", name, "--help"], "argparse") for name in (
        "fcn.analysis", "fcn.nets", "fcn.export", "fcn.page"))],
    ids=lambda value: value if isinstance(value, str) else " ".join(
        Path(word).name for word in value))
def test_it_ends_in_one_line(run, command, module, tmp_path):
    program = [] if command[0] in (FCN, CAFFE) else [sys.executable]
    ended = run([*program, *command], module, cwd=tmp_path)
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "stopped by Ctrl-C\n", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_what_make_starts_needs_no_traceback(run, tmp_path):
    program = tmp_path / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", ".venv/done"):
        (tmp_path / name).touch()
    ended = run(["make", "-f", ROOT / "Makefile", "demo"], "numpy", cwd=tmp_path)
    said, of_make = ended.stderr.splitlines()
    assert said == "stopped by Ctrl-C" and of_make.startswith("make: ")


@pytest.mark.parametrize("place, speaks", [
    ({"RANK": "1", "WORLD_SIZE": "2"}, False), ({"RANK": "0", "WORLD_SIZE": "2"}, True),
    ({"RANK": "1"}, True)], ids=str)
def test_of_several_processes_the_first_says_so(run, place, speaks):
    ended = run([FCN, "infer", "a.png"], "argparse", place)
    assert (ended.returncode, ended.stderr) == (130, "stopped by Ctrl-C\n" * speaks)


def test_the_processes_of_caffe_train_say_it_once(run, tmp_path):
    (tmp_path / "solver.prototxt").write_text(
        'net_param { layer { name: "a" type: "DummyData" top: "a" '
        'dummy_data_param { shape { dim: 1 } } } } base_lr: 1 lr_policy: "fixed"')
    ended = run([CAFFE, "train", "--solver", "solver.prototxt", "--cpu_workers", "2"],
                "caffe.engine.solvers.registry", cwd=tmp_path)
    said = [line for line in ended.stderr.splitlines() if not line.endswith("] Use CPU.")]
    assert (ended.returncode, said) == (130, ["stopped by Ctrl-C"])


def test_ctrl_c_when_it_is_loaded_needs_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt
    monkeypatch.setattr("fcn.export.main", interrupted)
    assert start.run("fcn.export") == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C\n"


def test_a_command_may_be_run_by_another_thread(monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr("fcn.export.main", lambda: 7)
    found = []
    thread = threading.Thread(target=lambda: found.append(main(["export"])))
    thread.start()
    thread.join()
    assert found == [7]


def test_where_it_is_ignored_it_stays_ignored(run, tmp_path):
    """As in a shell's background."""
    ended = run([CAFFE, "--version"], "numpy", cwd=tmp_path,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert ended.returncode == 0 and ended.stdout.startswith("caffe ")
