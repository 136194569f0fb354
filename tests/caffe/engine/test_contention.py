"""The log says when other processes take the processors from the threads that compute."""

import time

import pytest
import torch

import caffe
from caffe.engine import contention
from caffe.engine.contention import Contention

DATA = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }'


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What Linux tells this process; its attributes: seconds of the clock, and for this process;
    waited(seconds, ...) of each thread; and the log, lines(seconds) later."""
    class Machine:
        clock = used = 0.0

        def waited(self, *seconds):
            for thread, each in enumerate(seconds):
                folder = tmp_path / f"task/{thread}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "schedstat").write_text(f"5000 {int(each * 1e9)} 12\n")

        def lines(self, watch, clock, used, *waited):
            """What is warned of that many seconds later."""
            self.clock, self.used = self.clock + clock, self.used + used
            self.waited(*waited)
            warned.clear()
            watch.look()
            return list(warned)

    warned, told = [], Machine()
    told.waited(0.0, 0.0)
    monkeypatch.setattr(contention, "TASKS", tmp_path / "task")
    monkeypatch.setattr(time, "monotonic", lambda: told.clock)
    monkeypatch.setattr(time, "process_time", lambda: told.used)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(contention.logger, "warning", lambda form, *of: warned.append(form % of))
    return told


@pytest.fixture
def watch(machine):
    watch = Contention()
    watch.look()
    return watch


def test_beside_another_process_it_says_what_threads_got_and_how_many_fit(machine, watch):
    assert machine.lines(watch, 4, 2.52, 0.7, 0.7) == []        # not long enough to say
    [line] = machine.lines(watch, 2, 5.04, 2.22, 2.22)
    assert line == (
        "in the last 6 s the 2 threads that compute waited for a processor in 37% of their time: "
        "other processes had it, or the CPU limit of a container was reached. Each thread also "
        "waits for the slowest, so small nets are often several times faster with fewer threads. "
        "For that, stop the command by Ctrl-C, and type it again with OMP_NUM_THREADS=1 before it: "
        "fcn solve and demo go on from their last snapshot, fcn infer with those images of a "
        "folder that are left")
    assert machine.lines(watch, 10, 14, 4.22, 5.22) == [
        "the threads that compute still wait for a processor, in 26% of their time in the last "
        "10 s"]


def test_of_many_threads_those_that_fit_go_on(machine, watch, monkeypatch):
    """As in a container that may use 4 of 64 processors."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    [line] = machine.lines(watch, 10, 40, *[9.375] * 64)
    assert "the 64 threads" in line and "94%" in line and "with OMP_NUM_THREADS=4 before it" in line


@pytest.mark.parametrize("used, waited", [
    (20, (0.1, 0.1)),                       # nobody else computes
    (3, (0.2, 0.0)),                        # this process waits for data, not for a processor
    (19, (4, 4, 3)),                        # threads that read data take turns with its own
    (20, (0, 0, 2, 2))], ids=["alone", "waiting for data", "data layers", "a limit that fits"])
def test_otherwise_it_is_silent(machine, watch, used, waited):
    assert machine.lines(watch, 10, used, *waited) == []


def test_a_forked_process_counts_from_0(machine, watch):
    assert machine.lines(watch, 10, -50, 5.0, 5.0) == []


def test_one_thread_waits_for_no_other(machine, watch, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert machine.lines(watch, 10, 4, 5.0, 0.0) == []


@pytest.mark.parametrize("how", ["solvers", "processes"])
def test_of_those_that_work_together_the_first_says_it(machine, watch, monkeypatch, how):
    if how == "solvers":
        monkeypatch.setattr(contention.context, "solver_rank", lambda: 1)
    else:
        monkeypatch.setenv("RANK", "1")
    assert machine.lines(watch, 10, 12, 4, 4) == []


def test_while_it_lasts_it_is_said_ever_more_rarely(machine, watch):
    said = [bool(machine.lines(watch, 5, 6, 2 * turn, 2 * turn)) for turn in range(1, 16)]
    assert [turn for turn, is_said in enumerate(said, start=1) if is_said] == [1, 3, 7, 15]


def test_threads_that_end_or_begin_between_two_looks(machine, watch, tmp_path):
    [line] = machine.lines(watch, 10, 12, 4, 4, 1)
    assert "in 43% of their time" in line
    (tmp_path / "task/2/schedstat").unlink()
    assert "in 40% of their time in the last 10 s" in machine.lines(watch, 10, 12, 8, 8)[0]


def test_where_linux_tells_nothing_nothing_is_said(machine, watch, tmp_path):
    for file in (tmp_path / "task").glob("*/schedstat"):
        file.write_text("")
    assert machine.lines(watch, 10, 2, *()) == []


@pytest.mark.parametrize("passes", ["net.forward", "solver.step"])
def test_nets_and_solvers_say_it(machine, watch, tmp_path, monkeypatch, passes):
    monkeypatch.setattr(contention, "watch", watch)
    (tmp_path / "net.prototxt").write_text(DATA)
    (tmp_path / "solver.prototxt").write_text(f'net: "{tmp_path}/net.prototxt" max_iter: 9 '
                                              'lr_policy: "fixed" base_lr: 0.1')
    if passes == "net.forward":
        run = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).forward
    else:
        solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
        run = lambda: solver.step(1)        # noqa: E731
    warned = []
    monkeypatch.setattr(contention.logger, "warning", lambda form, *of: warned.append(form % of))
    machine.clock, machine.used = 10, 12
    machine.waited(4, 4)
    run()
    assert [line for line in warned if "the 2 threads that compute" in line]
