"""Ctrl-C while a command loads: one line, and the exit status 130."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from fcn.command import main

# sends SIGINT when the module of that name is imported, and goes on as the command does
INTERRUPTED = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv[1:] = {arguments}
from fcn.start import {command}
sys.exit({command}())
"""


def run(command, arguments, module, **options):
    code = INTERRUPTED.format(command=command, arguments=arguments, module=module)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


@pytest.mark.parametrize("command, arguments, module", [
    ("caffe", ["info"], "google.protobuf"), ("caffe", ["info"], "numpy"),
    ("caffe", ["info"], "argparse"), ("fcn", ["solve", "--help"], "segdata.errors"),
    ("fcn", ["solve", "--help"], "argparse"), ("fcn", ["score", "run"], "fcn.solvers.cells"),
    ("fcn", ["nets", "voc-fcn8s"], "numpy")])
def test_it_ends_in_one_line(command, arguments, module, tmp_path):
    ended = run(command, arguments, module, cwd=tmp_path)
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "stopped by Ctrl-C\n", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place, speaks", [
    ({"RANK": "1", "WORLD_SIZE": "2"}, False), ({"RANK": "0", "WORLD_SIZE": "2"}, True),
    ({"RANK": "1"}, True)], ids=str)
def test_of_several_processes_the_first_says_so(place, speaks):
    ended = run("fcn", ["infer", "a.png"], "argparse", env={**os.environ, **place})
    assert (ended.returncode, ended.stderr) == (130, "stopped by Ctrl-C\n" * speaks)


def test_a_command_may_be_run_by_another_thread(monkeypatch):
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr("fcn.export.main", lambda: 7)
    found = []
    thread = threading.Thread(target=lambda: found.append(main(["export"])))
    thread.start()
    thread.join()
    assert found == [7]


def test_where_it_is_ignored_it_stays_ignored(tmp_path):
    """As in a shell's background."""
    ended = run("caffe", ["--version"], "numpy", cwd=tmp_path,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert ended.returncode == 0 and ended.stdout.startswith("caffe ")
