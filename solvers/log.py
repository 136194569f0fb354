"""What a run says of itself while it trains: log.csv, and the learning curve drawn from it."""

import csv
from pathlib import Path

from solvers.runs import replacing


class Log:
    """log.csv: iteration, its loss, a running mean of the losses logged so far, mean IU in percent
    where it was scored.

    Continuing from `iteration` drops the lines after it, which an interrupted run left.
    """

    COLUMNS = ("iteration", "loss", "smoothed_loss", "mean_iu")

    def __init__(self, directory, iteration):
        self.path = Path(directory) / "log.csv"
        kept = [row for row in read(self.path) if row[0] <= iteration]
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([self.COLUMNS, *map(_line, kept)])
        self.file = self.path.open("a", newline="")

    def write(self, *values):
        csv.writer(self.file).writerow(_line(values))
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def _line(values):
    return [f"{value:.7g}" if isinstance(value, float) else value for value in values
            if value is not None]


def read(path):
    """[(iteration, loss, smoothed loss, mean IU or None)] of a log.csv, without damaged lines."""
    rows = []
    if path.exists():
        with path.open(newline="", errors="replace") as file:
            for row in csv.reader(file):
                try:
                    numbers = [float(value) for value in row]
                    rows.append((int(row[0]), *numbers[1:3], numbers[3] if row[3:] else None))
                except (ValueError, IndexError):
                    continue
    return [row for row in rows if len(row) == 4]


def draw(log, path, title):
    """Draw loss (left axis, logarithmic) and mean IU (right axis) over the iterations, as PNG."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    iterations, losses, smoothed, _ = zip(*(rows := read(log)))
    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axis.semilogy(iterations, losses, ".-", color="#9bb7d4", linewidth=0.7, markersize=2,
                  label="loss")
    axis.semilogy(iterations, smoothed, color="#1f4e79", label="smoothed loss")
    axis.set(xlabel="iteration", ylabel="loss", title=title)
    scored = [(row[0], row[3]) for row in rows if row[3] is not None]
    if scored:
        right = axis.twinx()
        right.plot(*zip(*scored), "o-", color="#c0504d", label="mean IU")
        right.set(ylabel="mean IU, percent", ylim=(0, 100))
        right.annotate(f"{scored[-1][1]:.1f}", scored[-1], (-4, 6), textcoords="offset points",
                       ha="right", color="#c0504d")
    figure.legend(loc="outside lower center", ncols=3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)
