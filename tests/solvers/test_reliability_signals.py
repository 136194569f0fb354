"""SIGINT, SIGTERM and SIGHUP: a snapshot, a sentence, the exit status; and nothing is lost."""

import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import caffe
from fcn.nets.source import ROOT
from fcn.solvers import report, solve, training
from fcn.solvers.console.commands import same_command
from fcn.solvers.console.errors import report_errors
from fcn.solvers.console.signals import Stopped, handling_signals, stop
from fcn.solvers.runs import log
from fcn.solvers.scoring import counting, score_file, tables

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
EVERY = pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)


def status_of(experiment, **options):
    with pytest.raises(SystemExit) as end, report_errors(continues=True):
        training.train(experiment, **options)
    return end.value.code


@EVERY
def test_a_signal_leaves_a_snapshot_from_which_the_run_continues(experiment, monkeypatch, capsys,
                                                                 handled, number):
    def step_and_interrupt(self, count, step=caffe.SGDSolver.step):
        step(self, count)
        signal.raise_signal(number)
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "my run", "--fresh", "--lr", "1"])
    with monkeypatch.context() as patch:
        patch.setattr(caffe.SGDSolver, "step", step_and_interrupt)
        assert status_of(experiment) == STATUS[number]
    assert [iteration for iteration, _ in experiment.run.snapshots()] == [1]
    message = capsys.readouterr().err
    assert f"{NAMES[number]}: finishing the iterations under way" in message
    assert (f"stopped by {NAMES[number]}: there is a snapshot of iteration 1; continue with\n"
            in message)
    assert "solvers/solve.py 'my run' --lr 1\n" in message
    training.train(experiment)
    assert experiment.run.snapshots()[-1][0] == 4


@EVERY
def test_a_second_signal_stops_at_once_and_writes_nothing(experiment, monkeypatch, handled, number):
    training.train(replace(experiment, iterations=2))
    before = experiment.run.newest_weights().read_bytes()

    def interrupt_twice(self, count):
        self.net.params["conv1_1"][0].data[...] = 0
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(number)
        pytest.fail("went on")
    monkeypatch.setattr(caffe.SGDSolver, "step", interrupt_twice)
    assert status_of(experiment) == STATUS[number]
    assert experiment.run.newest_weights().read_bytes() == before


@EVERY
@pytest.mark.parametrize("where", ["while it scores", "while it loads"])
def test_where_nothing_can_be_lost_a_signal_stops_at_once(experiment, monkeypatch, capsys, handled,
                                                          number, where):
    def interrupt(*_):
        signal.raise_signal(number)
        pytest.fail("went on")
    place = (counting, "count") if where == "while it scores" else (caffe, "get_solver")
    with monkeypatch.context() as patch:
        patch.setattr(*place, interrupt)
        assert status_of(experiment) == STATUS[number]
    said = capsys.readouterr().err
    note = (f"iteration 2 of 4 is trained, and its snapshot is {experiment.run.weights(2)}; only "
            "its scores are missing" if where == "while it scores" else
            f"{experiment.name} has no snapshot yet; start again with\n    ")
    assert f"stopped by {NAMES[number]}: {note}" in said
    training.train(experiment)
    assert score_file.load(experiment.run, 4)


def test_a_run_that_goes_on_and_is_stopped_at_once_names_its_newest_snapshot(experiment, capsys,
                                                                             monkeypatch, handled):
    training.train(replace(experiment, iterations=2))
    monkeypatch.setattr(caffe, "get_solver", lambda *_: signal.raise_signal(signal.SIGINT))
    assert status_of(experiment) == 130
    assert (f"stopped by Ctrl-C: the newest snapshot of {experiment.name} is that of iteration 2; "
            "continue with\n    ") in capsys.readouterr().err


def test_what_is_stopped_before_it_knows_of_a_run_says_nothing_of_snapshots(capsys, monkeypatch,
                                                                            handled):
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "mine", "--fresh"])
    with pytest.raises(SystemExit), report_errors(continues=True):
        signal.raise_signal(signal.SIGINT)
    said = capsys.readouterr().err
    assert said.startswith("stopped by Ctrl-C; start again with\n    ")
    assert said.endswith(" mine --fresh\n")


