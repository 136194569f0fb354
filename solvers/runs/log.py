"""What a run says of itself while it trains: log.csv, and the learning curve drawn from it."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segdata.files import append, replacing

if TYPE_CHECKING:
    from matplotlib.ticker import LogFormatter

SMOOTHING = 0.9         # of the logged losses, from one to the next
LATEST = 10             # lines of the log whose mean shows how the loss goes


class LogRow(NamedTuple):
    """A line of log.csv; None stands for a value that is not known.

    iteration : int, the updates done
    loss : of the last image or batch that the iteration saw (with iter_size 20, the twentieth),
        of several workers the mean of theirs;
        None where it is not known: the run was interrupted, and went on with the scores of its
        snapshot
    smoothed_loss : 0.9 of that of the line before plus 0.1 of loss; the first is the loss
    mean_iu : in percent, of the first label; None where the net was not scored
    rate : the learning rate of the update
    time : seconds of training up to here, those before an interruption included
    validation_loss : mean of the losses of the validation images; None where mean_iu is
    loss_per_pixel, validation_loss_per_pixel : the same over the pixels that are not void
    """
    iteration: int
    loss: float | None = None
    smoothed_loss: float | None = None
    mean_iu: float | None = None
    rate: float | None = None
    time: float | None = None
    validation_loss: float | None = None
    loss_per_pixel: float | None = None
    validation_loss_per_pixel: float | None = None


COLUMNS = (4, len(LogRow._fields))     # of a log.csv without rate, time and the rest, and with them


class Log:
    """log.csv of a run, open for more lines.

    Continuing from `iteration` drops the lines after it, which an interrupted run left, and goes
    on smoothing, and counting the time, where they end.
    """

    def __init__(self, directory: str | Path, iteration: int) -> None:
        self.path = Path(directory) / "log.csv"
        self.rows = [row for row in read(self.path) if row.iteration <= iteration]
        self._begin = time.monotonic() - max((row.time or 0.0 for row in self.rows), default=0.0)
        self._rewrite()

    def write(self, iteration: int, loss: float | None = None, mean_iu: float | None = None,
              **others: Any) -> LogRow:
        """Append a line and return it; one of the same iteration is completed.

        `others` are further fields of LogRow.
        """
        again = bool(self.rows) and self.rows[-1].iteration == iteration
        if again and loss is None:
            row = self.rows[-1]._replace(mean_iu=mean_iu, **others)
        else:
            row = LogRow(iteration, loss, self._smoothed(loss), mean_iu)._replace(**others)
        if again:
            self.rows[-1] = row
            self._rewrite()
        else:
            self.rows.append(row)
            append(self.path, _lines([row]))
        return row

    def time(self) -> float:
        """Seconds of training so far."""
        return round(time.monotonic() - self._begin, 2)

    def _smoothed(self, loss: float | None) -> float | None:
        if loss is None:
            return None
        before = next((row.smoothed_loss for row in reversed(self.rows)
                       if row.smoothed_loss is not None), loss)
        return SMOOTHING * before + (1 - SMOOTHING) * loss

    def _rewrite(self) -> None:
        with replacing(self.path) as temporary:
            temporary.write_text(_lines([LogRow._fields, *self.rows]), newline="")


def _lines(rows: Iterable[tuple]) -> str:
    """Rows as CSV, numbers with all their digits: a run that goes on smooths what it had."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def read(path: Path) -> list[LogRow]:
    """The lines of a log.csv, without damaged ones and one that was cut short; none where there
    is no file."""
    rows = []
    whole = path.read_text(errors="replace").rpartition("\n")[0] if path.exists() else ""
    for line in whole.splitlines():
        try:
            iteration, *values = line.split(",")
            if 1 + len(values) in COLUMNS:
                rows.append(LogRow(int(iteration), *(float(value) if value else None
                                                  for value in values)))
        except (ValueError, TypeError):
            continue
    return [row for row in rows if (row.loss is None) == (row.smoothed_loss is None)
            and (row.loss, row.mean_iu) != (None, None) and row.iteration >= 0
            and all(value is None or math.isfinite(value) for value in row[1:])]


def seconds(rows: Sequence[LogRow]) -> float | None:
    """Seconds of training up to the last line that says them; None where none does."""
    return next((row.time for row in reversed(rows) if row.time is not None), None)


def recent_means(losses: Sequence[float]) -> list[float]:
    """Of each loss the mean of it and of those before it, LATEST in all, fewer at the beginning.

    This is what people are shown of a training. The smoothed loss forgets too slowly: the loss of
    the first image still makes up 39% of its tenth line.
    """
    return [sum(latest := losses[max(0, end - LATEST):end]) / len(latest)
            for end in range(1, len(losses) + 1)]


def recent_loss(rows: Sequence[LogRow]) -> float | None:
    """The mean loss of the last LATEST lines that have one; None where none has."""
    losses = [row.loss for row in rows if row.loss is not None]
    return recent_means(losses[-LATEST:])[-1] if losses else None


def draw(log: Path, path: Path, title: str) -> None:
    """Draw loss (left axis, logarithmic) and mean IU (right axis) over the iterations, as PNG."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    rows = read(log)
    figure, axis = plt.subplots(figsize=(8, 4.5))
    figure.subplots_adjust(0.12, 0.2, 0.91, 0.93)    # a layout that is computed takes twice as long
    learned = [(row.iteration, row.loss) for row in rows if row.loss is not None]
    if learned:
        iterations, losses = zip(*learned)
        axis.semilogy(iterations, losses, ".-", color="#9bb7d4", linewidth=0.7, markersize=2,
                      label="loss")
        axis.semilogy(iterations, recent_means(losses), color="#1f4e79",
                      label=f"mean of the last {LATEST}")
        axis.yaxis.set_major_formatter(_plain_numbers())
        axis.yaxis.set_minor_formatter(_plain_numbers())
    axis.set(xlabel="iteration", ylabel="loss", title=title)
    scored = [(row.iteration, row.mean_iu) for row in rows if row.mean_iu is not None]
    if scored:
        right = axis.twinx()
        right.plot(*zip(*scored), "o-", color="#c0504d", label="mean IU")
        right.set(ylabel="mean IU, percent", ylim=(0, 100))
        right.annotate(f"{scored[-1][1]:.1f}", scored[-1], (-4, 6), textcoords="offset points",
                       ha="right", color="#c0504d")
    if learned or scored:
        figure.legend(loc="lower center", ncols=3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)


def _plain_numbers() -> LogFormatter:
    """Labels of a logarithmic axis such as 1.7 or 2e+04: those that matplotlib writes,
    1.7 × 10⁰, are so wide that they push the name of the axis out of the picture."""
    from matplotlib.ticker import LogFormatter

    class PlainNumbers(LogFormatter):
        def __call__(self, value: float, position: int | None = None) -> str:
            return f"{value:.3g}" if super().__call__(value, position) else ""
    return PlainNumbers()
