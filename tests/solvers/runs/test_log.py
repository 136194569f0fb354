"""log.csv and the curve: numbers that can be worked out by hand."""

import csv

import numpy as np
import pytest
from PIL import Image

from fcn.solvers.runs import log

pytestmark = pytest.mark.usefixtures("real_curves")


def lines(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_smoothed_loss_is_nine_tenths_of_the_last_and_a_tenth_of_the_loss(tmp_path):
    losses, expected = [8.0, 4.0, 2.0, 6.0], [8.0, 7.6, 7.04, 6.936]
    record = log.Log(tmp_path, 0)
    for number, loss in enumerate(losses):
        record.write(20 * number, loss, 12.5 if number == 2 else None)
    assert [float(line["smoothed_loss"]) for line in lines(tmp_path)] == pytest.approx(expected)
    assert [float(line["loss"]) for line in lines(tmp_path)] == losses
    assert [line["mean_iu"] for line in lines(tmp_path)] == ["", "", "12.5", ""]


def test_the_mean_that_is_shown_is_of_ten_lines_and_forgets_the_first(tmp_path):
    """An image that begins with a loss much lower than the others does not pull it down for long:
    the smoothed loss rises after it in a training whose losses fall."""
    losses = [1.0, *[float(loss) for loss in range(30, 18, -1)]]
    means = log.recent_means(losses)
    assert means[:3] == [1.0, 15.5, 20.0]
    assert means[9] == pytest.approx((1 + sum(range(22, 31))) / 10)
    assert means[10:] == [25.5, 24.5, 23.5]
    record = log.Log(tmp_path, 0)
    for number, loss in enumerate(losses):
        record.write(number, loss)
    smoothed = [row.smoothed_loss for row in record.rows]
    assert smoothed[-1] > smoothed[-2] > smoothed[-3]
    record.write(99, None, 50.0)
    assert log.recent_loss(record.rows) == 23.5
    assert log.recent_loss([log.LogRow(99, None, None, 50.0)]) is None


def test_smoothing_goes_on_after_an_interruption(tmp_path):
    for first, losses in ((0, [8.0, 4.0, 3.0]), (2, [2.0, 6.0])):
        record = log.Log(tmp_path, first)
        for number, loss in enumerate(losses, first + 1):
            record.write(number, loss)
    assert [line["iteration"] for line in lines(tmp_path)] == ["1", "2", "3", "4"]
    assert [float(line["smoothed_loss"]) for line in lines(tmp_path)] == pytest.approx(
        [8.0, 7.6, 7.04, 6.936])


def test_what_is_scored_later_has_the_loss_of_its_own_iteration_or_none(tmp_path):
    record = log.Log(tmp_path, 0)
    record.write(1, 8.0)
    record.write(1, None, 50.0)
    assert log.Log(tmp_path, 1).rows == [log.LogRow(1, 8.0, 8.0, 50.0)]
    log.Log(tmp_path, 3).write(3, None, 60.0)
    assert log.read(tmp_path / "log.csv") == [log.LogRow(1, 8.0, 8.0, 50.0),
                                              log.LogRow(3, None, None, 60.0)]


@pytest.mark.parametrize("damaged", [
    b"2,\0,3,", b"2," + b"9" * 300_000 + b",2,", b"9" * 5_000 + b",2,2,", b"\xff\xfe,2,2,",
    b'"2,3', b"-2,1,1,", b"2,nan,nan,", b"2,1,1e400,", b"2,,,inf", b"-" + b"9" * 4_000 + b",1,1,",
    b"," * 100_000])
def test_lines_of_any_bytes_are_left_out_and_the_log_goes_on(tmp_path, damaged):
    path = tmp_path / "log.csv"
    path.write_bytes(b"iteration,loss,smoothed_loss,mean_iu\n1,8,8,\n" + damaged + b"\n3,5,7,40\n")
    record = log.Log(tmp_path, 3)
    record.write(4, 5.0)
    log.draw(path, tmp_path / "curve.png", "any")
    assert [row.iteration for row in log.read(path)] == [1, 3, 4]


def test_damaged_lines_are_left_out(tmp_path):
    (tmp_path / "log.csv").write_text("iteration,loss,smoothed_loss,mean_iu\n1,8,8,\n2,7\n3,x,7,\n"
                                      "4,\n5,6,7,3,9\n6,5,7,40\n")
    assert [row.iteration for row in log.read(tmp_path / "log.csv")] == [1, 6]


def colours(path):
    with Image.open(path) as image:
        return {tuple(colour) for colour in np.asarray(image.convert("RGB")).reshape(-1, 3)}


LOSS, SMOOTHED, MEAN_IU = (155, 183, 212), (31, 78, 121), (192, 80, 77)


def test_the_curve_shows_losses_and_scores(tmp_path):
    record = log.Log(tmp_path, 0)
    for number in range(1, 5):
        record.write(number, 8.0 / number, 10.0 * number)
    log.draw(record.path, tmp_path / "curve.png", "run")
    assert {LOSS, SMOOTHED, MEAN_IU} <= colours(tmp_path / "curve.png")


@pytest.mark.parametrize("losses", [(2.1, 1.9, 1.4, 1.33), (6e4, 5e4, 3e4, 2.4e4)])
def test_the_name_of_the_axis_of_the_curve_is_in_the_picture(tmp_path, losses):
    """It is the leftmost thing there, and not the column of numbers beside it."""
    record = log.Log(tmp_path, 0)
    for number, loss in enumerate(losses, 1):
        record.write(number, loss)
    log.draw(record.path, tmp_path / "curve.png", "run")
    ink = np.asarray(Image.open(tmp_path / "curve.png").convert("L")) < 128
    columns = ink.any(axis=0)
    first = columns.argmax()
    name = ink[:, first:first + columns[first:].argmin()]
    assert first > 0 and np.ptp(np.flatnonzero(name.any(axis=1))) < 60


def test_the_curve_of_scores_alone_shows_them_without_a_warning(tmp_path, recwarn):
    record = log.Log(tmp_path, 0)
    record.write(4, None, 40.0)
    log.draw(record.path, tmp_path / "curve.png", "run")
    shown = colours(tmp_path / "curve.png")
    assert MEAN_IU in shown and SMOOTHED not in shown and not list(recwarn)


def test_a_log_that_goes_on_is_that_of_a_run_without_interruption(tmp_path):
    rng = np.random.default_rng(0)
    losses = rng.uniform(0, 1e6, 40).astype(np.float32)
    logs = []
    for folder, stops in ((tmp_path / "whole", []), (tmp_path / "cut", range(0, 40, 3))):
        folder.mkdir()
        record = log.Log(folder, 0)
        for number, loss in enumerate(losses, 1):
            record.write(number, float(loss), 100 / 3 if number % 10 == 0 else None)
            if number in stops:
                record = log.Log(folder, number)
        logs.append((folder / "log.csv").read_bytes())
    assert logs[0] == logs[1]
    assert [float(line["loss"]) for line in lines(tmp_path / "cut")] == losses.tolist()


def test_a_line_that_was_cut_short_is_left_out(tmp_path):
    path = tmp_path / "log.csv"
    record = log.Log(tmp_path, 0)
    record.write(1, 8.0)
    record.write(2, 4.0, 61.25)
    complete = path.read_bytes()
    for cut in range(len(complete) - len("2,4.0,7.6,61.25\r"), len(complete) - 1):
        path.write_bytes(complete[:cut])
        assert [row.iteration for row in log.read(path)] == [1]
    path.write_bytes(complete + bytes(4096))
    assert [row.iteration for row in log.read(path)] == [1, 2]


def test_a_log_of_an_earlier_version_goes_on(tmp_path):
    (tmp_path / "log.csv").write_text("iteration,loss,smoothed_loss,mean_iu\n1,8,8,\n2,4,7.6,50\n")
    record = log.Log(tmp_path, 2)
    record.write(3, 2.0, rate=1e-9, time=record.time(), validation_loss=3.0)
    found = lines(tmp_path)
    assert [line["loss"] for line in found] == ["8.0", "4.0", "2.0"]
    assert [line["rate"] for line in found] == ["", "", "1e-09"]
    assert float(found[2]["smoothed_loss"]) == pytest.approx(7.04)
    assert list(found[0]) == list(log.LogRow._fields)


def test_the_time_of_a_training_goes_on_after_an_interruption(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    record = log.Log(tmp_path, 0)
    now[0] += 60
    record.write(1, 8.0, time=record.time())
    now[0] += 10_000        # the night between
    record = log.Log(tmp_path, 1)
    now[0] += 30
    record.write(2, 4.0, time=record.time())
    assert [float(line["time"]) for line in lines(tmp_path)] == [60, 90]