def test_a_fresh_start_without_a_snapshot_leaves_the_run_before_and_is_begun_again(
        experiment, capsys, monkeypatch, handled):
    training.train(replace(experiment, iterations=2))
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "mine", "--fresh"])
    monkeypatch.setattr(caffe, "get_solver", lambda *_: signal.raise_signal(signal.SIGINT))
    assert status_of(experiment, fresh=True) == 130
    back, stopped, command = capsys.readouterr().err.splitlines()[-3:]
    assert "that --fresh set aside is back" in back and command.endswith(" mine --fresh")
    assert stopped == (f"stopped by Ctrl-C: {experiment.name} has no snapshot yet; start again "
                       "with")
    assert experiment.run.snapshots()[-1][0] == 2


def test_behind_a_fresh_training_that_is_complete_nothing_is_trained_anew(
        experiment, capsys, monkeypatch, handled):
    monkeypatch.setattr(sys, "argv", ["solve.py", "mine", "--fresh", "--cpu"])
    monkeypatch.setattr(solve, "prepared", lambda *_: ([], experiment))
    monkeypatch.setattr(tables, "tables", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit):
        solve.main()
    said = capsys.readouterr().err
    assert "stopped by Ctrl-C: the training is complete; continue with\n" in said
    assert said.endswith(" solve.py mine --cpu\n")


def test_a_stage_that_is_stopped_before_a_fresh_start_leaves_that_to_be_done(
        experiment, capsys, monkeypatch, handled):
    def stopped(*_, **__):
        raise Stopped(signal.SIGINT, "there is a snapshot of iteration 1")
    monkeypatch.setattr(sys, "argv", ["solve.py", "voc-fcn16s", "--chain", "--fresh", "--cpu"])
    monkeypatch.setattr(solve, "prepared", lambda *_: ([experiment], experiment))
    monkeypatch.setattr(training, "train", stopped)
    with pytest.raises(SystemExit):
        solve.main()
    said = capsys.readouterr().err
    assert said.startswith("stopped by Ctrl-C: there is a snapshot of iteration 1; continue with\n")
    assert said.endswith(" solve.py voc-fcn16s --chain --fresh --cpu\n")


def test_a_signal_during_the_last_scores_says_that_the_training_is_complete(experiment, capsys,
                                                                            monkeypatch, handled):
    training.train(replace(experiment, iterations=2))
    monkeypatch.setattr(counting, "count", lambda *_: signal.raise_signal(signal.SIGINT))
    assert status_of(experiment) == 130
    assert status_of(experiment) == 130     # the same command scores it, and is stopped again
    said = capsys.readouterr().err
    assert said.count("the training is complete, 4 iterations, and its snapshot is "
                      f"{experiment.run.weights(4)}; only its scores are missing, which `") == 2
    assert f"fcn score {experiment.directory}` prints; continue with" in said


def test_a_signal_that_comes_just_before_the_scoring_ends_it(experiment, monkeypatch, handled):
    def snapshot_and_interrupt(self, step=caffe.SGDSolver.snapshot):
        step(self)
        signal.raise_signal(signal.SIGTERM)
    monkeypatch.setattr(caffe.SGDSolver, "snapshot", snapshot_and_interrupt)
    assert status_of(experiment) == 143
    assert [iteration for iteration, _ in experiment.run.snapshots()] == [2]


@pytest.mark.parametrize("owner, name", [(log, "draw"), (report, "write")])
def test_a_signal_behind_the_last_iteration_lets_nothing_begin_after_it(experiment, monkeypatch,
                                                                       handled, owner, name):
    """As the next stage of `make demo` or of --chain."""
    function = getattr(owner, name)

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return function(*args)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(Stopped, match="what was under way is finished"):
            training.train(replace(experiment, head="fcn32s", iterations=1, interval=1))
    done = replace(experiment, head="fcn32s", iterations=1, interval=1)
    assert training.finished(done) and (done.directory / "report.html").exists()
    assert training.train(done)["label"].matrix.any()       # which only reads its scores


def test_what_is_ignored_stays_ignored(experiment, monkeypatch, handled):
    """As nohup does it."""
    def step_and_hang_up(self, count, step=caffe.SGDSolver.step):
        step(self, count)
        signal.raise_signal(signal.SIGHUP)
    monkeypatch.setattr(caffe.SGDSolver, "step", step_and_hang_up)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with report_errors():
        training.train(experiment)
    assert training.finished(experiment)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_handlers_are_put_back(handled):
    before = list(map(signal.getsignal, STATUS))
    with pytest.raises(KeyboardInterrupt), handling_signals(stop):
        signal.raise_signal(signal.SIGTERM)
    assert list(map(signal.getsignal, STATUS)) == before


