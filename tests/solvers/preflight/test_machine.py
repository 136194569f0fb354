"""What is said of a machine that has more to do than its processors can."""

import os
import re
import sys

import pytest

from fcn.analysis.__main__ import main as analyse
from fcn.solvers import demo, solve
from fcn.solvers.preflight import machine
from own_folder import write_data


@pytest.fixture
def load(tmp_path, monkeypatch):
    """load(text): have Linux say that of its load, with two processors."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(os.cpu_count())))
    monkeypatch.setattr(machine, "LOAD", tmp_path / "loadavg")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return (tmp_path / "loadavg").write_text


@pytest.mark.parametrize("threads, words", [
    ("", r"^note: type OMP_NUM_THREADS=1 before the command: .*, and 2 threads that wait for each "
         r"other there are often many times slower than 1$"),
    ("1", r"about 3\.0 times as long as on a free machine$")])
def test_a_busy_machine_is_named_with_what_to_do_or_its_cost(load, monkeypatch, threads, words):
    load("5.00 4.90 3.41 5/512 1234\n")
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    note = machine.busy_note()
    assert "(load average 5.0, processors 2)" in note and re.search(words, note)


def test_many_processors_are_shared(load, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    load("65.0 60.0 40.0 70/512 1234\n")
    assert machine.busy_note().startswith("note: type OMP_NUM_THREADS=32 before the command: ")
    monkeypatch.setenv("OMP_NUM_THREADS", "32")         # who has followed is not told again
    assert "type" not in machine.busy_note()


@pytest.mark.parametrize("text", [
    "1.90 4.90 3.41 5/512 1234\n", "2.30 2.30 2.30 1/512 1234\n", "", "nonsense"])
def test_a_free_machine_and_one_that_says_nothing(load, text):
    """A load of the last minute may be that of a command that has just ended."""
    load(text)
    assert machine.busy_note() == ""


def test_of_some_of_the_processors_nothing_is_known(load, monkeypatch):
    """Those of a container on a busy machine: its load is that of all of them."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    load("65.0 60.0 40.0 70/512 1234\n")
    assert machine.busy_note()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5})
    assert machine.busy_note() == ""


def test_where_there_is_no_such_file_nothing_is_said(load):
    """As on macOS and Windows."""
    assert machine.busy_note() == ""


def test_it_is_said_where_something_is_trained(load, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(sys, "argv", ["solve.py", "--data", str(write_data(tmp_path / "data")),
                                      "--iterations", "1", "--width", "0.02", "--force"])
    load("5.00 4.90 3.41 5/512 1234\n")
    for said in (1, 0):
        solve.main()
        assert capsys.readouterr().err.count("other processes keep the processors busy") == said


def test_it_is_said_where_a_demo_or_an_analysis_computes(load, tmp_path, tiny, monkeypatch, capsys):
    load("5.00 4.90 3.41 5/512 1234\n")
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(sys, "argv", ["demo.py", "voc-fcn32s", "-o", str(tmp_path / "demo")])
    for said in (1, 0):         # the second finds all trained
        demo.main()
        assert capsys.readouterr().err.count("note: type OMP_NUM_THREADS=1") == said
    analyse(["upper-bound", "-o", str(tmp_path / "analysis")])
    assert capsys.readouterr().err.count("note: type OMP_NUM_THREADS=1") == 1
