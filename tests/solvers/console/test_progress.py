"""What is said while something trains: lines in a pipe, JSON lines, TensorBoard."""

import io
import json
import logging
import os
import re
import sys
from contextlib import contextmanager, redirect_stdout

import numpy as np
import pytest

from fcn.solvers import training
from fcn.solvers.console import events, progress
from fcn.solvers.console.errors import RunError
from fcn.solvers.runs import log
from fcn.solvers.scoring import counting


def test_a_line_every_ten_seconds_where_stderr_is_no_terminal(monkeypatch, capfd):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress("mine", 1_000, "iteration", done=200) as bar:
        for _ in range(100):
            now[0] += 0.3
            bar.update(2, mean_loss=1234.5)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == ("mine: iteration 268 of 1,000, mean loss 1234, 6.67 iterations/s, "
                        "1 min 50 s left")
    assert len(lines) == 2


def test_the_time_left_is_of_all_steps_but_the_first(monkeypatch, capfd):
    """Neither that, in which the engine measures, nor a pause for scores makes it jump."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress("mine", 1_000, "iteration") as bar:
        for seconds in (20, *[1] * 100, 30, *[1] * 10):
            now[0] += seconds
            bar.update(1)
    said = [line.split(", ")[-2:] for line in capfd.readouterr().err.splitlines()]
    assert said[0] == ["0.05 iterations/s", "5 h 33 min left"]      # nothing else is known yet
    assert said[1] == ["1 iterations/s", "16 min 29 s left"]
    assert said[-2] == ["0.777 iterations/s", "19 min 16 s left"]
    assert said[-1] == ["0.793 iterations/s", "18 min 40 s left"]


def test_what_is_faster_than_that_says_nothing(capfd):
    assert list(progress.through(range(5), "scoring", 5, "image")) == [0, 1, 2, 3, 4]
    assert capfd.readouterr().err == ""


def test_lines_of_the_log_begin_on_a_line_of_their_own_above_the_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True
    monkeypatch.setattr(sys, "stderr", Terminal())
    logger = logging.getLogger("caffe")
    with progress.Progress("mine", 10, "iteration") as bar:
        bar.update()
        logger.warning("others have the processors")
        assert list(progress.through([1], "scoring", 1, "image")) == [1]
        logger.warning("still")
        counting.scores_of([{("label", ""): np.array([[3, 0], [0, 0]])}], 1)
    logger.warning("afterwards")
    shown = sys.stderr.getvalue()
    assert "mine:" in shown
    for text in ("others have the processors", "still", "afterwards"):
        [line] = [line for line in re.split("[\r\n]", shown) if text in line]
        assert line.removeprefix("\x1b[A").startswith("W"), line
    [line] = [line for line in re.split("[\r\n]", shown) if "the scores say nothing" in line]
    assert line.startswith("warning: blob 'label' shows class 0 alone"), line


@pytest.mark.parametrize("seconds, text", [
    (0.4, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h"),
    (273_600, "3 d 4 h")])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_a_reader_that_is_gone_ends_no_training(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.Progress("mine", 2, "iteration") as bar:
        monkeypatch.setattr(sys, "stderr", Gone())
        bar.update()
        monkeypatch.undo()


def test_json_lines(experiment, capsys, monkeypatch):
    """Nothing else is on stdout, and the numbers are those of log.csv and score.json."""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with events.json_lines():
        print("for people")
        training.train(experiment)
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    assert "for people" in printed.err
    assert [each["event"] for each in found if each["event"] != "progress"] == [
        "start", "log", "log", "scores", "log", "log", "scores"]
    start = next(each for each in found if each["event"] == "start")    # images are read before
    assert start["iterations"] == 4
    steps = [each for each in found if each["event"] == "progress" and each["run"] == "tiny"]
    assert steps[-1]["done"] == steps[-1]["total"] == 4 and steps[-1]["per_second"] > 0
    losses = [row.loss for row in log.read(experiment.directory / "log.csv")]
    assert steps[-1]["mean_loss"] == pytest.approx(sum(losses) / len(losses))
    scores = json.loads((experiment.directory / "score.json").read_text())["labels"]["label"]
    assert found[-1]["labels"]["label"]["mean IU"] == scores["mean IU"]
    logged = [each for each in found if each["event"] == "log"][-1]
    assert log.LogRow(**{name: logged[name] for name in log.LogRow._fields}) == log.read(
        experiment.directory / "log.csv")[-1]


@pytest.mark.parametrize("error, event", [(ValueError("too small"), "error"),
                                          (KeyboardInterrupt("a snapshot"), "stopped")])
def test_the_last_json_line_says_how_it_ended(error, event, capsys):
    with pytest.raises(type(error)), events.json_lines():
        raise error
    assert json.loads(capsys.readouterr().out) == {"event": event, "message": str(error)}


def test_tensorboard_that_is_not_there(monkeypatch):
    for name in ("torch.utils.tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RunError, match="--tensorboard needs .* -m pip install tensorboard"), \
            events.tensorboard():
        pass


def test_tensorboard(experiment, monkeypatch):
    """What a writer is given; the writers themselves are an option."""
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            written.append((folder, purge_step))

        def add_scalar(self, name, value, iteration):
            written.append((name, value, iteration))

        def flush(self):
            pass

        def close(self):
            written.append("closed")
    monkeypatch.setattr(events, "summary_writer", lambda: Writer)
    with events.tensorboard():
        training.train(experiment)
    assert written[0] == (str(experiment.directory / "tensorboard"), 1)
    assert written[-1] == "closed"
    last = log.read(experiment.directory / "log.csv")[-1]
    assert {("loss", last.loss, 4), ("mean_iu", last.mean_iu, 4), ("rate", 1e-9, 4),
            ("validation_loss", last.validation_loss, 4)} <= set(written[:-1])


def test_tensorboard_s_own_files(tmp_path):
    pytest.importorskip("torch.utils.tensorboard")
    with events.tensorboard():
        events.emit("start", run="r", folder=str(tmp_path), iteration=0, iterations=1)
        events.emit("log", run="r", iteration=1, loss=0.5, mean_iu=None)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


@contextmanager
def stdout_without_reader():
    """A pipe."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w", buffering=1) as stream, redirect_stdout(stream):
        yield stream


def test_json_lines_that_nobody_reads_end_no_training():
    with stdout_without_reader() as stream:
        with pytest.raises(KeyboardInterrupt), events.json_lines():
            events.emit("log")
            events.emit("log")
            raise KeyboardInterrupt
        assert os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))


def test_lines_above_the_bar_that_nobody_reads_end_no_training():
    with stdout_without_reader(), progress.Progress("mine", 2, "iteration") as bar:
        bar.write("mine: iteration 1")
        bar.write("mine: iteration 2")