@pytest.mark.parametrize("fresh", ["--fresh", "--fres", "--fr"])
def test_the_command_that_continues_starts_nothing_anew(monkeypatch, fresh):
    monkeypatch.setattr(sys, "argv", ["solve.py", fresh, "--data", "a b", "-o", "f"])
    assert same_command().endswith(" solve.py --data 'a b' -o f")


@pytest.mark.parametrize("program", ["fcn solve", "solvers/solve.py"])
def test_the_command_that_continues_can_be_pasted(monkeypatch, program):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sys, "argv", [program, "--data", "d"])
    command, first, *_ = same_command().split()
    if program == "fcn solve":
        assert first == "solve" and os.path.basename(command) == "fcn"
        assert os.path.samefile(os.path.dirname(command), os.path.dirname(sys.executable))
    else:
        assert first == program and os.path.samefile(command, sys.executable)


def test_the_command_that_continues_is_what_was_typed(monkeypatch):
    """A target of make, unless that would start anew again, or holds quotes, which make loses."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("FCN_TYPED", "make voc-fcn8s OPTIONS=--fresh")
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "voc-fcn8s", "--fresh"])
    assert same_command().endswith(" solvers/solve.py voc-fcn8s")
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "voc-fcn8s"])
    assert same_command() == "make voc-fcn8s OPTIONS=--fresh"
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "voc-fcn8s", "--fresh"])
    assert same_command(is_fresh=True) == "make voc-fcn8s OPTIONS=--fresh"
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "voc-fcn8s"])
    monkeypatch.setenv("FCN_TYPED", "make voc-fcn8s OPTIONS=--name\\ 'a\\ b'")
    assert same_command().endswith(" solvers/solve.py voc-fcn8s")


def test_the_command_that_continues_has_as_many_threads(monkeypatch):
    """They decide how sums are rounded. Of several processes they are those of the command that
    started them, if it had any."""
    monkeypatch.setattr(sys, "argv", ["solvers/solve.py", "voc-fcn8s"])
    monkeypatch.setenv("FCN_TYPED", "make voc-fcn8s")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert same_command() == "OMP_NUM_THREADS=2 make voc-fcn8s"
    monkeypatch.setenv("RANK", "0")
    assert same_command() == "make voc-fcn8s"
    monkeypatch.setenv("FCN_THREADS", "1")
    assert same_command() == "OMP_NUM_THREADS=1 make voc-fcn8s"


TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
from fcn.nets.source import voc
from segdata.embedded import voc as embedded_voc
from fcn.solvers.training import loop
from fcn.solvers import training
from fcn.solvers.console.errors import report_errors
from fcn.solvers.experiments.experiment import Experiment
loop.LOG_EVERY = 1      # so that the first iteration can be waited for
with report_errors(continues=True):
    training.train(Experiment("tiny", {}, 1e-9, "fcn32s", voc(Path(sys.argv[1]), 7),
                              {"label": embedded_voc.CLASSES}, iterations=10**6, interval=10**6,
                              build=Path(sys.argv[2]), net=dict(width=1 / 64, filler="msra")),
                   force=True)
"""


def wait_for(path):
    end = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < 2:
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_trains(data, tmp_path, number):
    process = subprocess.Popen([sys.executable, "-c", TRAIN, data, tmp_path], cwd=ROOT, text=True,
                               env={**os.environ, "GLOG_minloglevel": "1",
                                    "PYTHONPATH": os.pathsep.join(sys.path)},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    wait_for(tmp_path / "tiny" / "log.csv")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    assert f"stopped by {number.name}: there is a snapshot of iteration" in errors
    assert "Traceback" not in errors
    assert len(list((tmp_path / "tiny" / "snapshot").glob("*.solverstate"))) == 1


def test_a_terminal_that_is_closed(data, tmp_path):
    """SIGHUP comes, and nothing can be printed any more."""
    child, terminal = pty.fork()
    if not child:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        os.execv(sys.executable, [sys.executable, "-c", TRAIN, str(data), str(tmp_path)])
    try:
        os.set_blocking(terminal, False)
        end = time.monotonic() + 120
        while not (tmp_path / "tiny" / "log.csv").exists() and time.monotonic() < end:
            try:
                os.read(terminal, 1 << 16)      # 4 KiB at most: until nothing is left to print
            except BlockingIOError:
                time.sleep(0.1)
        time.sleep(1)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 129
    assert len(list((tmp_path / "tiny" / "snapshot").glob("*.solverstate"))) == 1
