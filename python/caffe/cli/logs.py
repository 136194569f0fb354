"""Tools that read the log of a training, the original's or this project's."""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from ..errors import CaffeError
from ..formats import text
from ..formats.atomic import make_folder, replacing
from .flags import file, flag

# I0210 13:39:22.381027, or with the year before the month, as newer releases of glog have it
_TIME = re.compile(r"[IWEF](?:\d{4})?(\d\d)(\d\d) +(\d+):(\d\d):(\d\d)\.(\d{6})")
_NUMBER = r"([-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))"
_ITERATION = re.compile(r"Iteration (\d+)")
_OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = " + _NUMBER + r"( \(\* .*loss\))?")
_RATE = re.compile(r"\blr = " + _NUMBER)
_COLUMNS = "NumIters", "Seconds", "LearningRate"
_LOSS = re.compile(r"Iteration \d+.*, loss = " + _NUMBER)

Row = dict[str, float]


@dataclass
class TrainingLog:
    """What a log says of a training.

    train, test : a row for each time that the outputs of the net were shown: NumIters; Seconds
        since the training began; LearningRate; and each output by its name
    losses, rates : rows with NumIters, Seconds, and `loss` (averaged over average_loss) or `rate`
    weighted : names of the outputs that count towards the loss
    """

    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    losses: list[Row] = field(default_factory=list)
    rates: list[Row] = field(default_factory=list)
    weighted: set[str] = field(default_factory=set)


def read_log(path: str) -> TrainingLog:
    """What the log `path` says of a training. Raises CaffeError where it says nothing.

    As in the original's parse_log.py, the rate of a row is the last one that was logged before it,
    and the first row, before which none was, has that of the second.
    """
    log, iteration, rate = TrainingLog(), None, float("nan")
    for seconds, message in _messages(path):
        found = _ITERATION.search(message)
        iteration = float(found[1]) if found else iteration
        if iteration is None:
            continue
        place = {"NumIters": iteration, "Seconds": seconds}
        if found := _LOSS.search(message):
            log.losses.append({**place, "loss": float(found[1])})
        if found := _RATE.search(message):
            rate = float(found[1])
            log.rates.append({**place, "rate": rate})
        if found := _OUTPUT.search(message):
            phase, name, value, weight = found.groups()
            rows = log.train if phase == "Train" else log.test
            if not rows or rows[-1]["NumIters"] != iteration or name in rows[-1]:
                rows.append({**place, "LearningRate": rate})
            rows[-1][name] = float(value)
            log.weighted.update([name] if weight else [])
    if not (log.train or log.test or log.losses):
        raise CaffeError(f"{path}: expected the log of a training, with lines such as 'Iteration "
                         "20, loss = 0.5', found none; was it silenced by GLOG_minloglevel?")
    for rows in (log.train, log.test):
        if len(rows) > 1:
            rows[0]["LearningRate"] = rows[1]["LearningRate"]
    return log


def _messages(path: str) -> Iterator[tuple[float, str]]:
    """(seconds, message) of each line; seconds count from "Solving", or else the first line."""
    content, start, last = text.read_text(path), None, None
    year = datetime.fromtimestamp(os.path.getmtime(text.file_name(path))).year
    solves = "] Solving " in content
    for line in content.splitlines():
        found = _TIME.search(line)
        if not found:
            continue
        month, day, hour, minute, second, microsecond = map(int, found.groups())
        year += last is not None and month < last
        last = month
        if (month, day) == (2, 29):
            year -= year % 4        # the file is of a later year than the log
        now = datetime(year, month, day, hour, minute, second, microsecond)
        if start is None and (not solves or "] Solving " in line):
            start = now
        if start is not None:
            yield (now - start).total_seconds(), line


def parse_log(args: argparse.Namespace) -> None:
    """Write what the log of a training says as tables: LOG.train and LOG.test, with commas.

    Columns: NumIters, Seconds, LearningRate, and each output of the net.
    """
    log = read_log(args.log)
    make_folder(args.folder)
    for kind, rows in (("train", log.train), ("test", log.test)):
        path = os.path.join(args.folder, f"{os.path.basename(args.log)}.{kind}")
        if not rows:
            print(f"Not writing {text.printable(path)}: the log shows no {kind} outputs")
            continue
        table = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(table, names, delimiter=args.delimiter)
        writer.writeheader()
        writer.writerows(rows)
        with replacing(path) as file:
            file.write(text.encode(table.getvalue()))
        print(f"Wrote {text.printable(path)}: {len(rows)} rows")


def plot_log(args: argparse.Namespace) -> None:
    """Draw logs of trainings: the loss, the other outputs, and the rate, into a .png."""
    from matplotlib.figure import Figure
    panels = _curves(args.logs, {"iterations": "NumIters", "seconds": "Seconds"}[args.x])
    figure = Figure(figsize=(8, 3 * len(panels)), layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0],
                                     panels.items()):
        for label, points in curves:
            axes.plot(*zip(*points), label=label, marker="." if len(points) < 50 else None)
        axes.set_ylabel(title)
        axes.set_xlabel(args.x)
        axes.grid(alpha=0.3)
        axes.legend()
    output = args.output or args.logs[0] + ".png"
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    with replacing(output) as file:
        file.write(picture.getvalue())
    print(f"Drew {text.printable(output)}: {', '.join(panels)} against {args.x}")


def _curves(paths: list[str], x: str) -> dict[str, list[tuple[str, list[tuple[float, float]]]]]:
    """{panel: [(label, [(x, y), ...]), ...]} of logs."""
    panels: dict[str, list] = {"loss": [], "outputs": [], "rate": []}
    for path in paths:
        log = read_log(path)
        prefix = f"{os.path.basename(path)}: " if len(paths) > 1 else ""
        panels["loss"].append((f"{prefix}training", log.losses, "loss"))
        panels["rate"].append((f"{prefix}rate", log.rates, "rate"))
        for kind, rows in (("training", log.train), ("test", log.test)):
            for name in dict.fromkeys(name for row in rows for name in row):
                # the loss of the training is there already, averaged
                if name not in _COLUMNS and not (kind == "training" and name in log.weighted):
                    panel = "loss" if name in log.weighted else "outputs"
                    panels[panel].append((f"{prefix}{kind} {name}", rows, name))
    drawn = {title: [(label, [(row[x], row[column]) for row in rows if column in row])
                     for label, rows, column in curves if rows] for title, curves in panels.items()}
    return {title: curves for title, curves in drawn.items() if curves}


def _parse_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", type=file, metavar="LOG", help="what a training wrote to stderr")
    parser.add_argument("folder", metavar="FOLDER", help="where the tables go")
    flag(parser, "delimiter", default=",", help="between the columns (default ,)")


def _plot_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", type=file, nargs="+", metavar="LOG",
                        help="what a training wrote to stderr")
    flag(parser, "x", choices=("iterations", "seconds"), default="iterations",
         help="what is drawn to the right (default iterations)")
    parser.add_argument("-o", "--output", metavar="FILE.png", help="default LOG.png")


COMMANDS = {parse_log: _parse_flags, plot_log: _plot_flags}
