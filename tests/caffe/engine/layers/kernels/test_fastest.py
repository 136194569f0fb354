"""The choice between kernels: by measuring, once for each kind of processor."""

import os
import subprocess
import sys
import time

import pytest

from caffe.engine.layers.kernels import fastest as module
from caffe.engine.layers.kernels.fastest import fastest, folder

CHOOSE = """
import time
from caffe.engine.layers.kernels.fastest import fastest
slow = 0.0 if {swapped} else 0.005
print(fastest("a task", {{"one": lambda: time.sleep(slow),
                          "other": lambda: time.sleep(0.005 - slow)}}))
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_chosen", {})


def ways(**seconds):
    calls = []

    def way(name):
        def run():
            calls.append(name)
            time.sleep(seconds[name])
        return run
    return {name: way(name) for name in seconds}, calls


def forget(monkeypatch):
    """What a new process knows."""
    monkeypatch.setattr(module, "_chosen", {})


def test_the_fastest_is_chosen_and_the_first_of_about_equals():
    assert fastest("a", ways(one=0.004, other=0.0)[0]) == "other"
    assert fastest("b", ways(one=0.0, other=0.004)[0]) == "one"
    assert fastest("c", ways(one=0.0100, other=0.0098)[0]) == "one"


def test_a_slow_first_time_leaves_no_way_out():
    seconds = iter([0.05, *[0.0] * 9])
    found = {"one": lambda: time.sleep(0.005), "other": lambda: time.sleep(next(seconds))}
    assert fastest("a", found) == "other"


def test_another_process_takes_what_is_kept_and_measures_nothing(monkeypatch):
    assert fastest("a", ways(one=0.004, other=0.0)[0]) == "other"
    forget(monkeypatch)
    again, calls = ways(one=0.0, other=0.004)
    assert fastest("a", again) == "other" and not calls
    monkeypatch.setattr(module, "processor", lambda: "another kind")
    forget(monkeypatch)
    assert fastest("a", again) == "one" and calls


def test_processes_that_start_together_agree():
    """Whatever each of them would find."""
    processes = [subprocess.Popen([sys.executable, "-c", CHOOSE.format(swapped=swapped)], text=True,
                                  stdout=subprocess.PIPE, env={**os.environ})
                 for swapped in (False, True)]
    said = {process.communicate(timeout=120)[0] for process in processes}
    assert len(said) == 1 and said <= {"one\n", "other\n"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"processor\na\nsomething else\n"])
def test_a_damaged_file_gives_the_first_way(monkeypatch, content):
    fastest("a", ways(one=0.004, other=0.0)[0])
    path, = folder().iterdir()
    path.write_bytes(content)
    forget(monkeypatch)
    assert fastest("a", ways(one=0.004, other=0.0)[0]) == "one"


def test_without_a_place_for_files_the_first_way_is_taken(monkeypatch, tmp_path):
    (tmp_path / "caffe").write_text("not a folder")
    given, calls = ways(one=0.004, other=0.0)
    assert fastest("a", given) == "one" and not calls
